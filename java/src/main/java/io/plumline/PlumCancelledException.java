package io.plumline;

import org.jspecify.annotations.Nullable;

/** The caller cancelled the call, or a callback threw an exception, which is then the cause. */
public class PlumCancelledException extends PlumException {
    private static final long serialVersionUID = 1;

    /**
     * Creates an exception, for tests.
     *
     * @param message one line
     */
    public PlumCancelledException(String message) {
        this(message, Details.NONE, null);
    }

    PlumCancelledException(String message, Details details, @Nullable Throwable cause) {
        super(message, details, cause);
    }

    @Override
    public Kind kind() {
        return Kind.CANCELLED;
    }
}
