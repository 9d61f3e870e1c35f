package io.plumline;

import io.plumline.internal.JsonCodecs;
import java.lang.reflect.Type;
import org.jspecify.annotations.Nullable;

/**
 * Converts values to JSON and back, for {@link PlumRequest#json} and {@link PlumResponse#json}.
 *
 * <p>{@link #standard} returns the first implementation that {@link java.util.ServiceLoader} finds; otherwise one that
 * uses Jackson 3, Jackson 2 or Gson, the first that is available. Implementations must be thread-safe.
 */
public interface JsonCodec {
    /**
     * Writes a value.
     *
     * @param value the value; may be null
     * @return compact JSON as UTF-8
     * @throws Exception if the value cannot be written
     */
    byte[] write(@Nullable Object value) throws Exception;

    /**
     * Reads a value.
     *
     * @param bytes contains JSON as UTF-8
     * @param offset start of the JSON
     * @param length length of the JSON in bytes
     * @param type type of the value
     * @return the value
     * @throws Exception if the JSON is invalid or does not match the type
     */
    Object read(byte[] bytes, int offset, int length, Type type) throws Exception;

    /**
     * The codec used by default.
     *
     * @return the codec
     * @throws PlumUnsupportedException if there is none; the message names the supported libraries
     */
    static JsonCodec standard() {
        return JsonCodecs.standard();
    }

    /**
     * Writes a value, and converts any exception of the codec.
     *
     * @param codec the codec
     * @param value the value
     * @return compact JSON as UTF-8
     * @throws PlumInvalidArgumentException if the value cannot be written
     */
    static byte[] encode(JsonCodec codec, @Nullable Object value) {
        try {
            return codec.write(value);
        } catch (Exception error) {
            String why = String.valueOf(error.getMessage()).replaceAll("\\p{Cntrl}", " ");
            throw new PlumInvalidArgumentException(
                    "the body cannot be written as JSON: " + why, PlumException.Details.NONE, error);
        }
    }
}
