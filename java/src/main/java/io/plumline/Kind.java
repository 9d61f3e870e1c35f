package io.plumline;

/** Kinds of errors. The numbers are the same in every language and are never reused. */
public enum Kind {
    /** An argument or setting is invalid; the message names it and says what is valid. */
    INVALID_ARGUMENT(1),
    /** The requested key does not exist. */
    NOT_FOUND(2),
    /** The service has no usable endpoint; the message says why. */
    NO_ENDPOINT(3),
    /** The call, or its last attempt, timed out. */
    TIMEOUT(4),
    /** No connection could be opened, or the connection broke. */
    UNAVAILABLE(5),
    /** The circuit breaker of the service is open. */
    CIRCUIT_OPEN(6),
    /** A limit of this client rejected the call. */
    OVERLOADED(7),
    /** Credentials are missing or invalid. */
    UNAUTHENTICATED(8),
    /** The server denies permission. */
    PERMISSION_DENIED(9),
    /** The response violates the protocol or is too large, or the certificate of the server is invalid. */
    PROTOCOL(10),
    /** The caller cancelled the call, or a callback threw an exception. */
    CANCELLED(11),
    /** The client is closed. */
    CLOSED(12),
    /** This registry or endpoint does not support the operation. */
    UNSUPPORTED(13),
    /** {@link PlumResponse#raiseForStatus()} was called on a response with a 4xx or 5xx status. */
    STATUS(14),
    /** A bug in Plumline; please report it. */
    INTERNAL(99);

    private static final Kind[] ALL = values();

    private final int number;

    Kind(int number) {
        this.number = number;
    }

    /**
     * The number used in every language.
     *
     * @return the number
     */
    public int number() {
        return number;
    }

    static Kind of(int number) {
        for (Kind kind : ALL) {
            if (kind.number == number) {
                return kind;
            }
        }
        return INTERNAL;
    }
}
