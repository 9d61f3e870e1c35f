package io.plumline;

import java.util.List;

/** A custom load-balancing strategy. Runs on the caller's thread. */
@FunctionalInterface
public interface Balancer {
    /** Returned by {@link #choose} to choose no endpoint. */
    int NONE = -1;

    /**
     * Chooses an endpoint.
     *
     * @param endpoints the candidates; never empty
     * @param choice current figures of the candidates
     * @return an index into {@code endpoints}; {@link #NONE} or an index out of range ends the call with a
     *     {@link PlumInvalidArgumentException}
     * @throws Exception ends the call with a {@link PlumCancelledException} that has the exception as its cause
     */
    int choose(List<Endpoint> endpoints, Choice choice) throws Exception;
}
