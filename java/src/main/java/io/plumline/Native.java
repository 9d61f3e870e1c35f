package io.plumline;

import org.jspecify.annotations.Nullable;

/**
 * An object whose methods cross to the native library. From there only these methods are called, on the receiver
 * of the native that runs and on its thread.
 */
abstract class Native {
    /** What code of the user's threw inside the native that runs on this thread. */
    private static final ThreadLocal<Throwable> RAISED = new ThreadLocal<>();

    /** Hooks, balancers and the transport of the client; null where there can be none. */
    @Nullable
    UserCode userCode() {
        return null;
    }

    /** Throws what the native library has to say. */
    @SuppressWarnings("unused") // called by the native library
    private void fail(byte[] error, boolean raised) {
        if (!raised) {
            throw PlumException.read(new FrameReader(error), null);
        }
        Throwable cause = RAISED.get();
        RAISED.remove();
        if (cause instanceof Error) {
            throw (Error) cause; // a failed assertion in a test's stub, memory that ran out
        }
        if (cause instanceof PlumException) {
            throw (PlumException) cause; // what ended a hook's own call, or a header that cannot be set
        }
        if (cause instanceof InterruptedException) {
            Thread.currentThread().interrupt();
            throw new PlumInterruptedException("the thread was interrupted in a callback", story(error), cause);
        }
        PlumException told = PlumException.read(new FrameReader(error), null);
        throw new PlumCancelledException(told.getMessage() + ": " + oneLine(cause), story(error), cause);
    }

    private static PlumException.Story story(byte[] error) {
        PlumException told = PlumException.read(new FrameReader(error), null);
        return new PlumException.Story(
                told.service().orElse(null), told.endpoint().orElse(null), told.attempts(), told.trace());
    }

    private static String oneLine(@Nullable Throwable cause) {
        return String.valueOf(cause).replaceAll("\\p{Cntrl}", " ");
    }

    /** Runs code of the user's; null if it threw. */
    @SuppressWarnings("unused") // called by the native library
    private byte @Nullable [] ask(int what, byte[] question) {
        try {
            UserCode code = userCode();
            if (code == null) {
                throw new IllegalStateException("there is no callback here");
            }
            return code.answer(what, new FrameReader(question));
        } catch (Throwable raised) {
            RAISED.set(raised);
            return null;
        }
    }

    /** Asked by whoever waits; the flag stays. */
    @SuppressWarnings("unused") // called by the native library
    private boolean interrupted() {
        return Thread.currentThread().isInterrupted();
    }
}
