package io.plumline;

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
 * One address of one instance of a service. Immutable; equal when all of its parts are.
 *
 * <p>{@link #of} and the methods named {@code with…} make one for tests, or for {@link PlumClient#publish}.
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

    /** Parts on their way into an endpoint. */
    private static final class Parts {
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

    private Endpoint(Parts parts) {
        service = parts.service;
        instanceId = parts.instanceId;
        nodeId = parts.nodeId;
        host = parts.host;
        ip = parts.ip;
        port = parts.port;
        protocol = parts.protocol;
        version = parts.version;
        labels = parts.labels;
        weight = parts.weight;
        zone = parts.zone;
        healthy = parts.healthy;
        lastSeen = parts.lastSeen;
        source = parts.source;
        generation = parts.generation;
    }

    /**
     * A healthy {@code http} endpoint of weight 1.
     *
     * @param service the service it belongs to
     * @param ip where it is: an IP address, no name
     * @param port the port, 0 to 65535
     * @return the endpoint
     * @throws PlumInvalidArgumentException for what is no address or no port
     */
    public static Endpoint of(String service, String ip, int port) {
        Parts parts = new Parts();
        parts.service = Objects.requireNonNull(service, "service");
        parts.host = checkIp(Objects.requireNonNull(ip, "ip"));
        parts.ip = ip;
        if (port < 0 || port > 65_535) {
            throw new PlumInvalidArgumentException("port is " + port + "; it must be from 0 to 65535");
        }
        parts.port = port;
        parts.instanceId = service + "-" + ip + "-" + port;
        return new Endpoint(parts);
    }

    private static String checkIp(String ip) {
        try {
            // Neither of the two is ever looked up.
            if (ip.indexOf(':') >= 0 && ip.indexOf('[') < 0 || IPV4.matcher(ip).matches()) {
                InetAddress.getByName(ip);
                return ip;
            }
        } catch (UnknownHostException error) {
            // told below
        }
        throw new PlumInvalidArgumentException(
                "\"" + ip + "\" is no IP address; a name goes into withHost(), beside its address");
    }

    /**
     * The service it belongs to.
     *
     * @return its name
     */
    public String service() {
        return service;
    }

    /**
     * The instance that registered it.
     *
     * @return its id
     */
    public String instanceId() {
        return instanceId;
    }

    /**
     * The machine it runs on, as the registry calls it.
     *
     * @return its id; empty where there is none
     */
    public String nodeId() {
        return nodeId;
    }

    /**
     * The name or address it was registered under; Host header and TLS name come from here.
     *
     * @return the host
     */
    public String host() {
        return host;
    }

    /**
     * Where it is reached: the host resolved, or the host itself where that is an address.
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
     * Its protocol: {@code http}, {@code https}, {@code grpc}, {@code tcp}, …
     *
     * @return the protocol
     */
    public String protocol() {
        return protocol;
    }

    /**
     * The version it was registered with.
     *
     * @return the version; empty where there is none
     */
    public String version() {
        return version;
    }

    /**
     * Its labels.
     *
     * @return the labels, sorted by name
     */
    public Map<String, String> labels() {
        return labels;
    }

    /**
     * Its share of the traffic against the others'; 0 gets none.
     *
     * @return the weight; 1 unless it was said otherwise
     */
    public int weight() {
        return weight;
    }

    /**
     * The zone it runs in.
     *
     * @return the zone; empty where there is none
     */
    public String zone() {
        return zone;
    }

    /**
     * What the registry says of its health.
     *
     * @return whether it is healthy
     */
    public boolean healthy() {
        return healthy;
    }

    /**
     * When the registry last heard of it, by the registry's clock.
     *
     * @return unix seconds; 0 if the registry does not say
     */
    public long lastSeen() {
        return lastSeen;
    }

    /**
     * The address of the registry that told of it, without secrets.
     *
     * @return the address; empty where there is none
     */
    public String source() {
        return source;
    }

    /**
     * Random per registration, where the registry carries one: another one means the program was started anew.
     *
     * @return the generation; empty where there is none
     */
    public String generation() {
        return generation;
    }

    /**
     * Where it is reached.
     *
     * @return {@code ip:port}, an IPv6 address in brackets
     */
    public String address() {
        return (ip.indexOf(':') < 0 ? ip : "[" + ip + "]") + ":" + port;
    }

    /**
     * The same endpoint, registered under a name.
     *
     * @param host the name
     * @return a copy
     */
    public Endpoint withHost(String host) {
        Parts parts = parts();
        parts.host = Objects.requireNonNull(host, "host");
        return new Endpoint(parts);
    }

    /**
     * The same endpoint with another protocol.
     *
     * @param protocol the protocol
     * @return a copy
     */
    public Endpoint withProtocol(String protocol) {
        Parts parts = parts();
        parts.protocol = Objects.requireNonNull(protocol, "protocol");
        return new Endpoint(parts);
    }

    /**
     * The same endpoint with another version.
     *
     * @param version the version
     * @return a copy
     */
    public Endpoint withVersion(String version) {
        Parts parts = parts();
        parts.version = Objects.requireNonNull(version, "version");
        return new Endpoint(parts);
    }

    /**
     * The same endpoint with these labels.
     *
     * @param labels the labels
     * @return a copy
     */
    public Endpoint withLabels(Map<String, String> labels) {
        Parts parts = parts();
        parts.labels = sorted(Objects.requireNonNull(labels, "labels"));
        return new Endpoint(parts);
    }

    /**
     * The same endpoint with another weight.
     *
     * @param weight the weight, from 0 on
     * @return a copy
     */
    public Endpoint withWeight(int weight) {
        if (weight < 0) {
            throw new PlumInvalidArgumentException("weight is " + weight + "; it must be from 0 on");
        }
        Parts parts = parts();
        parts.weight = weight;
        return new Endpoint(parts);
    }

    /**
     * The same endpoint in another zone.
     *
     * @param zone the zone
     * @return a copy
     */
    public Endpoint withZone(String zone) {
        Parts parts = parts();
        parts.zone = Objects.requireNonNull(zone, "zone");
        return new Endpoint(parts);
    }

    /**
     * The same endpoint with another word of its health.
     *
     * @param healthy whether it is healthy
     * @return a copy
     */
    public Endpoint withHealthy(boolean healthy) {
        Parts parts = parts();
        parts.healthy = healthy;
        return new Endpoint(parts);
    }

    /**
     * The same endpoint, registered by another instance.
     *
     * @param instanceId the instance's id
     * @return a copy
     */
    public Endpoint withInstanceId(String instanceId) {
        Parts parts = parts();
        parts.instanceId = Objects.requireNonNull(instanceId, "instanceId");
        return new Endpoint(parts);
    }

    private Parts parts() {
        Parts parts = new Parts();
        parts.service = service;
        parts.instanceId = instanceId;
        parts.nodeId = nodeId;
        parts.host = host;
        parts.ip = ip;
        parts.port = port;
        parts.protocol = protocol;
        parts.version = version;
        parts.labels = labels;
        parts.weight = weight;
        parts.zone = zone;
        parts.healthy = healthy;
        parts.lastSeen = lastSeen;
        parts.source = source;
        parts.generation = generation;
        return parts;
    }

    private static Map<String, String> sorted(Map<String, String> labels) {
        labels.forEach((name, value) -> Objects.requireNonNull(value, "the label " + name));
        return labels.isEmpty() ? Map.of() : Collections.unmodifiableMap(new TreeMap<>(labels));
    }

    static Endpoint read(FrameReader frame) {
        Parts parts = new Parts();
        parts.service = frame.text();
        parts.instanceId = frame.text();
        parts.nodeId = frame.text();
        parts.host = frame.text();
        parts.ip = frame.text();
        parts.port = frame.u16();
        parts.protocol = frame.text();
        parts.version = frame.text();
        int count = frame.u32();
        if (count > 0) {
            Map<String, String> labels = new TreeMap<>();
            for (int n = 0; n < count; n++) {
                labels.put(frame.text(), frame.text());
            }
            parts.labels = Collections.unmodifiableMap(labels);
        }
        parts.weight = frame.count();
        parts.zone = frame.text();
        parts.healthy = frame.u8() != 0;
        parts.lastSeen = frame.u64();
        parts.source = frame.text();
        parts.generation = frame.text();
        return new Endpoint(parts);
    }

    void write(FrameWriter frame) {
        frame.text("service", service).text("instanceId", instanceId).text("nodeId", nodeId);
        frame.text("host", host).text("ip", ip).u16(port);
        frame.text("protocol", protocol).text("version", version).u32(labels.size());
        labels.forEach((name, value) -> frame.text("a label", name).text("a label", value));
        frame.u32(weight).text("zone", zone).u8(healthy ? 1 : 0);
        frame.u64(lastSeen).text("source", source).text("generation", generation);
    }

    /** As the core's own record. */
    Map<String, Object> toMap() {
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
