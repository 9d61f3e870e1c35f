package io.plumline;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * What a program registers: itself. Immutable: every setter returns another one.
 *
 * <pre>{@code plum.register(Instance.of("orders", 8080).version("v2").label("env", "production"))}</pre>
 */
public final class Instance {
    /** By the core's own names; what is absent is as the core has it. */
    private final Map<String, Object> fields;

    private Instance(Map<String, Object> fields) {
        this.fields = fields;
    }

    /**
     * A healthy {@code http} instance of weight 1.
     *
     * @param service the service it offers
     * @param port the port others reach it at
     * @return the instance
     */
    public static Instance of(String service, int port) {
        Map<String, Object> fields = new LinkedHashMap<>();
        fields.put("service", Objects.requireNonNull(service, "service"));
        fields.put("port", (long) port);
        return new Instance(fields);
    }

    static Instance fromJson(String json) {
        @SuppressWarnings("unchecked") // the core writes an object
        Map<String, Object> fields = (Map<String, Object>) Json.read(json);
        fields.values().removeIf(Objects::isNull);
        return new Instance(fields);
    }

    String toJson() {
        return Json.write(fields);
    }

    private Instance with(String name, Object value) {
        Map<String, Object> changed = new LinkedHashMap<>(fields);
        changed.put(name, Objects.requireNonNull(value, name));
        return new Instance(changed);
    }

    private String text(String name) {
        return (String) fields.getOrDefault(name, "");
    }

    /**
     * The same at another port.
     *
     * @param port the port others reach it at
     * @return another instance
     */
    public Instance port(int port) {
        return with("port", (long) port);
    }

    /**
     * The same at another host.
     *
     * @param host where others reach it; found out when empty
     * @return another instance
     */
    public Instance host(String host) {
        return with("host", host);
    }

    /**
     * The same with another protocol.
     *
     * @param protocol {@code http} unless said otherwise
     * @return another instance
     */
    public Instance protocol(String protocol) {
        return with("protocol", protocol);
    }

    /**
     * The same in another version.
     *
     * @param version its version
     * @return another instance
     */
    public Instance version(String version) {
        return with("version", version);
    }

    /**
     * The same with one more label.
     *
     * @param name the label's name
     * @param value the label's value
     * @return another instance
     */
    public Instance label(String name, String value) {
        Map<String, String> labels = new TreeMap<>(labels());
        labels.put(Objects.requireNonNull(name, "name"), Objects.requireNonNull(value, "value"));
        return with("labels", labels);
    }

    /**
     * The same with these labels and no others.
     *
     * @param labels names and values
     * @return another instance
     */
    public Instance labels(Map<String, String> labels) {
        labels.forEach((name, value) -> Objects.requireNonNull(value, "the label " + name));
        return with("labels", new TreeMap<>(labels));
    }

    /**
     * The same with another weight.
     *
     * @param weight its share of the traffic; 0 gets none
     * @return another instance
     */
    public Instance weight(int weight) {
        return with("weight", (long) weight);
    }

    /**
     * The same in another zone.
     *
     * @param zone the zone it runs in; the client's when empty
     * @return another instance
     */
    public Instance zone(String zone) {
        return with("zone", zone);
    }

    /**
     * The same with one more tag.
     *
     * @param tag the tag
     * @return another instance
     */
    public Instance tag(String tag) {
        List<String> tags = new ArrayList<>(tags());
        tags.add(Objects.requireNonNull(tag, "tag"));
        return with("tags", tags);
    }

    /**
     * The same with these tags and no others.
     *
     * @param tags the tags
     * @return another instance
     */
    public Instance tags(List<String> tags) {
        return with("tags", List.copyOf(tags));
    }

    /**
     * Sets how long the registry keeps it without hearing from it.
     *
     * @param ttl the time; {@code registration.ttl} of the configuration by default
     * @return another instance
     */
    public Instance ttl(Duration ttl) {
        return with("ttl", Times.text("ttl", ttl));
    }

    /**
     * The same with another id.
     *
     * @param id its id; {@code {service}-{host}-{port}} by default, so that a restart replaces its own ghost
     * @return another instance
     */
    public Instance instanceId(String id) {
        return with("instance_id", id);
    }

    /**
     * Sets whether it wants to be called.
     *
     * @param healthy true by default
     * @return another instance
     */
    public Instance healthy(boolean healthy) {
        return with("healthy", healthy);
    }

    /**
     * The service it offers.
     *
     * @return its name
     */
    public String service() {
        return text("service");
    }

    /**
     * Where others reach it.
     *
     * @return the host; empty while it is not found out
     */
    public String host() {
        return text("host");
    }

    /**
     * The port others reach it at.
     *
     * @return the port
     */
    public int port() {
        return ((Number) fields.getOrDefault("port", 0L)).intValue();
    }

    /**
     * Its protocol.
     *
     * @return {@code http} unless said otherwise
     */
    public String protocol() {
        return (String) fields.getOrDefault("protocol", "http");
    }

    /**
     * Its version.
     *
     * @return the version; empty where there is none
     */
    public String version() {
        return text("version");
    }

    /**
     * Its labels.
     *
     * @return names and values
     */
    public Map<String, String> labels() {
        @SuppressWarnings("unchecked") // put here as such, or read from the core's own
        Map<String, String> labels = (Map<String, String>) fields.getOrDefault("labels", Map.of());
        return Collections.unmodifiableMap(labels);
    }

    /**
     * Its share of the traffic.
     *
     * @return the weight; 1 unless said otherwise
     */
    public int weight() {
        return ((Number) fields.getOrDefault("weight", 1L)).intValue();
    }

    /**
     * The zone it runs in.
     *
     * @return the zone; empty where there is none
     */
    public String zone() {
        return text("zone");
    }

    /**
     * Its tags.
     *
     * @return the tags
     */
    public List<String> tags() {
        @SuppressWarnings("unchecked") // put here as such, or read from the core's own
        List<String> tags = (List<String>) fields.getOrDefault("tags", List.of());
        return Collections.unmodifiableList(tags);
    }

    /**
     * Its id.
     *
     * @return the id; empty while it is not decided
     */
    public String instanceId() {
        return text("instance_id");
    }

    /**
     * Whether it wants to be called.
     *
     * @return true unless said otherwise
     */
    public boolean healthy() {
        return (Boolean) fields.getOrDefault("healthy", Boolean.TRUE);
    }

    @Override
    public boolean equals(@Nullable Object other) {
        return other instanceof Instance && fields.equals(((Instance) other).fields);
    }

    @Override
    public int hashCode() {
        return fields.hashCode();
    }

    @Override
    public String toString() {
        return "Instance" + fields;
    }
}
