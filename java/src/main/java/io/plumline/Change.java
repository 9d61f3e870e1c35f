package io.plumline;

import io.plumline.internal.EndpointCache;
import io.plumline.internal.FrameReader;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * A change that a watch delivers: what happened, and the full endpoint list after it. Immutable; changes are equal if all
 * their parts are equal.
 */
public final class Change {
    /** What happened. */
    public enum Kind {
        /** The present endpoints; always the first change. */
        SNAPSHOT,
        /** Endpoints were added, removed or updated. */
        CHANGED,
        /** The registry stopped responding; the endpoint list stays as it was. */
        REGISTRY_DOWN,
        /** The registry responds again. */
        REGISTRY_UP;

        /**
         * The value used in every language.
         *
         * @return the value, such as {@code registry_down}
         */
        public String value() {
            return name().toLowerCase(Locale.ROOT);
        }

        private static Kind of(String value) {
            return valueOf(value.toUpperCase(Locale.ROOT));
        }
    }

    private final String service;
    private final Kind kind;
    private final List<Endpoint> added;
    private final List<Endpoint> updated;
    private final List<Endpoint> removed;
    private final List<Endpoint> endpoints;

    /**
     * Creates a change, for tests.
     *
     * @param service the service
     * @param kind what happened
     * @param added new endpoints
     * @param updated endpoints with changed data
     * @param removed removed endpoints
     * @param endpoints all endpoints after the change
     */
    public Change(
            String service,
            Kind kind,
            List<Endpoint> added,
            List<Endpoint> updated,
            List<Endpoint> removed,
            List<Endpoint> endpoints) {
        this.service = Objects.requireNonNull(service, "service");
        this.kind = Objects.requireNonNull(kind, "kind");
        this.added = List.copyOf(added);
        this.updated = List.copyOf(updated);
        this.removed = List.copyOf(removed);
        this.endpoints = List.copyOf(endpoints);
    }

    static Change read(FrameReader frame) {
        String service = frame.text();
        Kind kind = Kind.of(frame.text());
        List<Endpoint> added = EndpointCache.readList(frame);
        List<Endpoint> updated = EndpointCache.readList(frame);
        List<Endpoint> removed = EndpointCache.readList(frame);
        return new Change(service, kind, added, updated, removed, EndpointCache.readList(frame));
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
     * What happened.
     *
     * @return the kind
     */
    public Kind kind() {
        return kind;
    }

    /**
     * New endpoints.
     *
     * @return the endpoints
     */
    public List<Endpoint> added() {
        return added;
    }

    /**
     * Endpoints with changed data.
     *
     * @return the endpoints
     */
    public List<Endpoint> updated() {
        return updated;
    }

    /**
     * Removed endpoints.
     *
     * @return the endpoints
     */
    public List<Endpoint> removed() {
        return removed;
    }

    /**
     * All endpoints after the change.
     *
     * @return the endpoints
     */
    public List<Endpoint> endpoints() {
        return endpoints;
    }

    @Override
    public boolean equals(@Nullable Object other) {
        if (!(other instanceof Change)) {
            return false;
        }
        Change that = (Change) other;
        return service.equals(that.service)
                && kind == that.kind
                && added.equals(that.added)
                && updated.equals(that.updated)
                && removed.equals(that.removed)
                && endpoints.equals(that.endpoints);
    }

    @Override
    public int hashCode() {
        return Objects.hash(service, kind, added, updated, removed, endpoints);
    }

    @Override
    public String toString() {
        return "Change[" + kind.value() + " of " + service + ": " + endpoints.size() + " endpoints, " + added.size()
                + " added, " + updated.size() + " updated, " + removed.size() + " removed]";
    }
}
