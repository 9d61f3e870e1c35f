package io.plumline.internal;

import io.plumline.PlumException;
import org.jspecify.annotations.Nullable;

/**
 * Base class of all classes with native methods. The native library calls back only the methods declared here: on the
 * receiver of the native method that is running, and on its thread.
 */
abstract class Native {
    /** What a callback threw inside the native method that is running on this thread. */
    private static final ThreadLocal<Throwable> THROWN = new ThreadLocal<>();

    /** The client's hooks, balancers and transport; null for an object without callbacks. */
    @Nullable
    Callbacks callbacks() {
        return null;
    }

    /**
     * Throws the error of a native method.
     *
     * @param error the core's error
     * @param inCallback whether a callback threw; its exception is in {@link #THROWN}
     */
    @SuppressWarnings("unused") // called by the native library
    private void throwError(byte[] error, boolean inCallback) {
        FrameReader frame = new FrameReader(error);
        if (!inCallback) {
            throw ApiAccess.get().readException(frame);
        }
        Throwable cause = THROWN.get();
        THROWN.remove();
        if (cause instanceof Error) {
            throw (Error) cause; // a failed assertion in a test's transport, or out of memory
        }
        if (cause instanceof PlumException) {
            throw (PlumException) cause; // from a call inside the callback, or a header that was rejected
        }
        if (cause instanceof InterruptedException) {
            Thread.currentThread().interrupt();
        }
        throw ApiAccess.get().callbackFailed(frame, cause);
    }

    /**
     * Runs a callback.
     *
     * @param which its number
     * @param arguments its arguments
     * @return its result; null if it threw
     */
    @SuppressWarnings("unused") // called by the native library
    private byte @Nullable [] invokeCallback(int which, byte[] arguments) {
        try {
            Callbacks callbacks = callbacks();
            if (callbacks == null) {
                throw new IllegalStateException("this object has no callbacks");
            }
            return callbacks.invoke(which, new FrameReader(arguments));
        } catch (Throwable thrown) {
            THROWN.set(thrown);
            return null;
        }
    }

    /** Called about every 100 ms while a native method waits. Does not clear the interrupt flag. */
    @SuppressWarnings("unused") // called by the native library
    private boolean isInterrupted() {
        return Thread.currentThread().isInterrupted();
    }
}
