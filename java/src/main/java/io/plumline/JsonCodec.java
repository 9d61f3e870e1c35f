package io.plumline;

import java.lang.reflect.Type;
import org.jspecify.annotations.Nullable;

/**
 * How values become JSON and back: what {@link PlumRequest#json} and {@link PlumResponse#json} use.
 *
 * <p>The one in use is the first that {@link java.util.ServiceLoader} finds; else Jackson 3, Jackson 2 or Gson,
 * whichever is there. Implementations are used by many threads at once.
 */
public interface JsonCodec {
    /**
     * Writes a value.
     *
     * @param value the value; may be null
     * @return compact JSON as UTF-8
     * @throws Exception for a value that cannot be written
     */
    byte[] write(@Nullable Object value) throws Exception;

    /**
     * Reads a value.
     *
     * @param bytes holds JSON as UTF-8
     * @param offset where it begins
     * @param length how many bytes it has
     * @param type what it is to become
     * @return the value
     * @throws Exception if it is no such JSON
     */
    Object read(byte[] bytes, int offset, int length, Type type) throws Exception;

    /**
     * The codec in use.
     *
     * @return the codec
     * @throws PlumUnsupportedException where there is none; the message names those that would be found
     */
    static JsonCodec standard() {
        return JsonCodecs.standard();
    }

    /**
     * Writes a value, with an exception of ours for what cannot be written.
     *
     * @param codec the codec
     * @param value the value
     * @return compact JSON as UTF-8
     * @throws PlumInvalidArgumentException for a value that cannot be written
     */
    static byte[] encode(JsonCodec codec, @Nullable Object value) {
        try {
            return codec.write(value);
        } catch (Exception error) {
            String why = String.valueOf(error.getMessage()).replaceAll("\\p{Cntrl}", " ");
            throw new PlumInvalidArgumentException("the body is no JSON: " + why, PlumException.Story.NONE, error);
        }
    }
}
