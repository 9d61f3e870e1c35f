package io.plumline.internal;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/** Header fields in a frame: a count, then each name and value. A field is decoded only when it is requested. */
public final class HeaderFields {
    private HeaderFields() {}

    /** The first value of that name; upper and lower case do not matter. */
    public static Optional<String> find(FrameReader fields, String name) {
        int count = fields.u32();
        for (int n = 0; n < count; n++) {
            int length = fields.u32();
            boolean matches = length == name.length() && isNamed(fields.bytes, fields.position, name);
            fields.position += length;
            if (matches) {
                return Optional.of(value(fields));
            }
            fields.skip();
        }
        return Optional.empty();
    }

    private static boolean isNamed(byte[] bytes, int start, String name) {
        for (int n = 0; n < name.length(); n++) {
            if (lower(bytes[start + n]) != lower(name.charAt(n))) {
                return false;
            }
        }
        return true;
    }

    private static int lower(int c) {
        return c >= 'A' && c <= 'Z' ? c + 32 : c;
    }

    /** All fields; upper and lower case of names do not matter. */
    public static Map<String, List<String>> map(FrameReader fields) {
        Map<String, List<String>> map = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
        int count = fields.u32();
        for (int n = 0; n < count; n++) {
            map.computeIfAbsent(fields.text(), name -> new ArrayList<>(1)).add(value(fields));
        }
        map.replaceAll((name, values) -> Collections.unmodifiableList(values));
        return Collections.unmodifiableMap(map);
    }

    /** Decodes UTF-8; bytes that are not valid UTF-8 are read as Latin-1. */
    private static String value(FrameReader fields) {
        int length = fields.u32();
        int start = fields.position;
        fields.position += length;
        try {
            return UTF_8.newDecoder()
                    .decode(ByteBuffer.wrap(fields.bytes, start, length))
                    .toString();
        } catch (CharacterCodingException error) {
            return new String(fields.bytes, start, length, ISO_8859_1);
        }
    }
}
