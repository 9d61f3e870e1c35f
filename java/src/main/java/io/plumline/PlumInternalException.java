package io.plumline;

import org.jspecify.annotations.Nullable;

/** A bug in Plumline; please report it. */
public final class PlumInternalException extends PlumException {
    private static final long serialVersionUID = 1;

    /**
     * Creates an exception, for tests.
     *
     * @param message one line
     */
    public PlumInternalException(String message) {
        this(message, Details.NONE, null);
    }

    PlumInternalException(String message, Details details, @Nullable Throwable cause) {
        super(message, details, cause);
    }

    @Override
    public Kind kind() {
        return Kind.INTERNAL;
    }
}
