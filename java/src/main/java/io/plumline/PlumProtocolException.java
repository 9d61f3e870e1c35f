package io.plumline;

import org.jspecify.annotations.Nullable;

/** The response violates the protocol or is too large, or the certificate of the server is invalid. */
public final class PlumProtocolException extends PlumException {
    private static final long serialVersionUID = 1;

    /**
     * Creates an exception, for tests.
     *
     * @param message one line
     */
    public PlumProtocolException(String message) {
        this(message, Details.NONE, null);
    }

    PlumProtocolException(String message, Details details, @Nullable Throwable cause) {
        super(message, details, cause);
    }

    @Override
    public Kind kind() {
        return Kind.PROTOCOL;
    }
}
