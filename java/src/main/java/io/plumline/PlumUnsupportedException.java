package io.plumline;

import org.jspecify.annotations.Nullable;

/** This registry or endpoint does not support the operation. */
public final class PlumUnsupportedException extends PlumException {
    private static final long serialVersionUID = 1;

    /**
     * Creates an exception, for tests.
     *
     * @param message one line
     */
    public PlumUnsupportedException(String message) {
        this(message, Details.NONE, null);
    }

    PlumUnsupportedException(String message, Details details, @Nullable Throwable cause) {
        super(message, details, cause);
    }

    @Override
    public Kind kind() {
        return Kind.UNSUPPORTED;
    }
}
