package io.plumline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.jar.JarFile;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Tests of the packaged jars. `mvn verify -Ppackaged` runs them after the jars are built. */
class PackagedTest {
    private static final Path JAR = Child.target().resolve("plumline-" + Plumline.VERSION + ".jar");
    private static final Path FAT = Child.target().resolve("plumline-" + Plumline.VERSION + "-fat.jar");
    private static final String PROGRAM = "programs.Program";

    /** Copies the test programs without the other classes. */
    private static Path programs(Path folder) throws Exception {
        Path package_ = Files.createDirectories(folder.resolve("programs"));
        Path classes = Child.target().resolve("test-classes/programs");
        try (Stream<Path> files = Files.list(classes)) {
            for (Path file : files.toList()) {
                Files.copy(file, package_.resolve(file.getFileName()));
            }
        }
        return folder;
    }

    @Test
    void jarHasNoDependenciesAndLeavesNoFiles(@TempDir Path folder) throws Exception {
        Path extract = folder.resolve("extract");
        String path = JAR + File.pathSeparator + programs(folder.resolve("classes"));
        Child.java("-Dio.plumline.extract=" + extract, "-cp", path, PROGRAM, "pick")
                .done();
        try (Stream<Path> left = Files.list(extract)) {
            assertEquals(0, left.count());
        }
        try (JarFile jar = new JarFile(JAR.toFile())) {
            assertTrue(jar.stream().anyMatch(entry -> entry.getName()
                    .matches("io/plumline/native/[a-z]+-\\w+/\\w+\\.(so|dylib|dll)")));
            assertEquals("ALL-UNNAMED", jar.getManifest().getMainAttributes().getValue("Enable-Native-Access"));
        }
    }

    @Test
    void fatJarWorks(@TempDir Path folder) throws Exception {
        String path = FAT + File.pathSeparator + programs(folder);
        Child.java("-cp", path, PROGRAM, "pick").done();
        try (JarFile jar = new JarFile(FAT.toFile())) {
            assertTrue(jar.getEntry("com/google/gson/Gson.class") != null, "the fat jar contains Gson");
        }
    }

    @Test
    void twoClassLoadersWork(@TempDir Path folder) throws Exception {
        Child child = Child.java("-cp", programs(folder).toString(), PROGRAM, "loaders", JAR.toString())
                .done();
        assertEquals(
                4, child.out.lines().filter(line -> line.contains("10.0.0.1:1")).count());
        Child shared = Child.java(Child.library(), "-cp", folder.toString(), PROGRAM, "loaders", JAR.toString());
        shared.done();
    }

    /** With a folder that cannot be written to, no copy can be made: each class loader loads the same file. */
    @Test
    void libraryIsReloadedAfterItsClassLoaderIsCollected(@TempDir Path folder) throws Exception {
        Child child = Child.java(
                        Child.library(),
                        "-Dio.plumline.extract=/proc/nowhere",
                        "-cp",
                        programs(folder).toString(),
                        PROGRAM,
                        "successors",
                        JAR.toString())
                .done();
        assertEquals(
                3, child.out.lines().filter(line -> line.contains("10.0.0.1:1")).count());
    }

    @Test
    void jlinkImageWorks(@TempDir Path folder) throws Exception {
        Path image = folder.resolve("image");
        Child linked = Child.run(
                Path.of(System.getProperty("java.home"), "bin", "jlink").toString(),
                "--module-path",
                JAR.toString(),
                "--add-modules",
                "io.plumline",
                "--output",
                image.toString());
        assertEquals(0, linked.status, linked.out + linked.error);
        String[] arguments = {
            "--add-modules",
            "io.plumline",
            "-cp",
            programs(folder.resolve("classes")).toString(),
            PROGRAM,
            "pick"
        };
        Child.run(image.resolve("bin/java").toString(), arguments).done();
    }

    @Test
    void moduleWithNativeAccessPrintsNoWarning(@TempDir Path folder) throws Exception {
        String classes = programs(folder).toString();
        Stream<String> allowed =
                Runtime.version().feature() < 24 ? Stream.of() : Stream.of("--enable-native-access=io.plumline");
        String[] arguments = Stream.concat(
                        allowed,
                        Stream.of(
                                "--module-path",
                                JAR.toString(),
                                "--add-modules",
                                "io.plumline",
                                "-cp",
                                classes,
                                PROGRAM,
                                "pick"))
                .toArray(String[]::new);
        assertEquals("", Child.java(arguments).done().error);
    }
}
