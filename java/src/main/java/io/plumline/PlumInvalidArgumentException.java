package io.plumline;

import org.jspecify.annotations.Nullable;

/** An argument or setting is invalid; the message names it and says what is valid. */
public final class PlumInvalidArgumentException extends PlumException {
    private static final long serialVersionUID = 1;

    /**
     * Creates an exception, for tests.
     *
     * @param message one line
     */
    public PlumInvalidArgumentException(String message) {
        this(message, Details.NONE, null);
    }

    PlumInvalidArgumentException(String message, Details details, @Nullable Throwable cause) {
        super(message, details, cause);
    }

    @Override
    public Kind kind() {
        return Kind.INVALID_ARGUMENT;
    }
}
