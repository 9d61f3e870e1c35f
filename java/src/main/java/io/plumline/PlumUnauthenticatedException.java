package io.plumline;

import org.jspecify.annotations.Nullable;

/** Credentials are missing or invalid. */
public final class PlumUnauthenticatedException extends PlumException {
    private static final long serialVersionUID = 1;

    /**
     * Creates an exception, for tests.
     *
     * @param message one line
     */
    public PlumUnauthenticatedException(String message) {
        this(message, Details.NONE, null);
    }

    PlumUnauthenticatedException(String message, Details details, @Nullable Throwable cause) {
        super(message, details, cause);
    }

    @Override
    public Kind kind() {
        return Kind.UNAUTHENTICATED;
    }
}
