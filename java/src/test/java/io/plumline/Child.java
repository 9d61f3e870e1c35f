package io.plumline;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** A process that has ended, such as a test program in its own virtual machine. */
final class Child {
    final int status;
    final String out;
    final String error;
    final long millis;

    private Child(int status, String out, String error, long millis) {
        this.status = status;
        this.out = out;
        this.error = error;
        this.millis = millis;
    }

    static Path target() {
        return Path.of(System.getProperty("plumline.root"), "java", "target");
    }

    static String library() {
        return "-Dio.plumline.library=" + System.getProperty("io.plumline.library");
    }

    /** The class path of the compiled classes and the test programs. */
    static String classes() {
        return target().resolve("classes") + File.pathSeparator + target().resolve("test-classes");
    }

    static Child java(String... arguments) throws IOException, InterruptedException {
        return run(Path.of(System.getProperty("java.home"), "bin", "java").toString(), arguments);
    }

    static Child run(String program, String... arguments) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(program));
        command.addAll(List.of(arguments));
        Path out = Files.createTempFile("plumline-child", ".out");
        Path error = Files.createTempFile("plumline-child", ".err");
        try {
            long start = System.nanoTime();
            Process process = new ProcessBuilder(command)
                    .redirectOutput(out.toFile())
                    .redirectError(error.toFile())
                    .start();
            if (!process.waitFor(60, TimeUnit.SECONDS)) {
                process.destroyForcibly().waitFor();
                throw new AssertionError("the process does not end: " + Files.readString(out) + Files.readString(error));
            }
            long millis = (System.nanoTime() - start) / 1_000_000;
            return new Child(process.exitValue(), Files.readString(out), Files.readString(error), millis);
        } finally {
            Files.delete(out);
            Files.delete(error);
        }
    }

    /** Asserts that the program finished successfully. */
    Child done() {
        if (status != 0 || !out.endsWith("done\n")) {
            throw new AssertionError("exit " + status + "\n" + out + error);
        }
        return this;
    }
}
