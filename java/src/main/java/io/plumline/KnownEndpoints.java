package io.plumline;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Endpoints that have crossed already, by their number. Lossy: whoever is not found crosses again. Races are harmless,
 * because every entry is immutable and carries its number.
 */
final class KnownEndpoints {
    private static final int MASK = 16_383;
    private static final Entry[] TABLE = new Entry[MASK + 1];

    private KnownEndpoints() {}

    private static final class Entry {
        final int id;
        final Endpoint endpoint;

        Entry(int id, Endpoint endpoint) {
            this.id = id;
            this.endpoint = endpoint;
        }
    }

    static @Nullable Endpoint find(int id) {
        Entry known = TABLE[id & MASK];
        return known != null && known.id == id ? known.endpoint : null;
    }

    /** Reads a number, a length, and the record unless it is known. Number 0 is nobody's. */
    static Endpoint read(FrameReader frame) {
        int id = frame.u32();
        Endpoint known = find(id);
        if (known != null) {
            frame.skip();
            return known;
        }
        frame.u32();
        Endpoint endpoint = Endpoint.read(frame);
        if (id != 0) {
            TABLE[id & MASK] = new Entry(id, endpoint);
        }
        return endpoint;
    }

    static List<Endpoint> readAll(FrameReader frame) {
        int count = frame.u32();
        List<Endpoint> endpoints = new ArrayList<>(count);
        for (int n = 0; n < count; n++) {
            endpoints.add(read(frame));
        }
        return Collections.unmodifiableList(endpoints);
    }
}
