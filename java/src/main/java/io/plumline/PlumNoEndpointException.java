package io.plumline;

import org.jspecify.annotations.Nullable;

/** The service has no usable endpoint; the message says why. */
public final class PlumNoEndpointException extends PlumException {
    private static final long serialVersionUID = 1;

    /**
     * Creates an exception, for tests.
     *
     * @param message one line
     */
    public PlumNoEndpointException(String message) {
        this(message, Details.NONE, null);
    }

    PlumNoEndpointException(String message, Details details, @Nullable Throwable cause) {
        super(message, details, cause);
    }

    @Override
    public Kind kind() {
        return Kind.NO_ENDPOINT;
    }
}
