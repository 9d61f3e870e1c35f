package io.plumline;

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
 * The native library, loaded once for each class loader: from where the property {@code io.plumline.library} says, from
 * {@code java.library.path}, or from this jar, from where it is extracted to a folder that {@code io.plumline.extract}
 * names.
 */
final class NativeLibrary extends Native {
    private static final String NAME = "plumline_java";
    private static final String ELSEWHERE = "already loaded in another classloader";

    private static volatile @Nullable NativeLibrary loaded;

    private NativeLibrary() {}

    static NativeLibrary get() {
        NativeLibrary library = loaded;
        return library != null ? library : load();
    }

    private static synchronized NativeLibrary load() {
        if (loaded == null) {
            List<String> tries = new ArrayList<>();
            if (!(fromProperty(tries) || fromPath(tries) || fromJar(tries))) {
                throw new UnsatisfiedLinkError("no native library of Plumline for " + platform() + " could be loaded: "
                        + String.join("; ", tries));
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

    private static boolean attempt(List<String> tries, String what, Attempt attempt) {
        try {
            attempt.run();
            return true;
        } catch (IOException | LinkageError error) {
            tries.add(what + ": " + error.getMessage());
            return false;
        }
    }

    private static boolean fromProperty(List<String> tries) {
        String named = System.getProperty("io.plumline.library");
        if (named == null) {
            tries.add("property io.plumline.library: not set");
            return false;
        }
        Path file = Path.of(named).toAbsolutePath();
        return attempt(tries, "property io.plumline.library", () -> {
            try {
                System.load(file.toString());
            } catch (UnsatisfiedLinkError error) {
                if (!String.valueOf(error.getMessage()).contains(ELSEWHERE)) {
                    throw error;
                }
                try (InputStream library = Files.newInputStream(file)) {
                    loadCopy(library); // a library belongs to one class loader
                }
            }
        });
    }

    private static boolean fromPath(List<String> tries) {
        return attempt(tries, "java.library.path", () -> System.loadLibrary(NAME));
    }

    private static boolean fromJar(List<String> tries) {
        String resource = "/io/plumline/native/" + platform() + "/" + System.mapLibraryName(NAME);
        return attempt(tries, "resource " + resource, () -> {
            try (InputStream library = NativeLibrary.class.getResourceAsStream(resource)) {
                if (library == null) {
                    throw new IOException("not in this jar");
                }
                loadCopy(library);
            }
        });
    }

    /** Each class loader has a file of its own, gone as soon as it is loaded where the system allows that. */
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

    /** A library of another version would be called in ways it does not know. */
    private void checkVersion() {
        String version = new FrameReader(identify()).text();
        if (!version.equals(Plumline.VERSION)) {
            throw new UnsatisfiedLinkError("the native library is of version " + version + ", this jar of version "
                    + Plumline.VERSION + "; java.library.path or io.plumline.library leads to another one");
        }
    }

    /** Version, then the kinds of errors by name and number. */
    native byte[] identify();

    native boolean wantsDrainer();

    native boolean waitForLogs();

    native byte @Nullable [] takeLogs();

    native void atExit();
}
