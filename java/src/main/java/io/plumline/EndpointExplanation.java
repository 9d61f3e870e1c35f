package io.plumline;

import io.plumline.internal.FrameReader;
import java.util.List;
import java.util.OptionalDouble;

/** Whether one endpoint would be called, and why or why not. Part of an {@link Explanation}. */
public final class EndpointExplanation {
    private final Endpoint endpoint;
    private final boolean usable;
    private final List<String> reasons;
    private final double ewmaMs;
    private final double success;
    private final int inFlight;
    private final int weight;

    EndpointExplanation(FrameReader frame) {
        endpoint = Endpoint.read(frame);
        usable = frame.u8() != 0;
        reasons = frame.texts();
        ewmaMs = frame.f64();
        success = frame.f64();
        inFlight = frame.count();
        weight = frame.count();
    }

    /**
     * The address of the endpoint.
     *
     * @return {@code ip:port}
     */
    public String address() {
        return endpoint.address();
    }

    /**
     * The endpoint.
     *
     * @return the endpoint
     */
    public Endpoint endpoint() {
        return endpoint;
    }

    /**
     * Whether the endpoint would be called.
     *
     * @return true if it would be called
     */
    public boolean usable() {
        return usable;
    }

    /**
     * Why it would not be called, or is less likely to be called.
     *
     * @return the reasons, one line each
     */
    public List<String> reasons() {
        return reasons;
    }

    /**
     * Moving average of the latency.
     *
     * @return milliseconds; empty before the first result
     */
    public OptionalDouble ewmaMs() {
        return Double.isNaN(ewmaMs) ? OptionalDouble.empty() : OptionalDouble.of(ewmaMs);
    }

    /**
     * Moving average of the success rate.
     *
     * @return 0 to 1
     */
    public double success() {
        return success;
    }

    /**
     * Calls and picks that have not ended yet.
     *
     * @return their number
     */
    public int inFlight() {
        return inFlight;
    }

    /**
     * The weight of the endpoint.
     *
     * @return its share of the traffic relative to the other endpoints
     */
    public int weight() {
        return weight;
    }

    @Override
    public String toString() {
        return "EndpointExplanation[" + address() + (usable ? " usable" : " not usable")
                + (reasons.isEmpty() ? "" : ": " + String.join("; ", reasons)) + "]";
    }
}
