package io.plumline;

import org.jspecify.annotations.Nullable;

/** A limit of this client rejected the call. */
public final class PlumOverloadedException extends PlumException {
    private static final long serialVersionUID = 1;

    /**
     * Creates an exception, for tests.
     *
     * @param message one line
     */
    public PlumOverloadedException(String message) {
        this(message, Details.NONE, null);
    }

    PlumOverloadedException(String message, Details details, @Nullable Throwable cause) {
        super(message, details, cause);
    }

    @Override
    public Kind kind() {
        return Kind.OVERLOADED;
    }
}
