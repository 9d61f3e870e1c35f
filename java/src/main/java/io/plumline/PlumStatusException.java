package io.plumline;

import java.util.List;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;

/** {@link PlumResponse#raiseForStatus()} met a 4xx or 5xx answer. */
public final class PlumStatusException extends PlumException {
    private static final long serialVersionUID = 1;

    /**
     * For tests of one's own code.
     *
     * @param message one line
     */
    public PlumStatusException(String message) {
        this(message, Story.NONE, null);
    }

    PlumStatusException(String message, Story story, @Nullable Throwable cause) {
        super(message, story, cause);
    }

    @Override
    public Kind kind() {
        return Kind.STATUS;
    }

    /**
     * The status that was met.
     *
     * @return the status; empty in an exception that a test has made itself
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
