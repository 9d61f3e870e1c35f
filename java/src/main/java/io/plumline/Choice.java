package io.plumline;

import java.time.Duration;
import java.util.Optional;

/** What a choice may depend on beside the endpoints: figures, by the endpoint's index. */
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
     * @param index which endpoint
     * @return how many
     */
    public int inFlight(int index) {
        return inFlight[index];
    }

    /**
     * What a use takes (a moving average).
     *
     * @param index which endpoint
     * @return the time; empty until a use has ended
     */
    public Optional<Duration> latency(int index) {
        return latency[index] < 0 ? Optional.empty() : Optional.of(Duration.ofNanos(latency[index]));
    }

    /**
     * Whether this call has asked it already.
     *
     * @param index which endpoint
     * @return whether it has
     */
    public boolean tried(int index) {
        return tried[index];
    }
}
