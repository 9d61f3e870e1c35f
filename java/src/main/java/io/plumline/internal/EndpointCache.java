package io.plumline.internal;

import io.plumline.Endpoint;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Endpoints that the native library has sent before, by id, so that each is decoded once. A newer endpoint replaces the
 * one in the same place; the native library then sends the older one again. Data races are harmless, because every
 * entry is immutable and carries its id.
 */
public final class EndpointCache {
    private static final int MASK = 16_383;
    private static final Entry[] TABLE = new Entry[MASK + 1];

    private EndpointCache() {}

    private static final class Entry {
        final int id;
        final Endpoint endpoint;

        Entry(int id, Endpoint endpoint) {
            this.id = id;
            this.endpoint = endpoint;
        }
    }

    static @Nullable Endpoint find(int id) {
        Entry entry = TABLE[id & MASK];
        return entry != null && entry.id == id ? entry.endpoint : null;
    }

    /** Reads an id, a length, and the fields unless the id is in the cache. An endpoint with id 0 is not cached. */
    public static Endpoint read(FrameReader frame) {
        int id = frame.u32();
        Endpoint known = find(id);
        if (known != null) {
            frame.skip();
            return known;
        }
        frame.u32();
        Endpoint endpoint = ApiAccess.get().readEndpoint(frame);
        if (id != 0) {
            TABLE[id & MASK] = new Entry(id, endpoint);
        }
        return endpoint;
    }

    public static List<Endpoint> readList(FrameReader frame) {
        int count = frame.u32();
        List<Endpoint> endpoints = new ArrayList<>(count);
        for (int n = 0; n < count; n++) {
            endpoints.add(read(frame));
        }
        return Collections.unmodifiableList(endpoints);
    }
}
