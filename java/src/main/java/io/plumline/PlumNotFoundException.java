package io.plumline;

import org.jspecify.annotations.Nullable;

/** The requested key does not exist. */
public final class PlumNotFoundException extends PlumException {
    private static final long serialVersionUID = 1;

    /**
     * Creates an exception, for tests.
     *
     * @param message one line
     */
    public PlumNotFoundException(String message) {
        this(message, Details.NONE, null);
    }

    PlumNotFoundException(String message, Details details, @Nullable Throwable cause) {
        super(message, details, cause);
    }

    @Override
    public Kind kind() {
        return Kind.NOT_FOUND;
    }
}
