package io.plumline.internal;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.plumline.PlumInvalidArgumentException;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.util.Arrays;

/** Writes a frame for the native library: big-endian numbers; text and bytes after their length. */
public final class FrameWriter {
    private static final int MAX_LENGTH = Integer.MAX_VALUE - 16;

    private byte[] bytes;
    private int length;

    public FrameWriter(int capacity) {
        bytes = new byte[capacity];
    }

    /** Starts with a copy of {@code start}. */
    public FrameWriter(byte[] start, int more) {
        bytes = Arrays.copyOf(start, start.length + more);
        length = start.length;
    }

    public byte[] done() {
        return length == bytes.length ? bytes : Arrays.copyOf(bytes, length);
    }

    public int length() {
        return length;
    }

    public FrameWriter u8(int value) {
        room(1);
        bytes[length++] = (byte) value;
        return this;
    }

    public FrameWriter u16(int value) {
        room(2);
        FrameReader.U16.set(bytes, length, (short) value);
        length += 2;
        return this;
    }

    public FrameWriter u32(int value) {
        room(4);
        FrameReader.U32.set(bytes, length, value);
        length += 4;
        return this;
    }

    public FrameWriter u32At(int place, int value) {
        FrameReader.U32.set(bytes, place, value);
        return this;
    }

    public FrameWriter u64(long value) {
        room(8);
        FrameReader.U64.set(bytes, length, value);
        length += 8;
        return this;
    }

    public FrameWriter raw(byte[] source, int from, int count) {
        room(count);
        System.arraycopy(source, from, bytes, length, count);
        length += count;
        return this;
    }

    public FrameWriter bytes(byte[] value) {
        room(4L + value.length);
        return u32(value.length).raw(value, 0, value.length);
    }

    /**
     * Text as UTF-8.
     *
     * @param name names the text in errors
     * @param value the text
     * @return this
     */
    public FrameWriter text(String name, String value) {
        int count = value.length();
        room(4L + count);
        int start = length + 4;
        for (int n = 0; n < count; n++) {
            char c = value.charAt(n);
            if (c >= 0x80) {
                return nonAscii(name, value);
            }
            bytes[start + n] = (byte) c;
        }
        FrameReader.U32.set(bytes, length, count);
        length = start + count;
        return this;
    }

    private FrameWriter nonAscii(String name, String value) {
        ByteBuffer encoded = utf8(name, value);
        return u32(encoded.remaining()).raw(encoded.array(), encoded.arrayOffset(), encoded.remaining());
    }

    public static byte[] bytesOf(String name, String value) {
        ByteBuffer encoded = utf8(name, value);
        byte[] bytes = new byte[encoded.remaining()];
        encoded.get(bytes);
        return bytes;
    }

    /** Encodes as UTF-8. A Java string with an unpaired surrogate cannot be encoded. */
    static ByteBuffer utf8(String name, String value) {
        try {
            return UTF_8.newEncoder()
                    .onMalformedInput(CodingErrorAction.REPORT)
                    .onUnmappableCharacter(CodingErrorAction.REPORT)
                    .encode(CharBuffer.wrap(value));
        } catch (CharacterCodingException error) {
            throw new PlumInvalidArgumentException(name + " contains an unpaired surrogate and cannot be encoded as UTF-8");
        } catch (OutOfMemoryError error) {
            throw new PlumInvalidArgumentException(name + " is too long: " + value.length() + " characters");
        }
    }

    private void room(long more) {
        long wanted = length + more;
        if (wanted <= bytes.length) {
            return;
        }
        if (wanted > MAX_LENGTH) {
            throw new PlumInvalidArgumentException("the request is larger than 2 GiB, the limit of a Java array");
        }
        bytes = Arrays.copyOf(bytes, (int) Math.min(MAX_LENGTH, Math.max(wanted, 2L * bytes.length)));
    }
}
