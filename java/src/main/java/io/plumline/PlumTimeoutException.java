package io.plumline;

import org.jspecify.annotations.Nullable;

/** The deadline of the call, or of its last attempt, passed. */
public final class PlumTimeoutException extends PlumException {
    private static final long serialVersionUID = 1;

    /**
     * For tests of one's own code.
     *
     * @param message one line
     */
    public PlumTimeoutException(String message) {
        this(message, Story.NONE, null);
    }

    PlumTimeoutException(String message, Story story, @Nullable Throwable cause) {
        super(message, story, cause);
    }

    @Override
    public Kind kind() {
        return Kind.TIMEOUT;
    }
}
