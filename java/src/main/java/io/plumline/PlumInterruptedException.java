package io.plumline;

import org.jspecify.annotations.Nullable;

/** The thread was interrupted while it was waiting. Its interrupt flag is set. */
public final class PlumInterruptedException extends PlumCancelledException {
    private static final long serialVersionUID = 1;

    /**
     * Creates an exception, for tests.
     *
     * @param message one line
     */
    public PlumInterruptedException(String message) {
        this(message, Details.NONE, null);
    }

    PlumInterruptedException(String message, Details details, @Nullable Throwable cause) {
        super(message, details, cause);
    }
}
