package io.plumline;

import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;

/** How one registry fares. */
public final class RegistryStats {
    private final Map<String, Object> fields;

    RegistryStats(Map<String, Object> fields) {
        this.fields = fields;
    }

    /**
     * Its address, without secrets.
     *
     * @return the address
     */
    public String source() {
        return String.valueOf(fields.get("source"));
    }

    /**
     * Whether it answers at present.
     *
     * @return whether it does
     */
    public boolean up() {
        return Boolean.TRUE.equals(fields.get("up"));
    }

    /**
     * Whether what it does not list is believed to be gone.
     *
     * @return whether it is
     */
    public boolean settled() {
        return Boolean.TRUE.equals(fields.get("settled"));
    }

    /**
     * How long ago it last answered.
     *
     * @return seconds; empty if it never has
     */
    public OptionalDouble heardSeconds() {
        return Stats.optional(fields, "heard_s");
    }

    /**
     * How often it was lost.
     *
     * @return how often
     */
    public long losses() {
        return Stats.number(fields, "losses").longValue();
    }

    /**
     * Its last failure, told also once it answers again.
     *
     * @return one line; empty where there is none
     */
    public Optional<String> lastError() {
        return Optional.ofNullable((String) fields.get("last_error"));
    }

    @Override
    public String toString() {
        return Json.write(fields);
    }
}
