package io.plumline;

import java.util.Map;

/** What is counted for one service. */
public final class ServiceStats {
    private final Map<String, Object> fields;

    ServiceStats(Map<String, Object> fields) {
        this.fields = fields;
    }

    /**
     * Calls that ended.
     *
     * @return how many
     */
    public long calls() {
        return Stats.number(fields, "calls").longValue();
    }

    /**
     * Calls that ended without an answer.
     *
     * @return how many
     */
    public long failures() {
        return Stats.number(fields, "failures").longValue();
    }

    /**
     * Attempts of calls, the first ones included, probes not.
     *
     * @return how many
     */
    public long attempts() {
        return Stats.number(fields, "attempts").longValue();
    }

    /**
     * Attempts beyond each call's first.
     *
     * @return how many
     */
    public long retries() {
        return Stats.number(fields, "retries").longValue();
    }

    /**
     * Endpoints handed out by picks.
     *
     * @return how many
     */
    public long picks() {
        return Stats.number(fields, "picks").longValue();
    }

    /**
     * Picks that were never reported on.
     *
     * @return how many
     */
    public long unreported() {
        return Stats.number(fields, "unreported").longValue();
    }

    /**
     * Endpoints taken out of rotation.
     *
     * @return how many
     */
    public long ejections() {
        return Stats.number(fields, "ejections").longValue();
    }

    /**
     * Attempts and connects that asked an ejected endpoint how it is.
     *
     * @return how many
     */
    public long probes() {
        return Stats.number(fields, "probes").longValue();
    }

    /**
     * How many retries the budget holds.
     *
     * @return how many
     */
    public double budget() {
        return Stats.number(fields, "budget").doubleValue();
    }

    /**
     * Whether its list is older than it should be, because the registry does not answer.
     *
     * @return whether it is
     */
    public boolean stale() {
        return Boolean.TRUE.equals(fields.get("stale"));
    }

    /**
     * Each endpoint, by its address.
     *
     * @return the endpoints
     */
    public Map<String, EndpointStats> endpoints() {
        return Stats.map(fields, "endpoints", EndpointStats::new);
    }

    @Override
    public String toString() {
        return Json.write(fields);
    }
}
