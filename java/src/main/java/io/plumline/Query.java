package io.plumline;

import io.plumline.internal.FrameReader;
import io.plumline.internal.FrameWriter;
import java.util.Arrays;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Selects endpoints: a service and optional filters by version, protocol and labels. Immutable.
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
     * Selects all endpoints of a service.
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
     * Adds a filter by version.
     *
     * @param version the version
     * @return a new query
     */
    public Query version(String version) {
        Objects.requireNonNull(version, "version");
        return new Query(service, append().u8(1).text("version", version).done());
    }

    /**
     * Adds a filter by protocol.
     *
     * @param protocol the protocol
     * @return a new query
     */
    public Query protocol(String protocol) {
        Objects.requireNonNull(protocol, "protocol");
        return new Query(service, append().u8(2).text("protocol", protocol).done());
    }

    /**
     * Adds a filter by a label.
     *
     * @param name the label's name
     * @param value the label's value
     * @return a new query
     */
    public Query label(String name, String value) {
        Objects.requireNonNull(name, "name");
        Objects.requireNonNull(value, "value");
        return new Query(
                service, append().u8(3).text("labels", name).text("labels", value).done());
    }

    /**
     * The service.
     *
     * @return its name
     */
    public String service() {
        return service;
    }

    private FrameWriter append() {
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
        while (reader.hasMore()) {
            int tag = reader.u8();
            text.append(' ').append(tag == 1 ? "version" : tag == 2 ? "protocol" : reader.text());
            text.append('=').append(reader.text());
        }
        return text.toString();
    }
}
