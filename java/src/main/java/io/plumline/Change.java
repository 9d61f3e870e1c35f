package io.plumline;

import java.util.List;
import java.util.Locale;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** One step of a watch: what happened, and the full list after it. Immutable; equal when all of its parts are. */
public final class Change {
    /** What a watch tells. */
    public enum Kind {
        /** The present state; always the first. */
        SNAPSHOT,
        /** Endpoints came, went or changed. */
        CHANGED,
        /** The registry stopped answering; the list stays as it was. */
        REGISTRY_DOWN,
        /** The registry answers again. */
        REGISTRY_UP;

        /**
         * Its name, the same in every language.
         *
         * @return the name, such as {@code registry_down}
         */
        public String word() {
            return name().toLowerCase(Locale.ROOT);
        }

        static Kind of(String word) {
            return valueOf(word.toUpperCase(Locale.ROOT));
        }
    }

    private final String service;
    private final Kind kind;
    private final List<Endpoint> added;
    private final List<Endpoint> updated;
    private final List<Endpoint> removed;
    private final List<Endpoint> endpoints;

    /**
     * For tests of one's own code.
     *
     * @param service the service it concerns
     * @param kind what happened
     * @param added endpoints that were not there before
     * @param updated endpoints whose record is another one now
     * @param removed endpoints that are gone
     * @param endpoints every endpoint there is now
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
        List<Endpoint> added = KnownEndpoints.readAll(frame);
        List<Endpoint> updated = KnownEndpoints.readAll(frame);
        List<Endpoint> removed = KnownEndpoints.readAll(frame);
        return new Change(service, kind, added, updated, removed, KnownEndpoints.readAll(frame));
    }

    /**
     * The service it concerns.
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
     * Endpoints that were not there before.
     *
     * @return the endpoints
     */
    public List<Endpoint> added() {
        return added;
    }

    /**
     * Endpoints whose record is another one now.
     *
     * @return the endpoints
     */
    public List<Endpoint> updated() {
        return updated;
    }

    /**
     * Endpoints that are gone.
     *
     * @return the endpoints
     */
    public List<Endpoint> removed() {
        return removed;
    }

    /**
     * Every endpoint there is now.
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
        return "Change[" + kind.word() + " of " + service + ": " + endpoints.size() + " endpoints, " + added.size()
                + " added, " + updated.size() + " updated, " + removed.size() + " removed]";
    }
}
