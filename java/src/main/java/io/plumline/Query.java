package io.plumline;

import java.util.Arrays;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Which endpoints are meant: a service, narrowed by version, protocol and labels. Immutable.
 *
 * <pre>{@code plum.pick(Query.of("billing").protocol("grpc").label("region", "eu"))}</pre>
 */
public final class Query {
    private final String service;
    private final byte[] frame;

    private Query(String service, byte[] frame) {
        this.service = service;
        this.frame = frame;
    }

    /**
     * Every endpoint of a service.
     *
     * @param service its name
     * @return the query
     */
    public static Query of(String service) {
        FrameWriter frame =
                new FrameWriter(16 + Objects.requireNonNull(service, "service").length());
        return new Query(service, frame.text("service", service).done());
    }

    /**
     * The same, narrowed to a version.
     *
     * @param version the version
     * @return another query
     */
    public Query version(String version) {
        Objects.requireNonNull(version, "version");
        return new Query(service, more().u8(1).text("version", version).done());
    }

    /**
     * The same, narrowed to a protocol.
     *
     * @param protocol the protocol
     * @return another query
     */
    public Query protocol(String protocol) {
        Objects.requireNonNull(protocol, "protocol");
        return new Query(service, more().u8(2).text("protocol", protocol).done());
    }

    /**
     * The same, narrowed to endpoints with this label.
     *
     * @param name the label's name
     * @param value the label's value
     * @return another query
     */
    public Query label(String name, String value) {
        Objects.requireNonNull(name, "name");
        Objects.requireNonNull(value, "value");
        return new Query(
                service, more().u8(3).text("labels", name).text("labels", value).done());
    }

    /**
     * The service that is meant.
     *
     * @return its name
     */
    public String service() {
        return service;
    }

    private FrameWriter more() {
        return new FrameWriter(frame, 64);
    }

    byte[] frame() {
        return frame;
    }

    @Override
    public boolean equals(@Nullable Object other) {
        return other instanceof Query && Arrays.equals(frame, ((Query) other).frame);
    }

    @Override
    public int hashCode() {
        return Arrays.hashCode(frame);
    }

    @Override
    public String toString() {
        FrameReader reader = new FrameReader(frame);
        StringBuilder text = new StringBuilder("\"").append(reader.text()).append('"');
        while (reader.position < frame.length) {
            int tag = reader.u8();
            text.append(' ').append(tag == 1 ? "version" : tag == 2 ? "protocol" : reader.text());
            text.append('=').append(reader.text());
        }
        return text.toString();
    }
}
