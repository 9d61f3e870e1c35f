package io.plumline;

import org.jspecify.annotations.Nullable;

/** The service's circuit breaker is open. */
public final class PlumCircuitOpenException extends PlumException {
    private static final long serialVersionUID = 1;

    /**
     * For tests of one's own code.
     *
     * @param message one line
     */
    public PlumCircuitOpenException(String message) {
        this(message, Story.NONE, null);
    }

    PlumCircuitOpenException(String message, Story story, @Nullable Throwable cause) {
        super(message, story, cause);
    }

    @Override
    public Kind kind() {
        return Kind.CIRCUIT_OPEN;
    }
}
