package io.plumline;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.reflect.Type;
import java.util.ServiceLoader;
import org.jspecify.annotations.Nullable;

/** Finds the codec in use. The built-in ones are found by reflection, so that none of them is a dependency. */
final class JsonCodecs {
    private static final String JACKSON_3 = "tools.jackson.databind.";
    private static final String JACKSON_2 = "com.fasterxml.jackson.databind.";
    private static final String GSON = "com.google.gson.Gson";

    private static volatile @Nullable JsonCodec standard;

    private JsonCodecs() {}

    static JsonCodec standard() {
        JsonCodec known = standard;
        if (known == null) {
            known = find(JsonCodecs.class.getClassLoader());
            standard = known;
        }
        return known;
    }

    private static JsonCodec find(@Nullable ClassLoader own) {
        ClassLoader context = Thread.currentThread().getContextClassLoader();
        for (ClassLoader loader :
                context == null || context == own ? new ClassLoader[] {own} : new ClassLoader[] {own, context}) {
            for (JsonCodec codec : ServiceLoader.load(JsonCodec.class, loader)) {
                return codec;
            }
            JsonCodec codec = built(loader);
            if (codec != null) {
                return codec;
            }
        }
        throw new PlumUnsupportedException("there is nothing to read and write JSON with: add Jackson 3 "
                + "(tools.jackson.core:jackson-databind), Jackson 2 (com.fasterxml.jackson.core:jackson-databind) or "
                + "Gson (com.google.code.gson:gson), or provide an io.plumline.JsonCodec");
    }

    static @Nullable JsonCodec built(@Nullable ClassLoader loader) {
        for (String jackson : new String[] {JACKSON_3, JACKSON_2}) {
            JsonCodec codec = attempt(() -> new Jackson(jackson, loader));
            if (codec != null) {
                return codec;
            }
        }
        return attempt(() -> new Gson(loader));
    }

    private interface Making {
        JsonCodec make() throws ReflectiveOperationException;
    }

    private static @Nullable JsonCodec attempt(Making making) {
        try {
            return making.make();
        } catch (ReflectiveOperationException | LinkageError absent) {
            return null; // absent, or half of it is: then the next one
        }
    }

    private static Object call(MethodHandle method, Object... arguments) throws Exception {
        try {
            return method.invokeWithArguments(arguments);
        } catch (Exception | Error raised) {
            throw raised;
        } catch (Throwable raised) {
            throw new IllegalStateException(raised);
        }
    }

    /** Jackson, with what modules it finds: 3 or 2, which differ in their names. */
    static final class Jackson implements JsonCodec {
        private final MethodHandle write;
        private final MethodHandle read;
        private final MethodHandle typeOf;

        Jackson(String names, @Nullable ClassLoader loader) throws ReflectiveOperationException {
            MethodHandles.Lookup lookup = MethodHandles.publicLookup();
            Class<?> mapperClass = Class.forName(names + "ObjectMapper", true, loader);
            Class<?> typeClass = Class.forName(names + "JavaType", true, loader);
            Object mapper = mapperClass.getConstructor().newInstance();
            if (names.equals(JACKSON_2)) { // 3 finds its modules by itself
                mapperClass.getMethod("findAndRegisterModules").invoke(mapper);
            }
            write = lookup.findVirtual(
                            mapperClass, "writeValueAsBytes", MethodType.methodType(byte[].class, Object.class))
                    .bindTo(mapper);
            read = lookup.findVirtual(
                            mapperClass,
                            "readValue",
                            MethodType.methodType(Object.class, byte[].class, int.class, int.class, typeClass))
                    .bindTo(mapper);
            typeOf = lookup.findVirtual(mapperClass, "constructType", MethodType.methodType(typeClass, Type.class))
                    .bindTo(mapper);
        }

        @Override
        public byte[] write(@Nullable Object value) throws Exception {
            return (byte[]) call(write, value);
        }

        @Override
        public Object read(byte[] bytes, int offset, int length, Type type) throws Exception {
            return call(read, bytes, offset, length, call(typeOf, type));
        }
    }

    /** Gson as it comes. */
    static final class Gson implements JsonCodec {
        private final MethodHandle write;
        private final MethodHandle read;

        Gson(@Nullable ClassLoader loader) throws ReflectiveOperationException {
            MethodHandles.Lookup lookup = MethodHandles.publicLookup();
            Class<?> gsonClass = Class.forName(GSON, true, loader);
            Object gson = gsonClass.getConstructor().newInstance();
            write = lookup.findVirtual(gsonClass, "toJson", MethodType.methodType(String.class, Object.class))
                    .bindTo(gson);
            read = lookup.findVirtual(
                            gsonClass, "fromJson", MethodType.methodType(Object.class, String.class, Type.class))
                    .bindTo(gson);
        }

        @Override
        public byte[] write(@Nullable Object value) throws Exception {
            return FrameWriter.bytesOf("json", (String) call(write, value));
        }

        @Override
        public Object read(byte[] bytes, int offset, int length, Type type) throws Exception {
            Object value = call(read, new String(bytes, offset, length, UTF_8), type);
            if (value == null && length == 0) {
                throw new IllegalArgumentException("there is no content"); // Gson reads nothing as null
            }
            return value;
        }
    }
}
