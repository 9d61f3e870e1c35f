package io.plumline;

import java.time.Duration;
import java.util.Optional;

/** Current figures of the endpoints that a {@link Balancer} chooses from, by index in its list. */
public final class Choice {
    private final int[] inFlight;
    private final long[] latency;
    private final boolean[] tried;

    Choice(int[] inFlight, long[] latency, boolean[] tried) {
        this.inFlight = inFlight;
        this.latency = latency;
        this.tried = tried;
    }

    /**
     * Calls and picks that have not ended yet.
     *
     * @param index index of the endpoint
     * @return their number
     */
    public int inFlight(int index) {
        return inFlight[index];
    }

    /**
     * Moving average of the latency.
     *
     * @param index index of the endpoint
     * @return the latency; empty before the first result
     */
    public Optional<Duration> latency(int index) {
        return latency[index] < 0 ? Optional.empty() : Optional.of(Duration.ofNanos(latency[index]));
    }

    /**
     * Whether this call has already tried the endpoint.
     *
     * @param index index of the endpoint
     * @return true if an earlier attempt went to it
     */
    public boolean tried(int index) {
        return tried[index];
    }
}
