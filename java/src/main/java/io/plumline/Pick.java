package io.plumline;

/**
 * An endpoint chosen for one use of any protocol. The first word on how it went counts; closed without one, it failed.
 *
 * <pre>{@code
 * try (Pick pick = plum.pick("billing")) {
 *     talkTo(pick.endpoint().address());
 *     pick.success();
 * }
 * }</pre>
 */
public interface Pick extends AutoCloseable {
    /**
     * The endpoint.
     *
     * @return the endpoint
     */
    Endpoint endpoint();

    /**
     * Whether its service's list is older than it should be, because the registry does not answer.
     *
     * @return whether it is
     */
    boolean isStale();

    /** It went well. */
    void success();

    /** It did not. */
    void failure();

    /** Without a word before: it did not go well. */
    @Override
    void close();
}
