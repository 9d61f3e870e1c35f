package io.plumline;

import java.util.List;
import java.util.Map;

/** How the lists of endpoints fare. */
public final class CacheStats {
    private final Map<String, Object> fields;

    CacheStats(Map<String, Object> fields) {
        this.fields = fields;
    }

    /**
     * Services it holds.
     *
     * @return how many
     */
    public long services() {
        return Stats.number(fields, "services").longValue();
    }

    /**
     * Look-ups answered from memory.
     *
     * @return how many
     */
    public long hits() {
        return Stats.number(fields, "hits").longValue();
    }

    /**
     * Look-ups that had to wait for a registry.
     *
     * @return how many
     */
    public long misses() {
        return Stats.number(fields, "misses").longValue();
    }

    /**
     * Lists heard in the background.
     *
     * @return how many
     */
    public long refreshes() {
        return Stats.number(fields, "refreshes").longValue();
    }

    /**
     * Services whose list is older than it should be.
     *
     * @return how many
     */
    public long stale() {
        return Stats.number(fields, "stale").longValue();
    }

    /**
     * Age of the oldest list.
     *
     * @return seconds
     */
    public double oldestSeconds() {
        return Stats.number(fields, "oldest_s").doubleValue();
    }

    /**
     * Each registry.
     *
     * @return the registries
     */
    public List<RegistryStats> registries() {
        return Stats.list(fields, "registries", RegistryStats::new);
    }

    @Override
    public String toString() {
        return Json.write(fields);
    }
}
