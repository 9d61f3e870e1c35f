package io.plumline;

import io.plumline.internal.FrameReader;
import io.plumline.internal.FrameWriter;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * One address of one instance of a service. Immutable; endpoints are equal if all their fields are equal.
 *
 * <p>{@link #of} and the {@code with…} methods create endpoints for tests and for {@link PlumClient#publish}.
 */
public final class Endpoint {
    private static final Pattern IPV4 = Pattern.compile("[0-9]{1,3}(\\.[0-9]{1,3}){3}");

    private final String service;
    private final String instanceId;
    private final String nodeId;
    private final String host;
    private final String ip;
    private final int port;
    private final String protocol;
    private final String version;
    private final Map<String, String> labels;
    private final int weight;
    private final String zone;
    private final boolean healthy;
    private final long lastSeen;
    private final String source;
    private final String generation;

    /** The fields of a new endpoint. */
    private static final class Fields {
        String service = "";
        String instanceId = "";
        String nodeId = "";
        String host = "";
        String ip = "";
        int port;
        String protocol = "http";
        String version = "";
        Map<String, String> labels = Map.of();
        int weight = 1;
        String zone = "";
        boolean healthy = true;
        long lastSeen;
        String source = "";
        String generation = "";
    }

    private Endpoint(Fields fields) {
        service = fields.service;
        instanceId = fields.instanceId;
        nodeId = fields.nodeId;
        host = fields.host;
        ip = fields.ip;
        port = fields.port;
        protocol = fields.protocol;
        version = fields.version;
        labels = fields.labels;
        weight = fields.weight;
        zone = fields.zone;
        healthy = fields.healthy;
        lastSeen = fields.lastSeen;
        source = fields.source;
        generation = fields.generation;
    }

    /**
     * Creates a healthy endpoint with protocol {@code http} and weight 1.
     *
     * @param service the service
     * @param ip the IP address; a host name is not valid
     * @param port the port, 0 to 65535
     * @return the endpoint
     * @throws PlumInvalidArgumentException if {@code ip} or {@code port} is invalid
     */
    public static Endpoint of(String service, String ip, int port) {
        Fields fields = new Fields();
        fields.service = Objects.requireNonNull(service, "service");
        fields.host = checkIp(Objects.requireNonNull(ip, "ip"));
        fields.ip = ip;
        if (port < 0 || port > 65_535) {
            throw new PlumInvalidArgumentException("port is " + port + "; it must be from 0 to 65535");
        }
        fields.port = port;
        fields.instanceId = service + "-" + ip + "-" + port;
        return new Endpoint(fields);
    }

    private static String checkIp(String ip) {
        try {
            // getByName does not query DNS for such text.
            if (ip.indexOf(':') >= 0 && ip.indexOf('[') < 0 || IPV4.matcher(ip).matches()) {
                InetAddress.getByName(ip);
                return ip;
            }
        } catch (UnknownHostException error) {
            // reported below
        }
        throw new PlumInvalidArgumentException(
                "\"" + ip + "\" is not an IP address; set a host name with withHost()");
    }

    /**
     * The service.
     *
     * @return its name
     */
    public String service() {
        return service;
    }

    /**
     * The id of the instance.
     *
     * @return the id
     */
    public String instanceId() {
        return instanceId;
    }

    /**
     * The id of the node that the instance runs on, as the registry names it.
     *
     * @return the id; empty if unknown
     */
    public String nodeId() {
        return nodeId;
    }

    /**
     * The registered host name or address. The Host header and the TLS server name are taken from it.
     *
     * @return the host
     */
    public String host() {
        return host;
    }

    /**
     * The IP address of the host.
     *
     * @return the IP address
     */
    public String ip() {
        return ip;
    }

    /**
     * The port.
     *
     * @return the port
     */
    public int port() {
        return port;
    }

    /**
     * The protocol: {@code http}, {@code https}, {@code grpc}, {@code tcp}, …
     *
     * @return the protocol
     */
    public String protocol() {
        return protocol;
    }

    /**
     * The version.
     *
     * @return the version; empty if there is none
     */
    public String version() {
        return version;
    }

    /**
     * The labels.
     *
     * @return the labels, sorted by name
     */
    public Map<String, String> labels() {
        return labels;
    }

    /**
     * The weight: its share of the traffic relative to other endpoints. With weight 0 it receives no traffic.
     *
     * @return the weight; 1 by default
     */
    public int weight() {
        return weight;
    }

    /**
     * The zone.
     *
     * @return the zone; empty if unknown
     */
    public String zone() {
        return zone;
    }

    /**
     * Whether the registry reports the endpoint as healthy.
     *
     * @return true if it is healthy
     */
    public boolean healthy() {
        return healthy;
    }

    /**
     * When the registry last received a heartbeat of the instance, by the clock of the registry.
     *
     * @return Unix time in seconds; 0 if the registry does not report it
     */
    public long lastSeen() {
        return lastSeen;
    }

    /**
     * The address of the registry that lists the endpoint, without secrets.
     *
     * @return the address; empty if it is from no registry
     */
    public String source() {
        return source;
    }

    /**
     * A random value of each registration. It changes when the program restarts.
     *
     * @return the generation; empty if the registry does not support it
     */
    public String generation() {
        return generation;
    }

    /**
     * IP address and port.
     *
     * @return {@code ip:port}, with an IPv6 address in brackets
     */
    public String address() {
        return (ip.indexOf(':') < 0 ? ip : "[" + ip + "]") + ":" + port;
    }

    /**
     * Returns a copy with another host name.
     *
     * @param host the host name
     * @return the copy
     */
    public Endpoint withHost(String host) {
        Fields fields = fields();
        fields.host = Objects.requireNonNull(host, "host");
        return new Endpoint(fields);
    }

    /**
     * Returns a copy with another protocol.
     *
     * @param protocol the protocol
     * @return the copy
     */
    public Endpoint withProtocol(String protocol) {
        Fields fields = fields();
        fields.protocol = Objects.requireNonNull(protocol, "protocol");
        return new Endpoint(fields);
    }

    /**
     * Returns a copy with another version.
     *
     * @param version the version
     * @return the copy
     */
    public Endpoint withVersion(String version) {
        Fields fields = fields();
        fields.version = Objects.requireNonNull(version, "version");
        return new Endpoint(fields);
    }

    /**
     * Returns a copy with these labels and no others.
     *
     * @param labels the labels
     * @return the copy
     */
    public Endpoint withLabels(Map<String, String> labels) {
        Fields fields = fields();
        fields.labels = sorted(Objects.requireNonNull(labels, "labels"));
        return new Endpoint(fields);
    }

    /**
     * Returns a copy with another weight.
     *
     * @param weight the weight, 0 or more
     * @return the copy
     */
    public Endpoint withWeight(int weight) {
        if (weight < 0) {
            throw new PlumInvalidArgumentException("weight is " + weight + "; it must not be negative");
        }
        Fields fields = fields();
        fields.weight = weight;
        return new Endpoint(fields);
    }

    /**
     * Returns a copy with another zone.
     *
     * @param zone the zone
     * @return the copy
     */
    public Endpoint withZone(String zone) {
        Fields fields = fields();
        fields.zone = Objects.requireNonNull(zone, "zone");
        return new Endpoint(fields);
    }

    /**
     * Returns a copy that is healthy or not.
     *
     * @param healthy whether it is healthy
     * @return the copy
     */
    public Endpoint withHealthy(boolean healthy) {
        Fields fields = fields();
        fields.healthy = healthy;
        return new Endpoint(fields);
    }

    /**
     * Returns a copy with another instance id.
     *
     * @param instanceId the id
     * @return the copy
     */
    public Endpoint withInstanceId(String instanceId) {
        Fields fields = fields();
        fields.instanceId = Objects.requireNonNull(instanceId, "instanceId");
        return new Endpoint(fields);
    }

    private Fields fields() {
        Fields fields = new Fields();
        fields.service = service;
        fields.instanceId = instanceId;
        fields.nodeId = nodeId;
        fields.host = host;
        fields.ip = ip;
        fields.port = port;
        fields.protocol = protocol;
        fields.version = version;
        fields.labels = labels;
        fields.weight = weight;
        fields.zone = zone;
        fields.healthy = healthy;
        fields.lastSeen = lastSeen;
        fields.source = source;
        fields.generation = generation;
        return fields;
    }

    private static Map<String, String> sorted(Map<String, String> labels) {
        labels.forEach((name, value) -> Objects.requireNonNull(value, "the label " + name));
        return labels.isEmpty() ? Map.of() : Collections.unmodifiableMap(new TreeMap<>(labels));
    }

    static Endpoint read(FrameReader frame) {
        Fields fields = new Fields();
        fields.service = frame.text();
        fields.instanceId = frame.text();
        fields.nodeId = frame.text();
        fields.host = frame.text();
        fields.ip = frame.text();
        fields.port = frame.u16();
        fields.protocol = frame.text();
        fields.version = frame.text();
        int count = frame.u32();
        if (count > 0) {
            Map<String, String> labels = new TreeMap<>();
            for (int n = 0; n < count; n++) {
                labels.put(frame.text(), frame.text());
            }
            fields.labels = Collections.unmodifiableMap(labels);
        }
        fields.weight = frame.count();
        fields.zone = frame.text();
        fields.healthy = frame.u8() != 0;
        fields.lastSeen = frame.u64();
        fields.source = frame.text();
        fields.generation = frame.text();
        return new Endpoint(fields);
    }

    void write(FrameWriter frame) {
        frame.text("service", service).text("instanceId", instanceId).text("nodeId", nodeId);
        frame.text("host", host).text("ip", ip).u16(port);
        frame.text("protocol", protocol).text("version", version).u32(labels.size());
        labels.forEach((name, value) -> frame.text("a label", name).text("a label", value));
        frame.u32(weight).text("zone", zone).u8(healthy ? 1 : 0);
        frame.u64(lastSeen).text("source", source).text("generation", generation);
    }

    /** The record that the core reads as JSON. */
    Map<String, Object> toRecord() {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("service", service);
        map.put("instance_id", instanceId);
        map.put("node_id", nodeId);
        map.put("host", host);
        map.put("ip", ip);
        map.put("port", port);
        map.put("protocol", protocol);
        map.put("version", version);
        map.put("labels", labels);
        map.put("weight", weight);
        map.put("zone", zone);
        map.put("healthy", healthy);
        map.put("last_seen", lastSeen);
        map.put("source", source);
        map.put("generation", generation);
        return map;
    }

    @Override
    public boolean equals(@Nullable Object other) {
        if (!(other instanceof Endpoint)) {
            return false;
        }
        Endpoint that = (Endpoint) other;
        return port == that.port
                && weight == that.weight
                && healthy == that.healthy
                && lastSeen == that.lastSeen
                && service.equals(that.service)
                && instanceId.equals(that.instanceId)
                && nodeId.equals(that.nodeId)
                && host.equals(that.host)
                && ip.equals(that.ip)
                && protocol.equals(that.protocol)
                && version.equals(that.version)
                && labels.equals(that.labels)
                && zone.equals(that.zone)
                && source.equals(that.source)
                && generation.equals(that.generation);
    }

    @Override
    public int hashCode() {
        return Objects.hash(service, ip, port, instanceId);
    }

    @Override
    public String toString() {
        return "Endpoint[" + service + " " + address()
                + (protocol.equals("http") ? "" : " " + protocol)
                + (version.isEmpty() ? "" : " " + version)
                + (healthy ? "" : " unhealthy") + "]";
    }
}
