package io.plumline.internal;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.plumline.JsonCodec;
import io.plumline.PlumInvalidArgumentException;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class JsonTest {
    @ParameterizedTest
    @ValueSource(strings = {"tools.jackson.databind.", "com.fasterxml.jackson.databind."})
    void jacksonReadsAndWrites(String packageName) throws Exception {
        assertReadsAndWrites(new JsonCodecs.Jackson(packageName, getClass().getClassLoader()));
    }

    @Test
    void gsonReadsAndWrites() throws Exception {
        assertReadsAndWrites(new JsonCodecs.Gson(getClass().getClassLoader()));
    }

    private static void assertReadsAndWrites(JsonCodec codec) throws Exception {
        byte[] written = codec.write(Map.of("name", "ü"));
        assertEquals("{\"name\":\"ü\"}", new String(written, UTF_8));
        byte[] within = ("xx" + new String(written, UTF_8) + "yy").getBytes(UTF_8);
        assertEquals(Map.of("name", "ü"), codec.read(within, 2, written.length, Map.class));
        assertThrows(Exception.class, () -> codec.read("{".getBytes(UTF_8), 0, 1, Map.class));
        assertThrows(Exception.class, () -> codec.read(new byte[0], 0, 0, Map.class));
        assertEquals("null", new String(codec.write(null), UTF_8));
    }

    @Test
    void missingCodecErrorNamesTheLibraries() throws Exception {
        URL classes = JsonCodec.class.getProtectionDomain().getCodeSource().getLocation();
        try (URLClassLoader alone = new URLClassLoader(new URL[] {classes}, ClassLoader.getPlatformClassLoader())) {
            Thread.currentThread().setContextClassLoader(alone);
            Class<?> codec = alone.loadClass("io.plumline.JsonCodec");
            Throwable error = assertThrows(
                            java.lang.reflect.InvocationTargetException.class,
                            () -> codec.getMethod("standard").invoke(null))
                    .getCause();
            assertEquals(
                    "io.plumline.PlumUnsupportedException", error.getClass().getName());
            assertTrue(error.getMessage().contains("Jackson 3")
                    && error.getMessage().contains("Gson"));
        } finally {
            Thread.currentThread().setContextClassLoader(getClass().getClassLoader());
        }
    }

    @Test
    void readsTheJsonThatItWrites() {
        String json =
                "{\"a\":[1,-2.5,true,false,null,\"\\\"\\\\\\u00e4\\n\"],\"b\":{},\"c\":18446744073709551615,\"d\":[]}";
        Object read = Json.read(json);
        assertEquals(read, Json.read(Json.write(read)));
        for (String invalid : new String[] {"", "{", "[1,]", "{\"a\" 1}", "tru", "\"a", "1 2", "\"\\u00", "-", "nul"}) {
            assertThrows(PlumInvalidArgumentException.class, () -> Json.read(invalid), invalid);
        }
    }
}
