package io.plumline;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.lang.ref.Reference;

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

    @SuppressWarnings("unused") // through its handle
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
                // Were it collected meanwhile, another thread would find it among those that nobody settled.
                Reference.reachabilityFence(this);
            }
        }
    }

    @Override
    public String toString() {
        return "Pick[" + endpoint.address() + "]";
    }
}
