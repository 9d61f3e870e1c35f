package io.plumline;

import java.lang.ref.Cleaner;

/** Gives native memory back once the object that holds its number is unreachable, and never before. */
final class Cleaning {
    private static final Cleaner CLEANER = Cleaner.create();

    private Cleaning() {}

    /**
     * Frees when the holder is gone.
     *
     * @param free holds the number and not the holder; closes nothing and waits for nothing
     */
    static void freeAfter(Object holder, Runnable free) {
        CLEANER.register(holder, free);
    }
}
