package io.plumline;

/** Runs before each attempt, on the caller's thread. */
@FunctionalInterface
public interface RequestHook {
    /**
     * Inspects a request that is about to be sent, and may set its headers.
     *
     * @param request the request of the attempt
     * @param endpoint the endpoint of the attempt
     * @throws Exception stops the attempt and ends the call with a {@link PlumCancelledException} that has the exception
     *     as its cause
     */
    void onRequest(OutgoingRequest request, Endpoint endpoint) throws Exception;
}
