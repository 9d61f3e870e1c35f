package io.plumline.internal;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.plumline.JsonCodec;
import io.plumline.PlumUnsupportedException;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.reflect.Type;
import java.util.ServiceLoader;
import org.jspecify.annotations.Nullable;

/**
 * Finds the {@link JsonCodec} to use. Jackson and Gson are called by reflection, so that neither is a dependency.
 */
public final class JsonCodecs {
    private static final String JACKSON_3 = "tools.jackson.databind.";
    private static final String JACKSON_2 = "com.fasterxml.jackson.databind.";
    private static final String GSON = "com.google.gson.Gson";

    private static volatile @Nullable JsonCodec standard;

    private JsonCodecs() {}

    public static JsonCodec standard() {
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
            JsonCodec codec = builtIn(loader);
            if (codec != null) {
                return codec;
            }
        }
        throw new PlumUnsupportedException("no JSON library found: add Jackson 3 "
                + "(tools.jackson.core:jackson-databind), Jackson 2 (com.fasterxml.jackson.core:jackson-databind) or "
                + "Gson (com.google.code.gson:gson), or provide an io.plumline.JsonCodec through ServiceLoader");
    }

    static @Nullable JsonCodec builtIn(@Nullable ClassLoader loader) {
        for (String jackson : new String[] {JACKSON_3, JACKSON_2}) {
            JsonCodec codec = create(() -> new Jackson(jackson, loader));
            if (codec != null) {
                return codec;
            }
        }
        return create(() -> new Gson(loader));
    }

    private interface Factory {
        JsonCodec create() throws ReflectiveOperationException;
    }

    private static @Nullable JsonCodec create(Factory factory) {
        try {
            return factory.create();
        } catch (ReflectiveOperationException | LinkageError absent) {
            return null; // the library is missing or incomplete: try the next one
        }
    }

    private static Object call(MethodHandle method, Object... arguments) throws Exception {
        try {
            return method.invokeWithArguments(arguments);
        } catch (Exception | Error thrown) {
            throw thrown;
        } catch (Throwable thrown) {
            throw new IllegalStateException(thrown);
        }
    }

    /** Jackson 3 or 2, with the modules it finds. The two differ in their package names. */
    static final class Jackson implements JsonCodec {
        private final MethodHandle write;
        private final MethodHandle read;
        private final MethodHandle typeOf;

        Jackson(String packageName, @Nullable ClassLoader loader) throws ReflectiveOperationException {
            MethodHandles.Lookup lookup = MethodHandles.publicLookup();
            Class<?> mapperClass = Class.forName(packageName + "ObjectMapper", true, loader);
            Class<?> typeClass = Class.forName(packageName + "JavaType", true, loader);
            Object mapper = mapperClass.getConstructor().newInstance();
            if (packageName.equals(JACKSON_2)) { // Jackson 3 finds its modules by itself
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

    /** Gson with its default settings. */
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
                throw new IllegalArgumentException("the content is empty"); // Gson would return null
            }
            return value;
        }
    }
}
