package io.plumline;

import java.util.List;
import java.util.OptionalDouble;

/** What is thought of one endpoint. */
public final class Verdict {
    private final Endpoint endpoint;
    private final boolean usable;
    private final List<String> reasons;
    private final double ewmaMs;
    private final double success;
    private final int inFlight;
    private final int weight;

    Verdict(FrameReader frame) {
        endpoint = Endpoint.read(frame);
        usable = frame.u8() != 0;
        reasons = frame.texts();
        ewmaMs = frame.f64();
        success = frame.f64();
        inFlight = frame.count();
        weight = frame.count();
    }

    /**
     * Where it is.
     *
     * @return {@code ip:port}
     */
    public String address() {
        return endpoint.address();
    }

    /**
     * Its record.
     *
     * @return the endpoint
     */
    public Endpoint endpoint() {
        return endpoint;
    }

    /**
     * Whether it would be called.
     *
     * @return whether it would
     */
    public boolean usable() {
        return usable;
    }

    /**
     * Why not, or what speaks against it.
     *
     * @return the reasons, in words
     */
    public List<String> reasons() {
        return reasons;
    }

    /**
     * What a use takes (a moving average).
     *
     * @return milliseconds; empty until a use has ended
     */
    public OptionalDouble ewmaMs() {
        return Double.isNaN(ewmaMs) ? OptionalDouble.empty() : OptionalDouble.of(ewmaMs);
    }

    /**
     * The share of uses that go well (a moving average).
     *
     * @return 0 to 1
     */
    public double success() {
        return success;
    }

    /**
     * Uses that have not ended yet.
     *
     * @return how many
     */
    public int inFlight() {
        return inFlight;
    }

    /**
     * Its share against the others'.
     *
     * @return the weight
     */
    public int weight() {
        return weight;
    }

    @Override
    public String toString() {
        return "Verdict[" + address() + (usable ? " usable" : " not used")
                + (reasons.isEmpty() ? "" : ": " + String.join("; ", reasons)) + "]";
    }
}
