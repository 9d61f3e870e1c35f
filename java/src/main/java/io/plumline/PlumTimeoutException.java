package io.plumline;

import org.jspecify.annotations.Nullable;

/** The call, or its last attempt, timed out. */
public final class PlumTimeoutException extends PlumException {
    private static final long serialVersionUID = 1;

    /**
     * Creates an exception, for tests.
     *
     * @param message one line
     */
    public PlumTimeoutException(String message) {
        this(message, Details.NONE, null);
    }

    PlumTimeoutException(String message, Details details, @Nullable Throwable cause) {
        super(message, details, cause);
    }

    @Override
    public Kind kind() {
        return Kind.TIMEOUT;
    }
}
