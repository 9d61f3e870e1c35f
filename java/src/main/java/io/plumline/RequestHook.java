package io.plumline;

/** Called before each attempt, on the caller's thread. */
@FunctionalInterface
public interface RequestHook {
    /**
     * Looks at a request that is about to be sent, and may set its headers.
     *
     * @param request one attempt's request
     * @param endpoint where it goes
     * @throws Exception refuses to send it: the call ends with a {@link PlumCancelledException} that has it as its
     *     cause
     */
    void onRequest(OutgoingRequest request, Endpoint endpoint) throws Exception;
}
