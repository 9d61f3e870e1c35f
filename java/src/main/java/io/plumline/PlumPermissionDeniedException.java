package io.plumline;

import org.jspecify.annotations.Nullable;

/** The server denies permission. */
public final class PlumPermissionDeniedException extends PlumException {
    private static final long serialVersionUID = 1;

    /**
     * Creates an exception, for tests.
     *
     * @param message one line
     */
    public PlumPermissionDeniedException(String message) {
        this(message, Details.NONE, null);
    }

    PlumPermissionDeniedException(String message, Details details, @Nullable Throwable cause) {
        super(message, details, cause);
    }

    @Override
    public Kind kind() {
        return Kind.PERMISSION_DENIED;
    }
}
