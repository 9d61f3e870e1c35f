package io.plumline;

import io.plumline.internal.ApiAccess;
import io.plumline.internal.FrameReader;
import io.plumline.internal.FrameWriter;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Gives the implementation package access to package-private members of this one. */
final class InternalAccess extends ApiAccess {
    private InternalAccess() {}

    static void install() {
        install(new InternalAccess());
    }

    @Override
    public Endpoint readEndpoint(FrameReader frame) {
        return Endpoint.read(frame);
    }

    @Override
    public Map<String, Object> toRecord(Endpoint endpoint) {
        return endpoint.toRecord();
    }

    @Override
    public byte[] toFrame(Query query) {
        return query.frame();
    }

    @Override
    public byte[] toFrame(PlumRequest request) {
        return request.frame();
    }

    @Override
    public boolean isFiltered(PlumRequest request) {
        return request.isFiltered();
    }

    @Override
    public PlumResponse toResponse(String service, byte[] frame) {
        return new PlumResponse(service, frame);
    }

    @Override
    public void write(PlumResponse response, FrameWriter frame) {
        response.write(frame);
    }

    @Override
    public OutgoingRequest readOutgoingRequest(FrameReader frame) {
        return new OutgoingRequest(frame);
    }

    @Override
    public byte[] headersSet(OutgoingRequest request) {
        return request.headersSet();
    }

    @Override
    public Choice toChoice(int[] inFlight, long[] latency, boolean[] tried) {
        return new Choice(inFlight, latency, tried);
    }

    @Override
    public Change readChange(FrameReader frame) {
        return Change.read(frame);
    }

    @Override
    public Explanation readExplanation(FrameReader frame) {
        return new Explanation(frame);
    }

    @Override
    public Stats toStats(String json) {
        return new Stats(json);
    }

    @Override
    public Instance toInstance(String json) {
        return Instance.fromJson(json);
    }

    @Override
    public String toJson(Instance instance) {
        return instance.toJson();
    }

    @Override
    public PlumException readException(FrameReader frame) {
        return PlumException.read(frame);
    }

    @Override
    public PlumException callbackFailed(FrameReader frame, @Nullable Throwable cause) {
        return PlumException.read(frame).causedByCallback(cause);
    }
}
