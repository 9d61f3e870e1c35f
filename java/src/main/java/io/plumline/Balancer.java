package io.plumline;

import java.util.List;

/** A way of one's own to choose among endpoints. Called on the caller's thread. */
@FunctionalInterface
public interface Balancer {
    /** What {@link #choose} returns where it wants none of them. */
    int NONE = -1;

    /**
     * Chooses an endpoint.
     *
     * @param endpoints those that may be chosen; never empty
     * @param choice what the choice may depend on beside them
     * @return an index into the endpoints; {@link #NONE} and any other number end the call with a
     *     {@link PlumInvalidArgumentException} that says so
     * @throws Exception ends the call with a {@link PlumCancelledException} that has it as its cause
     */
    int choose(List<Endpoint> endpoints, Choice choice) throws Exception;
}
