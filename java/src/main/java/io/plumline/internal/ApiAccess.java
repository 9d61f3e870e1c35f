package io.plumline.internal;

import io.plumline.Change;
import io.plumline.Choice;
import io.plumline.Endpoint;
import io.plumline.Explanation;
import io.plumline.Instance;
import io.plumline.OutgoingRequest;
import io.plumline.PlumException;
import io.plumline.PlumRequest;
import io.plumline.PlumResponse;
import io.plumline.Query;
import io.plumline.Stats;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Package-private members of the public types, for use by this package. The public package implements this class and
 * installs its instance before it calls anything here that needs it.
 */
public abstract class ApiAccess {
    private static volatile @Nullable ApiAccess installed;

    public static void install(ApiAccess access) {
        installed = access;
    }

    static ApiAccess get() {
        return Objects.requireNonNull(installed, "ApiAccess is not installed");
    }

    public abstract Endpoint readEndpoint(FrameReader frame);

    public abstract Map<String, Object> toRecord(Endpoint endpoint);

    public abstract byte[] toFrame(Query query);

    public abstract byte[] toFrame(PlumRequest request);

    /** Whether the request is limited to some endpoints of its service. */
    public abstract boolean isFiltered(PlumRequest request);

    public abstract PlumResponse toResponse(String service, byte[] frame);

    /** Writes status, headers and body. */
    public abstract void write(PlumResponse response, FrameWriter frame);

    public abstract OutgoingRequest readOutgoingRequest(FrameReader frame);

    /** The headers that a request hook has set. */
    public abstract byte[] headersSet(OutgoingRequest request);

    public abstract Choice toChoice(int[] inFlight, long[] latency, boolean[] tried);

    public abstract Change readChange(FrameReader frame);

    public abstract Explanation readExplanation(FrameReader frame);

    public abstract Stats toStats(String json);

    public abstract Instance toInstance(String json);

    public abstract String toJson(Instance instance);

    public abstract PlumException readException(FrameReader frame);

    /** The exception for a callback that threw {@code cause}; {@code frame} holds the core's error for that call. */
    public abstract PlumException callbackFailed(FrameReader frame, @Nullable Throwable cause);
}
