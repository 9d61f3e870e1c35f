package io.plumline.internal;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;

/** Reads a frame of the native library: big-endian numbers; text and bytes after their length. */
public final class FrameReader {
    static final VarHandle U16 = MethodHandles.byteArrayViewVarHandle(short[].class, ByteOrder.BIG_ENDIAN);
    static final VarHandle U32 = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.BIG_ENDIAN);
    static final VarHandle U64 = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.BIG_ENDIAN);

    final byte[] bytes;
    int position;

    public FrameReader(byte[] bytes) {
        this(bytes, 0);
    }

    public FrameReader(byte[] bytes, int position) {
        this.bytes = bytes;
        this.position = position;
    }

    public boolean hasMore() {
        return position < bytes.length;
    }

    public int u8() {
        return bytes[position++] & 0xff;
    }

    public int u16() {
        int value = (short) U16.get(bytes, position) & 0xffff;
        position += 2;
        return value;
    }

    public int u32() {
        int value = (int) U32.get(bytes, position);
        position += 4;
        return value;
    }

    /** An unsigned count; one that does not fit is {@link Integer#MAX_VALUE}. */
    public int count() {
        int value = u32();
        return value < 0 ? Integer.MAX_VALUE : value;
    }

    public long u64() {
        long value = (long) U64.get(bytes, position);
        position += 8;
        return value;
    }

    public double f64() {
        return Double.longBitsToDouble(u64());
    }

    public String text() {
        int length = u32();
        String text = new String(bytes, position, length, UTF_8);
        position += length;
        return text;
    }

    public byte[] bytes() {
        int length = u32();
        byte[] copy = new byte[length];
        System.arraycopy(bytes, position, copy, 0, length);
        position += length;
        return copy;
    }

    /** Skips a text or bytes with their length. */
    public void skip() {
        int length = u32();
        position += length;
    }

    public List<String> texts() {
        int count = u32();
        List<String> texts = new ArrayList<>(count);
        for (int n = 0; n < count; n++) {
            texts.add(text());
        }
        return List.copyOf(texts);
    }
}
