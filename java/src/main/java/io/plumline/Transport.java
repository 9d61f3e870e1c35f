package io.plumline;

/**
 * Responds to requests in place of the network, for tests. Retries and ejection work as usual.
 *
 * <pre>{@code
 * PlumClient.builder().registry("static://10.0.0.1:1").transport((request, endpoint) -> PlumResponse.of(200)).build()
 * }</pre>
 */
@FunctionalInterface
public interface Transport {
    /**
     * Responds to one attempt. Runs on the caller's thread.
     *
     * @param request the request of the attempt
     * @param endpoint the endpoint of the attempt
     * @return the response
     * @throws java.net.ConnectException if the connection is refused; the call may be retried
     * @throws java.net.SocketTimeoutException if the attempt times out
     * @throws java.io.IOException if the connection breaks
     * @throws Exception any other exception ends the call and becomes the cause of a {@link PlumCancelledException}
     */
    PlumResponse send(OutgoingRequest request, Endpoint endpoint) throws Exception;
}
