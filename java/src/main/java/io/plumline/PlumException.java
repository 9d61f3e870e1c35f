package io.plumline;

import io.plumline.internal.FrameReader;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * The base class of all exceptions of Plumline. There is one subclass for each {@link Kind}.
 *
 * <p>The message is one line. {@link #attempts()} and {@link #trace()} describe the attempts of the call.
 */
public abstract class PlumException extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final transient Details details;

    PlumException(String message, Details details, @Nullable Throwable cause) {
        super(message, cause);
        this.details = details;
    }

    /**
     * The kind of error.
     *
     * @return the kind
     */
    public abstract Kind kind();

    /**
     * The service of the call.
     *
     * @return its name; empty if the error does not concern a service
     */
    public Optional<String> service() {
        return Optional.ofNullable(details().service);
    }

    /**
     * The endpoint of the last attempt.
     *
     * @return the endpoint; empty if there was no attempt
     */
    public Optional<Endpoint> endpoint() {
        return Optional.ofNullable(details().endpoint);
    }

    /**
     * How many attempts were made.
     *
     * @return the number of attempts
     */
    public int attempts() {
        return details().attempts;
    }

    /**
     * The result of each attempt, in order.
     *
     * @return the steps
     */
    public List<TraceStep> trace() {
        return details().trace;
    }

    /**
     * Whether the same call may succeed later or at another endpoint.
     *
     * @return true if a retry may succeed
     */
    public boolean isRetryable() {
        switch (kind()) {
            case NO_ENDPOINT:
            case TIMEOUT:
            case UNAVAILABLE:
            case CIRCUIT_OPEN:
            case OVERLOADED:
                return true;
            default:
                return false;
        }
    }

    /** A deserialized exception has no details. */
    private Details details() {
        return details == null ? Details.NONE : details;
    }

    /** Service, endpoint and attempts of the call that failed. */
    static final class Details {
        static final Details NONE = new Details(null, null, 0, List.of());

        final @Nullable String service;
        final @Nullable Endpoint endpoint;
        final int attempts;
        final List<TraceStep> trace;

        Details(@Nullable String service, @Nullable Endpoint endpoint, int attempts, List<TraceStep> trace) {
            this.service = service;
            this.endpoint = endpoint;
            this.attempts = attempts;
            this.trace = trace;
        }
    }

    static PlumException read(FrameReader frame) {
        Kind kind = Kind.of(frame.u8());
        boolean interrupted = frame.u8() != 0;
        String message = frame.text();
        String service = frame.u8() != 0 ? frame.text() : null;
        Endpoint endpoint = frame.u8() != 0 ? Endpoint.read(frame) : null;
        int attempts = frame.u32();
        Details details = new Details(service, endpoint, attempts, TraceStep.readList(frame, endpoint));
        if (interrupted) {
            return new PlumInterruptedException(message, details, null);
        }
        return of(kind, message, details, null);
    }

    /** The exception of a call that ended because a callback threw {@code cause}. */
    PlumException causedByCallback(@Nullable Throwable cause) {
        if (cause instanceof InterruptedException) {
            return new PlumInterruptedException("the thread was interrupted in a callback", details(), cause);
        }
        String thrown = String.valueOf(cause).replaceAll("\\p{Cntrl}", " ");
        return new PlumCancelledException(getMessage() + ": " + thrown, details(), cause);
    }

    static PlumException of(Kind kind, String message, Details details, @Nullable Throwable cause) {
        switch (kind) {
            case INVALID_ARGUMENT:
                return new PlumInvalidArgumentException(message, details, cause);
            case NOT_FOUND:
                return new PlumNotFoundException(message, details, cause);
            case NO_ENDPOINT:
                return new PlumNoEndpointException(message, details, cause);
            case TIMEOUT:
                return new PlumTimeoutException(message, details, cause);
            case UNAVAILABLE:
                return new PlumUnavailableException(message, details, cause);
            case CIRCUIT_OPEN:
                return new PlumCircuitOpenException(message, details, cause);
            case OVERLOADED:
                return new PlumOverloadedException(message, details, cause);
            case UNAUTHENTICATED:
                return new PlumUnauthenticatedException(message, details, cause);
            case PERMISSION_DENIED:
                return new PlumPermissionDeniedException(message, details, cause);
            case PROTOCOL:
                return new PlumProtocolException(message, details, cause);
            case CANCELLED:
                return new PlumCancelledException(message, details, cause);
            case CLOSED:
                return new PlumClosedException(message, details, cause);
            case UNSUPPORTED:
                return new PlumUnsupportedException(message, details, cause);
            case STATUS:
                return new PlumStatusException(message, details, cause);
            default:
                return new PlumInternalException(message, details, cause);
        }
    }
}
