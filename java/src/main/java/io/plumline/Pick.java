package io.plumline;

/**
 * An endpoint chosen for one use, with any protocol. Report the outcome with {@link #success} or {@link #failure}; only
 * the first report counts. {@link #close} without a report counts as a failure.
 *
 * <pre>{@code
 * try (Pick pick = plum.pick("billing")) {
 *     connectTo(pick.endpoint().address());
 *     pick.success();
 * }
 * }</pre>
 */
public interface Pick extends AutoCloseable {
    /**
     * The chosen endpoint.
     *
     * @return the endpoint
     */
    Endpoint endpoint();

    /**
     * Whether the endpoint list of the service is stale because the registry does not respond.
     *
     * @return true if the list is stale
     */
    boolean isStale();

    /** Reports a success. */
    void success();

    /** Reports a failure. */
    void failure();

    /** Reports a failure unless an outcome was reported before. */
    @Override
    void close();
}
