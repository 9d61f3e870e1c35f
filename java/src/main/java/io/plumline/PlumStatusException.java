package io.plumline;

import java.util.List;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;

/** {@link PlumResponse#raiseForStatus()} was called on a response with a 4xx or 5xx status. */
public final class PlumStatusException extends PlumException {
    private static final long serialVersionUID = 1;

    /**
     * Creates an exception, for tests.
     *
     * @param message one line
     */
    public PlumStatusException(String message) {
        this(message, Details.NONE, null);
    }

    PlumStatusException(String message, Details details, @Nullable Throwable cause) {
        super(message, details, cause);
    }

    @Override
    public Kind kind() {
        return Kind.STATUS;
    }

    /**
     * The status of the response.
     *
     * @return the status; empty in an exception that a test created
     */
    public OptionalInt statusCode() {
        List<TraceStep> trace = trace();
        return trace.isEmpty()
                ? OptionalInt.empty()
                : trace.get(trace.size() - 1).status();
    }

    @Override
    public boolean isRetryable() {
        int status = statusCode().orElse(0);
        return status == 408 || status == 429 || status == 502 || status == 503 || status == 504;
    }
}
