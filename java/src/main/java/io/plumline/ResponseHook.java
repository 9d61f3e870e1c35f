package io.plumline;

import org.jspecify.annotations.Nullable;

/** Called after each attempt, on the caller's thread. */
@FunctionalInterface
public interface ResponseHook {
    /**
     * Looks at what an attempt came to: exactly one of response and error is there.
     *
     * @param request one attempt's request
     * @param endpoint where it went
     * @param response what came back; null where nothing did
     * @param error why nothing came back; null where something did
     * @throws Exception ends the call with a {@link PlumCancelledException} that has it as its cause
     */
    void onResponse(
            OutgoingRequest request, Endpoint endpoint, @Nullable PlumResponse response, @Nullable PlumException error)
            throws Exception;
}
