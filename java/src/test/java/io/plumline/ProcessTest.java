package io.plumline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.plumline.testing.PlumController;
import io.plumline.testing.PlumControllerExtension;
import java.net.ServerSocket;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

@ExtendWith(PlumControllerExtension.class)
class ProcessTest {
    private static final String PROGRAM = "programs.Program";

    @Test
    void unclosedClientsDoNotLeak() throws Exception {
        Child.java("-Xmx64m", Child.library(), "-cp", Child.classes(), PROGRAM, "many")
                .done();
    }

    @Test
    void exitWithoutCloseDeregisters(PlumController controller) throws Exception {
        try (Servers.Http server = new Servers.Http(Servers.status(200, ""));
                PlumClient plum = PlumClient.create(controller.address());
                Watch watch = plum.watch("leaving")) {
            Child child = Child.java(
                    Child.library(),
                    "-cp",
                    Child.classes(),
                    PROGRAM,
                    "register",
                    controller.address(),
                    String.valueOf(server.port()));
            child.done();
            assertTrue(child.millis < 10_000, child.millis + " ms");
            Servers.until("the instance is deregistered", () -> {
                boolean[] seen = {false};
                watch.next(java.time.Duration.ofSeconds(1))
                        .ifPresent(change -> seen[0] = !change.removed().isEmpty());
                return seen[0] || plum.discover("leaving").isEmpty();
            });
        }
    }

    @Test
    void exitEndsBlockedCalls() throws Exception {
        try (ServerSocket silent = Servers.silent()) {
            String address = "static://127.0.0.1:" + silent.getLocalPort();
            Child child = Child.java(Child.library(), "-cp", Child.classes(), PROGRAM, "wait", address)
                    .done();
            assertTrue(child.millis < 10_000, child.millis + " ms");
        }
    }

    @Test
    void printsOnlyTheNativeAccessWarning() throws Exception {
        Child child = Child.java(Child.library(), "-cp", Child.classes(), PROGRAM, "pick")
                .done();
        if (Runtime.version().feature() < 24) {
            assertEquals("", child.error);
            return;
        }
        String otherOutput = child.error
                .lines()
                .filter(line -> !line.matches("WARNING: (A restricted method in java.lang.System has been called"
                        + "|java.lang.System::load has been called by io.plumline.internal.NativeLibrary in an unnamed module.*"
                        + "|Use --enable-native-access=ALL-UNNAMED to avoid a warning for callers in this module"
                        + "|Restricted methods will be blocked in a future release unless native access is enabled)"))
                .collect(Collectors.joining("\n"));
        assertEquals("", otherOutput.trim());
        Child allowed = Child.java(
                "--enable-native-access=ALL-UNNAMED", Child.library(), "-cp", Child.classes(), PROGRAM, "pick");
        assertEquals("", allowed.done().error);
    }

    @Test
    void loadErrorListsEveryAttempt() throws Exception {
        Child child = Child.java(
                "-Dio.plumline.library=/nowhere/lib.so",
                "-Dio.plumline.extract=/proc/nowhere",
                "-cp",
                Child.classes(),
                PROGRAM,
                "pick");
        assertEquals(1, child.status);
        for (String word : new String[] {
            "property io.plumline.library",
            "/nowhere/lib.so",
            "java.library.path",
            "resource /io/plumline/native/",
            "/proc/nowhere"
        }) {
            assertTrue(child.error.contains(word), word + " in " + child.error);
        }
    }

    @Test
    void findsTheLibraryOnTheLibraryPath() throws Exception {
        String folder = new java.io.File(System.getProperty("io.plumline.library")).getParent();
        Child.java(
                        "-Djava.library.path=" + folder,
                        "-Dio.plumline.extract=/proc/nowhere",
                        "-cp",
                        Child.classes(),
                        PROGRAM,
                        "pick")
                .done();
    }
}
