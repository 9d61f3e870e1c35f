package io.plumline;

import org.jspecify.annotations.Nullable;

/** The circuit breaker of the service is open. */
public final class PlumCircuitOpenException extends PlumException {
    private static final long serialVersionUID = 1;

    /**
     * Creates an exception, for tests.
     *
     * @param message one line
     */
    public PlumCircuitOpenException(String message) {
        this(message, Details.NONE, null);
    }

    PlumCircuitOpenException(String message, Details details, @Nullable Throwable cause) {
        super(message, details, cause);
    }

    @Override
    public Kind kind() {
        return Kind.CIRCUIT_OPEN;
    }
}
