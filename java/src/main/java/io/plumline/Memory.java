package io.plumline;

import java.lang.ref.Cleaner;
import java.util.function.LongConsumer;

/** Gives native memory back once the object that holds its number is unreachable, and never before. */
final class Memory extends Native {
    private static final Cleaner CLEANER = Cleaner.create();
    private static final Memory MEMORY = new Memory();

    private Memory() {}

    /** Closes nothing: what is registered stays so. */
    static void freeAfter(NativeClient client, long handle) {
        freeAfter(client, handle, MEMORY::freeClient);
    }

    static void freeAfter(NativeService service, long handle) {
        freeAfter(service, handle, MEMORY::freeService);
    }

    /** Deregisters nothing. */
    static void freeAfter(NativeRegistration registration, long handle) {
        freeAfter(registration, handle, MEMORY::freeRegistration);
    }

    static void freeAfter(NativeWatch watch, long handle) {
        freeAfter(watch, handle, MEMORY::freeWatch);
    }

    /** What frees holds the number and not the holder; it waits for nothing. */
    private static void freeAfter(Object holder, long handle, LongConsumer free) {
        CLEANER.register(holder, () -> free.accept(handle));
    }

    private native void freeClient(long handle);

    private native void freeService(long handle);

    private native void freeRegistration(long handle);

    private native void freeWatch(long handle);
}
