package io.plumline;

import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;

/** How one registration fares. */
public final class RegistrationStats {
    private final Map<String, Object> fields;

    RegistrationStats(Map<String, Object> fields) {
        this.fields = fields;
    }

    /**
     * The service.
     *
     * @return its name
     */
    public String service() {
        return String.valueOf(fields.get("service"));
    }

    /**
     * The instance's id.
     *
     * @return its id
     */
    public String instanceId() {
        return String.valueOf(fields.get("instance_id"));
    }

    /**
     * Where others reach it.
     *
     * @return {@code host:port}
     */
    public String address() {
        return String.valueOf(fields.get("address"));
    }

    /**
     * Where it stands.
     *
     * @return such as {@code registered}
     */
    public String state() {
        return String.valueOf(fields.get("state"));
    }

    /**
     * How long ago a registry last confirmed it.
     *
     * @return seconds; empty if none ever has
     */
    public OptionalDouble lastBeatSeconds() {
        return Stats.optional(fields, "last_beat_s");
    }

    /**
     * Beats that were confirmed.
     *
     * @return how many
     */
    public long beats() {
        return Stats.number(fields, "beats").longValue();
    }

    /**
     * How often it had to be registered anew.
     *
     * @return how often
     */
    public long reregistrations() {
        return Stats.number(fields, "reregistrations").longValue();
    }

    /**
     * What last went wrong.
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
