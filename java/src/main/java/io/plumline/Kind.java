package io.plumline;

/** What went wrong. The numbers are the same in every language and are never reused. */
public enum Kind {
    /** The caller passed something that cannot be right; the message names it and what would be. */
    INVALID_ARGUMENT(1),
    /** The key asked for does not exist. */
    NOT_FOUND(2),
    /** No endpoint could be chosen; the message says why. */
    NO_ENDPOINT(3),
    /** The deadline of the call, or of its last attempt, passed. */
    TIMEOUT(4),
    /** No connection, or one that broke. */
    UNAVAILABLE(5),
    /** The service's circuit breaker is open. */
    CIRCUIT_OPEN(6),
    /** A local limit refused the call. */
    OVERLOADED(7),
    /** The other side wants to know who asks. */
    UNAUTHENTICATED(8),
    /** The other side knows who asks, and says no. */
    PERMISSION_DENIED(9),
    /** The answer broke the protocol, its certificate did not verify, or it was larger than allowed. */
    PROTOCOL(10),
    /** The caller ended the wait. */
    CANCELLED(11),
    /** The client was closed. */
    CLOSED(12),
    /** This registry or endpoint cannot do that. */
    UNSUPPORTED(13),
    /** {@link PlumResponse#raiseForStatus()} met a 4xx or 5xx answer. */
    STATUS(14),
    /** A defect of Plumline; please report it. */
    INTERNAL(99);

    private static final Kind[] ALL = values();

    private final int number;

    Kind(int number) {
        this.number = number;
    }

    /**
     * Its number, the same in every language.
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
