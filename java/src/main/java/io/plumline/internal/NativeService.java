package io.plumline.internal;

import io.plumline.Endpoint;
import io.plumline.Pick;
import io.plumline.PlumInvalidArgumentException;
import io.plumline.PlumRequest;
import io.plumline.PlumResponse;
import io.plumline.PlumService;
import io.plumline.Query;
import java.lang.ref.PhantomReference;
import java.lang.ref.Reference;
import java.lang.ref.ReferenceQueue;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * A client's handle of one service.
 *
 * <p>Each open pick occupies a slot in the native library. When a pick is collected without a report, the next
 * {@link #pick()} frees its slot: each pick has a phantom reference, which is ordinary garbage once the pick is settled.
 */
final class NativeService extends Native implements PlumService {
    private static final int CHUNK = 256;

    private final NativeClient client;
    private final Query query;
    private final long handle;
    private final ReferenceQueue<NativePick> collected = new ReferenceQueue<>();
    /** By slot. A chunk stays the same object when chunks are added, so that no entry is lost. */
    volatile OpenPick[][] openPicks = new OpenPick[0][];

    NativeService(NativeClient client, Query query, long handle) {
        this.client = client;
        this.query = query;
        this.handle = handle;
        NativeMemory.freeWithOwner(this, handle);
    }

    @Override
    Callbacks callbacks() {
        return client.callbacks();
    }

    @Override
    public String name() {
        return query.service();
    }

    @Override
    public PlumResponse call(PlumRequest request) {
        if (!request.service().equals(name())) {
            throw new PlumInvalidArgumentException(
                    "the request is for service \"" + request.service() + "\", this handle for \"" + name() + "\"");
        }
        if (ApiAccess.get().isFiltered(request)) {
            throw new PlumInvalidArgumentException("a request through a service handle cannot set version or labels; "
                    + "use client.service(Query.of(name).version(…))");
        }
        return send(request);
    }

    PlumResponse send(PlumRequest request) {
        byte[] response = call(handle, ApiAccess.get().toFrame(request));
        return ApiAccess.get().toResponse(request.service(), response);
    }

    @Override
    public Pick pick() {
        freeCollected();
        long picked = pick(handle); // from the highest bit: 1 bit stale, 31 bits endpoint id, 32 bits key of the pick
        int key = (int) picked;
        Endpoint endpoint = EndpointCache.find((int) (picked >>> 32) & 0x7fff_ffff);
        if (endpoint == null) {
            endpoint = EndpointCache.read(new FrameReader(pickedEndpoint(handle, key)));
        }
        NativePick pick = new NativePick(this, key, endpoint, picked < 0);
        int slot = slotOf(key);
        chunk(slot)[slot % CHUNK] = new OpenPick(pick, collected, key);
        return pick;
    }

    private static int slotOf(int key) {
        return key & 0xff_ffff;
    }

    void settle(int key, int outcome) {
        int slot = slotOf(key);
        openPicks[slot / CHUNK][slot % CHUNK] = null; // before another pick can get the slot
        settle(handle, key, outcome);
    }

    private void freeCollected() {
        Reference<? extends NativePick> reference;
        while ((reference = collected.poll()) != null) {
            OpenPick pick = (OpenPick) reference;
            int slot = slotOf(pick.key);
            if (openPicks[slot / CHUNK][slot % CHUNK] == pick) {
                openPicks[slot / CHUNK][slot % CHUNK] = null; // not the entry of a later pick in this slot
            }
            settle(handle, pick.key, NativePick.NEUTRAL);
        }
    }

    private @Nullable OpenPick[] chunk(int slot) {
        OpenPick[][] chunks = openPicks;
        return slot / CHUNK < chunks.length ? chunks[slot / CHUNK] : addChunks(slot / CHUNK);
    }

    private synchronized OpenPick[] addChunks(int last) {
        OpenPick[][] chunks = openPicks;
        if (last >= chunks.length) {
            int before = chunks.length;
            chunks = Arrays.copyOf(chunks, last + 1);
            for (int n = before; n <= last; n++) {
                chunks[n] = new OpenPick[CHUNK];
            }
            openPicks = chunks;
        }
        return chunks[last];
    }

    static final class OpenPick extends PhantomReference<NativePick> {
        final int key;

        OpenPick(NativePick pick, ReferenceQueue<NativePick> queue, int key) {
            super(pick, queue);
            this.key = key;
        }
    }

    @Override
    public String toString() {
        return "PlumService[" + query + "]";
    }

    private native byte[] call(long handle, byte[] request);

    private native long pick(long handle);

    private native byte[] pickedEndpoint(long handle, int key);

    private native void settle(long handle, int key, int outcome);
}
