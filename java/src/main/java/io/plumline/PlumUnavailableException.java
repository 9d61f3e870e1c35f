package io.plumline;

import org.jspecify.annotations.Nullable;

/** No connection could be opened, or the connection broke. */
public final class PlumUnavailableException extends PlumException {
    private static final long serialVersionUID = 1;

    /**
     * Creates an exception, for tests.
     *
     * @param message one line
     */
    public PlumUnavailableException(String message) {
        this(message, Details.NONE, null);
    }

    PlumUnavailableException(String message, Details details, @Nullable Throwable cause) {
        super(message, details, cause);
    }

    @Override
    public Kind kind() {
        return Kind.UNAVAILABLE;
    }
}
