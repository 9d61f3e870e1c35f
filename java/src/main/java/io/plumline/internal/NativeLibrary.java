package io.plumline.internal;

import io.plumline.Plumline;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * The native library, loaded once by each class loader: from the file named by the property
 * {@code io.plumline.library}, from {@code java.library.path}, or from this jar. The copy in the jar is extracted to the
 * folder named by the property {@code io.plumline.extract}.
 */
public final class NativeLibrary extends Native {
    private static final String NAME = "plumline_java";
    private static final String LOADED_BY_ANOTHER = "already loaded in another classloader";

    private static volatile @Nullable NativeLibrary loaded;

    private NativeLibrary() {}

    public static NativeLibrary get() {
        NativeLibrary library = loaded;
        return library != null ? library : load();
    }

    private static synchronized NativeLibrary load() {
        if (loaded == null) {
            List<String> failures = new ArrayList<>();
            if (!(loadFromProperty(failures) || loadFromPath(failures) || loadFromJar(failures))) {
                throw new UnsatisfiedLinkError("cannot load the native library of Plumline for " + platform() + ": "
                        + String.join("; ", failures));
            }
            NativeLibrary library = new NativeLibrary();
            library.checkVersion();
            loaded = library;
        }
        return loaded;
    }

    private interface Attempt {
        void run() throws IOException;
    }

    private static boolean attempt(List<String> failures, String source, Attempt attempt) {
        try {
            attempt.run();
            return true;
        } catch (IOException | LinkageError error) {
            failures.add(source + ": " + error.getMessage());
            return false;
        }
    }

    private static boolean loadFromProperty(List<String> failures) {
        String named = System.getProperty("io.plumline.library");
        if (named == null) {
            failures.add("property io.plumline.library: not set");
            return false;
        }
        Path file = Path.of(named).toAbsolutePath();
        return attempt(failures, "property io.plumline.library", () -> {
            try {
                System.load(file.toString());
            } catch (UnsatisfiedLinkError error) {
                if (!String.valueOf(error.getMessage()).contains(LOADED_BY_ANOTHER)) {
                    throw error;
                }
                try (InputStream library = Files.newInputStream(file)) {
                    loadCopy(library); // a library file can belong to one class loader only
                }
            }
        });
    }

    private static boolean loadFromPath(List<String> failures) {
        return attempt(failures, "java.library.path", () -> System.loadLibrary(NAME));
    }

    private static boolean loadFromJar(List<String> failures) {
        String resource = "/io/plumline/native/" + platform() + "/" + System.mapLibraryName(NAME);
        return attempt(failures, "resource " + resource, () -> {
            try (InputStream library = NativeLibrary.class.getResourceAsStream(resource)) {
                if (library == null) {
                    throw new IOException("not in the jar");
                }
                loadCopy(library);
            }
        });
    }

    /** Loads a temporary copy, so that each class loader has its own file. The copy is deleted as soon as possible. */
    private static void loadCopy(InputStream library) throws IOException {
        Path folder = Path.of(System.getProperty("io.plumline.extract", System.getProperty("java.io.tmpdir")));
        Files.createDirectories(folder);
        Path copy = Files.createTempFile(folder, "plumline-", System.mapLibraryName(NAME));
        try {
            Files.copy(library, copy, StandardCopyOption.REPLACE_EXISTING);
            System.load(copy.toAbsolutePath().toString());
        } finally {
            if (platform().startsWith("windows")) {
                copy.toFile().deleteOnExit();
            } else {
                Files.deleteIfExists(copy);
            }
        }
    }

    private static String platform() {
        String os = System.getProperty("os.name").toLowerCase(Locale.ROOT);
        String arch = System.getProperty("os.arch").toLowerCase(Locale.ROOT);
        String system = os.startsWith("windows") ? "windows" : os.startsWith("mac") ? "macos" : os;
        return system + "-" + (arch.equals("amd64") ? "x86_64" : arch.equals("arm64") ? "aarch64" : arch);
    }

    /** Rejects a library of another version, whose functions may differ. */
    private void checkVersion() {
        String version = new FrameReader(identify()).text();
        if (!version.equals(Plumline.VERSION)) {
            throw new UnsatisfiedLinkError("the native library has version " + version + ", but this jar has version "
                    + Plumline.VERSION + "; check java.library.path and the property io.plumline.library");
        }
    }

    /** The version, then each kind of error by name and number. */
    native byte[] identify();

    /** Throws if a request header cannot have this name and value. */
    public void checkHeader(String name, String value) {
        checkHeader(new FrameWriter(64)
                .text("a header name", name)
                .text("a header value", value)
                .done());
    }

    private native void checkHeader(byte[] header);

    /** True once when the first client opens: the caller must start the thread that forwards log records. */
    native boolean needsLogThread();

    /** Waits for a log record; false once no client is open. */
    native boolean waitForLogs();

    /** Removes and returns all pending log records; null if there are none. */
    native byte @Nullable [] takeLogs();

    /** Deregisters all instances of this process. */
    native void atExit();
}
