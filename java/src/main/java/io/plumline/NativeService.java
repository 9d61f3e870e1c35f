package io.plumline;

import java.lang.ref.PhantomReference;
import java.lang.ref.Reference;
import java.lang.ref.ReferenceQueue;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * A service of a client, bound once.
 *
 * <p>Picks live in slots of the native library. A pick that is collected without a word gives its slot back at the next
 * pick: each has a phantom reference, which is plain garbage once the pick is settled.
 */
final class NativeService extends Native implements PlumService {
    private static final int CHUNK = 256;

    private final NativeClient client;
    private final Query query;
    private final long handle;
    private final ReferenceQueue<NativePick> collected = new ReferenceQueue<>();
    /** By the pick's slot; chunks stay where they are, so that none is lost when there are more. */
    volatile Held[][] held = new Held[0][];

    NativeService(NativeClient client, Query query, long handle) {
        this.client = client;
        this.query = query;
        this.handle = handle;
        Memory.freeAfter(this, handle);
    }

    @Override
    UserCode userCode() {
        return client.userCode();
    }

    @Override
    public String name() {
        return query.service();
    }

    @Override
    public PlumResponse call(PlumRequest request) {
        if (!request.service().equals(name())) {
            throw new PlumInvalidArgumentException(
                    "the request is for \"" + request.service() + "\", this handle for \"" + name() + "\"");
        }
        if (request.isFiltered()) {
            throw new PlumInvalidArgumentException(
                    "version and labels are said when the handle is made: client.service(Query.of(name).version(…))");
        }
        return send(request);
    }

    PlumResponse send(PlumRequest request) {
        return new PlumResponse(request.service(), call(handle, request.frame()));
    }

    @Override
    public Pick pick() {
        giveBack();
        long chosen = choose(handle);
        int key = (int) chosen;
        Endpoint endpoint = KnownEndpoints.find((int) (chosen >>> 32) & 0x7fff_ffff);
        if (endpoint == null) {
            endpoint = KnownEndpoints.read(new FrameReader(chosen(handle, key)));
        }
        NativePick pick = new NativePick(this, key, endpoint, chosen < 0);
        int slot = key & 0xff_ffff;
        chunk(slot)[slot % CHUNK] = new Held(pick, collected, key);
        return pick;
    }

    void settle(int key, int outcome) {
        int slot = key & 0xff_ffff;
        held[slot / CHUNK][slot % CHUNK] = null; // before the slot can be somebody else's
        settle(handle, key, outcome);
    }

    private void giveBack() {
        Reference<? extends NativePick> reference;
        while ((reference = collected.poll()) != null) {
            Held pick = (Held) reference;
            int slot = pick.key & 0xff_ffff;
            if (held[slot / CHUNK][slot % CHUNK] == pick) {
                held[slot / CHUNK][slot % CHUNK] = null; // not what holds the slot's next owner
            }
            settle(handle, pick.key, NativePick.NEUTRAL);
        }
    }

    private @Nullable Held[] chunk(int slot) {
        Held[][] chunks = held;
        return slot / CHUNK < chunks.length ? chunks[slot / CHUNK] : grow(slot / CHUNK);
    }

    private synchronized Held[] grow(int last) {
        Held[][] chunks = held;
        if (last >= chunks.length) {
            int before = chunks.length;
            chunks = Arrays.copyOf(chunks, last + 1);
            for (int n = before; n <= last; n++) {
                chunks[n] = new Held[CHUNK];
            }
            held = chunks;
        }
        return chunks[last];
    }

    static final class Held extends PhantomReference<NativePick> {
        final int key;

        Held(NativePick pick, ReferenceQueue<NativePick> queue, int key) {
            super(pick, queue);
            this.key = key;
        }
    }

    @Override
    public String toString() {
        return "PlumService[" + query + "]";
    }

    private native byte[] call(long handle, byte[] request);

    private native long choose(long handle);

    private native byte[] chosen(long handle, int key);

    private native void settle(long handle, int key, int outcome);
}
