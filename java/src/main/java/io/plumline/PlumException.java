package io.plumline;

import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * What every error of Plumline is: one subclass for each {@link Kind}.
 *
 * <p>The message is one line. {@link #attempts()} and {@link #trace()} tell what was tried.
 */
public abstract class PlumException extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final transient Story story;

    PlumException(String message, Story story, @Nullable Throwable cause) {
        super(message, cause);
        this.story = story;
    }

    /**
     * What kind of error it is.
     *
     * @return the kind
     */
    public abstract Kind kind();

    /**
     * The service it concerns.
     *
     * @return its name; empty if it concerns none
     */
    public Optional<String> service() {
        return Optional.ofNullable(told().service);
    }

    /**
     * The endpoint of the last attempt.
     *
     * @return the endpoint; empty if there was no attempt
     */
    public Optional<Endpoint> endpoint() {
        return Optional.ofNullable(told().endpoint);
    }

    /**
     * How many attempts were made before giving up.
     *
     * @return the number of attempts
     */
    public int attempts() {
        return told().attempts;
    }

    /**
     * What each attempt came to, in order.
     *
     * @return the steps
     */
    public List<TraceStep> trace() {
        return told().trace;
    }

    /**
     * Whether the same call could succeed if it were made again, later or elsewhere.
     *
     * @return true for what may pass
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

    /** One that was serialized comes back with its message alone. */
    private Story told() {
        return story == null ? Story.NONE : story;
    }

    /** What is known beside the message. */
    static final class Story {
        static final Story NONE = new Story(null, null, 0, List.of());

        final @Nullable String service;
        final @Nullable Endpoint endpoint;
        final int attempts;
        final List<TraceStep> trace;

        Story(@Nullable String service, @Nullable Endpoint endpoint, int attempts, List<TraceStep> trace) {
            this.service = service;
            this.endpoint = endpoint;
            this.attempts = attempts;
            this.trace = trace;
        }
    }

    static PlumException read(FrameReader frame, @Nullable Throwable cause) {
        Kind kind = Kind.of(frame.u8());
        boolean interrupted = frame.u8() != 0;
        String message = frame.text();
        String service = frame.u8() != 0 ? frame.text() : null;
        Endpoint endpoint = frame.u8() != 0 ? Endpoint.read(frame) : null;
        int attempts = frame.u32();
        Story story = new Story(service, endpoint, attempts, TraceStep.readAll(frame, endpoint));
        if (interrupted) {
            return new PlumInterruptedException(message, story, cause);
        }
        return of(kind, message, story, cause);
    }

    static PlumException of(Kind kind, String message, Story story, @Nullable Throwable cause) {
        switch (kind) {
            case INVALID_ARGUMENT:
                return new PlumInvalidArgumentException(message, story, cause);
            case NOT_FOUND:
                return new PlumNotFoundException(message, story, cause);
            case NO_ENDPOINT:
                return new PlumNoEndpointException(message, story, cause);
            case TIMEOUT:
                return new PlumTimeoutException(message, story, cause);
            case UNAVAILABLE:
                return new PlumUnavailableException(message, story, cause);
            case CIRCUIT_OPEN:
                return new PlumCircuitOpenException(message, story, cause);
            case OVERLOADED:
                return new PlumOverloadedException(message, story, cause);
            case UNAUTHENTICATED:
                return new PlumUnauthenticatedException(message, story, cause);
            case PERMISSION_DENIED:
                return new PlumPermissionDeniedException(message, story, cause);
            case PROTOCOL:
                return new PlumProtocolException(message, story, cause);
            case CANCELLED:
                return new PlumCancelledException(message, story, cause);
            case CLOSED:
                return new PlumClosedException(message, story, cause);
            case UNSUPPORTED:
                return new PlumUnsupportedException(message, story, cause);
            case STATUS:
                return new PlumStatusException(message, story, cause);
            default:
                return new PlumInternalException(message, story, cause);
        }
    }
}
