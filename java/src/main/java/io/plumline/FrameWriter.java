package io.plumline;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.util.Arrays;

/** Puts together what crosses to the native library: highest byte first, text behind its length. */
final class FrameWriter {
    private static final int MOST = Integer.MAX_VALUE - 16;

    private byte[] bytes;
    private int length;

    FrameWriter(int capacity) {
        bytes = new byte[capacity];
    }

    /** Begins with what another has written. */
    FrameWriter(byte[] start, int more) {
        bytes = Arrays.copyOf(start, start.length + more);
        length = start.length;
    }

    byte[] done() {
        return length == bytes.length ? bytes : Arrays.copyOf(bytes, length);
    }

    int length() {
        return length;
    }

    FrameWriter u8(int value) {
        room(1);
        bytes[length++] = (byte) value;
        return this;
    }

    FrameWriter u16(int value) {
        room(2);
        FrameReader.U16.set(bytes, length, (short) value);
        length += 2;
        return this;
    }

    FrameWriter u32(int value) {
        room(4);
        FrameReader.U32.set(bytes, length, value);
        length += 4;
        return this;
    }

    FrameWriter u32At(int place, int value) {
        FrameReader.U32.set(bytes, place, value);
        return this;
    }

    FrameWriter u64(long value) {
        room(8);
        FrameReader.U64.set(bytes, length, value);
        length += 8;
        return this;
    }

    FrameWriter raw(byte[] source, int from, int count) {
        room(count);
        System.arraycopy(source, from, bytes, length, count);
        length += count;
        return this;
    }

    FrameWriter bytes(byte[] value) {
        room(4L + value.length);
        return u32(value.length).raw(value, 0, value.length);
    }

    /**
     * Text as UTF-8.
     *
     * @param name what it is, should it be none
     */
    FrameWriter text(String name, String value) {
        int count = value.length();
        room(4L + count);
        int start = length + 4;
        for (int n = 0; n < count; n++) {
            char c = value.charAt(n);
            if (c >= 0x80) {
                return beyondAscii(name, value);
            }
            bytes[start + n] = (byte) c;
        }
        FrameReader.U32.set(bytes, length, count);
        length = start + count;
        return this;
    }

    private FrameWriter beyondAscii(String name, String value) {
        ByteBuffer encoded = utf8(name, value);
        return u32(encoded.remaining()).raw(encoded.array(), encoded.arrayOffset(), encoded.remaining());
    }

    static byte[] bytesOf(String name, String value) {
        ByteBuffer encoded = utf8(name, value);
        byte[] bytes = new byte[encoded.remaining()];
        encoded.get(bytes);
        return bytes;
    }

    /** UTF-8; Java's strings can hold what is none. */
    static ByteBuffer utf8(String name, String value) {
        try {
            return UTF_8.newEncoder()
                    .onMalformedInput(CodingErrorAction.REPORT)
                    .onUnmappableCharacter(CodingErrorAction.REPORT)
                    .encode(CharBuffer.wrap(value));
        } catch (CharacterCodingException error) {
            throw new PlumInvalidArgumentException(name + " holds half a surrogate pair, which is no text");
        } catch (OutOfMemoryError error) {
            throw new PlumInvalidArgumentException(name + " is too long: " + value.length() + " characters");
        }
    }

    private void room(long more) {
        long wanted = length + more;
        if (wanted <= bytes.length) {
            return;
        }
        if (wanted > MOST) {
            throw new PlumInvalidArgumentException("that is more than 2 GiB, which an array cannot hold");
        }
        bytes = Arrays.copyOf(bytes, (int) Math.min(MOST, Math.max(wanted, 2L * bytes.length)));
    }
}
