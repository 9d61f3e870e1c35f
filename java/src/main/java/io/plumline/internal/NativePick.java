package io.plumline.internal;

import io.plumline.Endpoint;
import io.plumline.Pick;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.lang.ref.Reference;

/** A pick that waits in a slot of its service in the native library. */
final class NativePick implements Pick {
    static final int NEUTRAL = 0;
    static final int SUCCESS = 1;
    static final int FAILURE = 2;

    private static final VarHandle SETTLED;

    static {
        try {
            SETTLED = MethodHandles.lookup().findVarHandle(NativePick.class, "settled", boolean.class);
        } catch (ReflectiveOperationException error) {
            throw new ExceptionInInitializerError(error);
        }
    }

    private final NativeService service;
    private final int key;
    private final Endpoint endpoint;
    private final boolean stale;

    @SuppressWarnings("unused") // accessed by SETTLED
    private boolean settled;

    NativePick(NativeService service, int key, Endpoint endpoint, boolean stale) {
        this.service = service;
        this.key = key;
        this.endpoint = endpoint;
        this.stale = stale;
    }

    @Override
    public Endpoint endpoint() {
        return endpoint;
    }

    @Override
    public boolean isStale() {
        return stale;
    }

    @Override
    public void success() {
        settle(SUCCESS);
    }

    @Override
    public void failure() {
        settle(FAILURE);
    }

    @Override
    public void close() {
        settle(FAILURE);
    }

    private void settle(int outcome) {
        if (SETTLED.compareAndSet(this, false, true)) {
            try {
                service.settle(key, outcome);
            } finally {
                // If this were collected before, another thread would treat it as a pick that nobody reported on.
                Reference.reachabilityFence(this);
            }
        }
    }

    @Override
    public String toString() {
        return "Pick[" + endpoint.address() + "]";
    }
}
