package io.plumline;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;

/** Takes apart what the native library has put together: highest byte first, text behind its length. */
final class FrameReader {
    static final VarHandle U16 = MethodHandles.byteArrayViewVarHandle(short[].class, ByteOrder.BIG_ENDIAN);
    static final VarHandle U32 = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.BIG_ENDIAN);
    static final VarHandle U64 = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.BIG_ENDIAN);

    final byte[] bytes;
    int position;

    FrameReader(byte[] bytes) {
        this(bytes, 0);
    }

    FrameReader(byte[] bytes, int position) {
        this.bytes = bytes;
        this.position = position;
    }

    int u8() {
        return bytes[position++] & 0xff;
    }

    int u16() {
        int value = (short) U16.get(bytes, position) & 0xffff;
        position += 2;
        return value;
    }

    int u32() {
        int value = (int) U32.get(bytes, position);
        position += 4;
        return value;
    }

    /** A count, the largest that an int can hold at most. */
    int count() {
        int value = u32();
        return value < 0 ? Integer.MAX_VALUE : value;
    }

    long u64() {
        long value = (long) U64.get(bytes, position);
        position += 8;
        return value;
    }

    double f64() {
        return Double.longBitsToDouble(u64());
    }

    String text() {
        int length = u32();
        String text = new String(bytes, position, length, UTF_8);
        position += length;
        return text;
    }

    byte[] bytes() {
        int length = u32();
        byte[] copy = new byte[length];
        System.arraycopy(bytes, position, copy, 0, length);
        position += length;
        return copy;
    }

    void skip() {
        int length = u32();
        position += length;
    }

    List<String> texts() {
        int count = u32();
        List<String> texts = new ArrayList<>(count);
        for (int n = 0; n < count; n++) {
            texts.add(text());
        }
        return List.copyOf(texts);
    }
}
