package io.plumline.internal;

import java.lang.ref.Cleaner;
import java.util.function.LongConsumer;

/** Frees the native memory behind a handle once the object that owns the handle is unreachable. */
final class NativeMemory extends Native {
    private static final Cleaner CLEANER = Cleaner.create();
    private static final NativeMemory MEMORY = new NativeMemory();

    private NativeMemory() {}

    /** Does not close the client: its registrations stay. */
    static void freeWithOwner(NativeClient client, long handle) {
        freeWithOwner(client, handle, MEMORY::freeClient);
    }

    static void freeWithOwner(NativeService service, long handle) {
        freeWithOwner(service, handle, MEMORY::freeService);
    }

    /** Does not deregister. */
    static void freeWithOwner(NativeRegistration registration, long handle) {
        freeWithOwner(registration, handle, MEMORY::freeRegistration);
    }

    static void freeWithOwner(NativeWatch watch, long handle) {
        freeWithOwner(watch, handle, MEMORY::freeWatch);
    }

    /** The action holds the handle and not the owner, and never blocks. */
    private static void freeWithOwner(Object owner, long handle, LongConsumer free) {
        CLEANER.register(owner, () -> free.accept(handle));
    }

    private native void freeClient(long handle);

    private native void freeService(long handle);

    private native void freeRegistration(long handle);

    private native void freeWatch(long handle);
}
