package io.plumline;

/**
 * Answers instead of a socket, for tests of one's own code. Retries and ejection go on around it.
 *
 * <pre>{@code
 * PlumClient.builder().registry("static://10.0.0.1:1").transport((request, endpoint) -> PlumResponse.of(200)).build()
 * }</pre>
 */
@FunctionalInterface
public interface Transport {
    /**
     * The answer of an endpoint. Called on the caller's thread.
     *
     * @param request what would be sent
     * @param endpoint where it would go
     * @return the answer
     * @throws java.net.ConnectException for an attempt that is refused; the call goes on elsewhere
     * @throws java.net.SocketTimeoutException for an attempt that times out
     * @throws java.io.IOException for a connection that breaks
     * @throws Exception anything else ends the call, as the cause of a {@link PlumCancelledException}
     */
    PlumResponse send(OutgoingRequest request, Endpoint endpoint) throws Exception;
}
