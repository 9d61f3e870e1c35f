package io.plumline;

import org.jspecify.annotations.Nullable;

/** The client is closed. */
public final class PlumClosedException extends PlumException {
    private static final long serialVersionUID = 1;

    /**
     * Creates an exception, for tests.
     *
     * @param message one line
     */
    public PlumClosedException(String message) {
        this(message, Details.NONE, null);
    }

    PlumClosedException(String message, Details details, @Nullable Throwable cause) {
        super(message, details, cause);
    }

    @Override
    public Kind kind() {
        return Kind.CLOSED;
    }
}
