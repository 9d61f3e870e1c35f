package io.plumline;

import java.util.Map;
import java.util.OptionalDouble;

/** What is counted for one endpoint. */
public final class EndpointStats {
    private final Map<String, Object> fields;

    EndpointStats(Map<String, Object> fields) {
        this.fields = fields;
    }

    /**
     * Uses that have ended.
     *
     * @return how many
     */
    public long attempts() {
        return Stats.number(fields, "attempts").longValue();
    }

    /**
     * Those among them that failed.
     *
     * @return how many
     */
    public long failures() {
        return Stats.number(fields, "failures").longValue();
    }

    /**
     * Uses that have not ended yet.
     *
     * @return how many
     */
    public long inFlight() {
        return Stats.number(fields, "in_flight").longValue();
    }

    /**
     * What a use takes (a moving average).
     *
     * @return milliseconds; empty until one has ended
     */
    public OptionalDouble ewmaMs() {
        return Stats.optional(fields, "ewma_ms");
    }

    /**
     * The share of uses that go well (a moving average).
     *
     * @return 0 to 1
     */
    public double success() {
        return Stats.number(fields, "success").doubleValue();
    }

    /**
     * Whether it is out of rotation.
     *
     * @return whether it is
     */
    public boolean ejected() {
        return Boolean.TRUE.equals(fields.get("ejected"));
    }

    @Override
    public String toString() {
        return Json.write(fields);
    }
}
