package io.plumline;

import org.jspecify.annotations.Nullable;

/** Runs after each attempt, on the caller's thread. */
@FunctionalInterface
public interface ResponseHook {
    /**
     * Inspects the result of an attempt: a response or an error, never both.
     *
     * @param request the request of the attempt
     * @param endpoint the endpoint of the attempt
     * @param response the response; null if the attempt failed
     * @param error the failure; null if there is a response
     * @throws Exception ends the call with a {@link PlumCancelledException} that has the exception as its cause
     */
    void onResponse(
            OutgoingRequest request, Endpoint endpoint, @Nullable PlumResponse response, @Nullable PlumException error)
            throws Exception;
}
