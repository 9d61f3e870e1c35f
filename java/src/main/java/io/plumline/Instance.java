package io.plumline;

import io.plumline.internal.Durations;
import io.plumline.internal.Json;
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
 * An instance of a service that a program registers, usually itself. Immutable: each setter returns a new instance.
 *
 * <pre>{@code plum.register(Instance.of("orders", 8080).version("v2").label("env", "production"))}</pre>
 */
public final class Instance {
    /** By the names of the core. A missing field has the default value of the core. */
    private final Map<String, Object> fields;

    private Instance(Map<String, Object> fields) {
        this.fields = fields;
    }

    /**
     * Creates a healthy instance with protocol {@code http} and weight 1.
     *
     * @param service the service
     * @param port the port under which other programs reach it
     * @return the instance
     */
    public static Instance of(String service, int port) {
        Map<String, Object> fields = new LinkedHashMap<>();
        fields.put("service", Objects.requireNonNull(service, "service"));
        fields.put("port", (long) port);
        return new Instance(fields);
    }

    static Instance fromJson(String json) {
        Map<String, Object> fields = Json.asObject(Json.read(json));
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
     * Sets the port.
     *
     * @param port the port under which other programs reach it
     * @return a new instance
     */
    public Instance port(int port) {
        return with("port", (long) port);
    }

    /**
     * Sets the host.
     *
     * @param host the host under which other programs reach it; if empty, the client determines it
     * @return a new instance
     */
    public Instance host(String host) {
        return with("host", host);
    }

    /**
     * Sets the protocol.
     *
     * @param protocol {@code http} by default
     * @return a new instance
     */
    public Instance protocol(String protocol) {
        return with("protocol", protocol);
    }

    /**
     * Sets the version.
     *
     * @param version the version
     * @return a new instance
     */
    public Instance version(String version) {
        return with("version", version);
    }

    /**
     * Adds a label.
     *
     * @param name the name of the label
     * @param value the value of the label
     * @return a new instance
     */
    public Instance label(String name, String value) {
        Map<String, String> labels = new TreeMap<>(labels());
        labels.put(Objects.requireNonNull(name, "name"), Objects.requireNonNull(value, "value"));
        return with("labels", labels);
    }

    /**
     * Sets the labels, replacing all others.
     *
     * @param labels names and values
     * @return a new instance
     */
    public Instance labels(Map<String, String> labels) {
        labels.forEach((name, value) -> Objects.requireNonNull(value, "the label " + name));
        return with("labels", new TreeMap<>(labels));
    }

    /**
     * Sets the weight.
     *
     * @param weight its share of the traffic; with weight 0 it receives none
     * @return a new instance
     */
    public Instance weight(int weight) {
        return with("weight", (long) weight);
    }

    /**
     * Sets the zone.
     *
     * @param zone the zone; if empty, the zone of the client
     * @return a new instance
     */
    public Instance zone(String zone) {
        return with("zone", zone);
    }

    /**
     * Adds a tag.
     *
     * @param tag the tag
     * @return a new instance
     */
    public Instance tag(String tag) {
        List<String> tags = new ArrayList<>(tags());
        tags.add(Objects.requireNonNull(tag, "tag"));
        return with("tags", tags);
    }

    /**
     * Sets the tags, replacing all others.
     *
     * @param tags the tags
     * @return a new instance
     */
    public Instance tags(List<String> tags) {
        return with("tags", List.copyOf(tags));
    }

    /**
     * Sets how long the registry keeps the instance without a heartbeat.
     *
     * @param ttl the time; by default {@code registration.ttl} of the configuration
     * @return a new instance
     */
    public Instance ttl(Duration ttl) {
        return with("ttl", Durations.text("ttl", ttl));
    }

    /**
     * Sets the id.
     *
     * @param id the id; by default {@code {service}-{host}-{port}}, so that a restarted program replaces its old instance
     * @return a new instance
     */
    public Instance instanceId(String id) {
        return with("instance_id", id);
    }

    /**
     * Sets whether other programs may call it.
     *
     * @param healthy true by default
     * @return a new instance
     */
    public Instance healthy(boolean healthy) {
        return with("healthy", healthy);
    }

    /**
     * The service.
     *
     * @return its name
     */
    public String service() {
        return text("service");
    }

    /**
     * The host under which other programs reach it.
     *
     * @return the host; empty until the client has determined it
     */
    public String host() {
        return text("host");
    }

    /**
     * The port under which other programs reach it.
     *
     * @return the port
     */
    public int port() {
        return ((Number) fields.getOrDefault("port", 0L)).intValue();
    }

    /**
     * The protocol.
     *
     * @return {@code http} by default
     */
    public String protocol() {
        return (String) fields.getOrDefault("protocol", "http");
    }

    /**
     * The version.
     *
     * @return the version; empty if there is none
     */
    public String version() {
        return text("version");
    }

    /**
     * The labels.
     *
     * @return names and values
     */
    public Map<String, String> labels() {
        @SuppressWarnings("unchecked") // set by labels() or tags(), or read from the core
        Map<String, String> labels = (Map<String, String>) fields.getOrDefault("labels", Map.of());
        return Collections.unmodifiableMap(labels);
    }

    /**
     * The weight: its share of the traffic.
     *
     * @return the weight; 1 by default
     */
    public int weight() {
        return ((Number) fields.getOrDefault("weight", 1L)).intValue();
    }

    /**
     * The zone.
     *
     * @return the zone; empty if there is none
     */
    public String zone() {
        return text("zone");
    }

    /**
     * The tags.
     *
     * @return the tags
     */
    public List<String> tags() {
        @SuppressWarnings("unchecked") // set by labels() or tags(), or read from the core
        List<String> tags = (List<String>) fields.getOrDefault("tags", List.of());
        return Collections.unmodifiableList(tags);
    }

    /**
     * The id.
     *
     * @return the id; empty until the client has determined it
     */
    public String instanceId() {
        return text("instance_id");
    }

    /**
     * Whether other programs may call it.
     *
     * @return true by default
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
