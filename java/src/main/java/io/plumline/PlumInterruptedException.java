package io.plumline;

import org.jspecify.annotations.Nullable;

/** The thread was interrupted while it waited; its interrupt flag is set. */
public final class PlumInterruptedException extends PlumCancelledException {
    private static final long serialVersionUID = 1;

    /**
     * For tests of one's own code.
     *
     * @param message one line
     */
    public PlumInterruptedException(String message) {
        this(message, Story.NONE, null);
    }

    PlumInterruptedException(String message, Story story, @Nullable Throwable cause) {
        super(message, story, cause);
    }
}
