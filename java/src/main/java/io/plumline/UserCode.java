package io.plumline;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.net.ConnectException;
import java.net.NoRouteToHostException;
import java.net.SocketTimeoutException;
import java.net.UnknownHostException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;

/** The user's own code in a client: hooks, transport, balancers. Asked for by number, on the caller's thread. */
final class UserCode {
    private static final int ON_REQUEST = 0;
    private static final int ON_RESPONSE = 1;
    private static final int TRANSPORT = 2;
    /** The balancer of everybody; those of single services follow. */
    private static final int BALANCER = 3;

    private final NativeClient client;
    private final @Nullable RequestHook onRequest;
    private final @Nullable ResponseHook onResponse;
    private final @Nullable Transport transport;
    private final @Nullable Balancer balancer;
    private final List<Balancer> ofServices;

    UserCode(NativeClient client, PlumClientBuilder builder) {
        this.client = client;
        onRequest = builder.onRequest;
        onResponse = builder.onResponse;
        transport = builder.transport;
        balancer = builder.balancer;
        ofServices = new ArrayList<>(builder.balancers.values());
    }

    byte[] answer(int what, FrameReader question) throws Exception {
        switch (what) {
            case ON_REQUEST:
                return before(question);
            case ON_RESPONSE:
                return after(question);
            case TRANSPORT:
                return send(question);
            case BALANCER:
                return choose(Objects.requireNonNull(balancer), question);
            default:
                return choose(ofServices.get(what - BALANCER - 1), question);
        }
    }

    private byte[] before(FrameReader question) throws Exception {
        OutgoingRequest request = new OutgoingRequest(client, question);
        Objects.requireNonNull(onRequest).onRequest(request, Endpoint.read(question));
        return request.changes();
    }

    private byte[] after(FrameReader question) throws Exception {
        OutgoingRequest request = new OutgoingRequest(client, question);
        Endpoint endpoint = Endpoint.read(question);
        PlumResponse response = null;
        PlumException error = null;
        if (question.u8() == 0) {
            response = answer(endpoint, question);
        } else {
            error = PlumException.read(question, null);
        }
        Objects.requireNonNull(onResponse).onResponse(request, endpoint, response, error);
        return new byte[0];
    }

    private static PlumResponse answer(Endpoint endpoint, FrameReader frame) {
        PlumResponse.Builder answer = PlumResponse.builder(frame.u16()).endpoint(endpoint);
        int count = frame.u32();
        for (int n = 0; n < count; n++) {
            answer.header(frame.text(), frame.text());
        }
        return answer.content(frame.bytes()).build();
    }

    private byte[] send(FrameReader question) throws Exception {
        OutgoingRequest request = new OutgoingRequest(client, question);
        FrameWriter answer = new FrameWriter(256);
        try {
            PlumResponse response = Objects.requireNonNull(transport).send(request, Endpoint.read(question));
            Objects.requireNonNull(response, "what the transport returns").writeAnswer(answer.u8(0));
        } catch (ConnectException | NoRouteToHostException | UnknownHostException refused) {
            answer.u8(1).text("the message", words(refused));
        } catch (SocketTimeoutException | TimeoutException late) {
            answer.u8(3);
        } catch (InterruptedIOException interrupted) {
            throw interrupted;
        } catch (IOException broken) {
            answer.u8(2).text("the message", words(broken));
        }
        return answer.done();
    }

    private static String words(IOException error) {
        return error.getMessage() == null ? error.getClass().getSimpleName() : error.getMessage();
    }

    private static byte[] choose(Balancer balancer, FrameReader question) throws Exception {
        int count = question.u32();
        List<Endpoint> endpoints = new ArrayList<>(count);
        int[] inFlight = new int[count];
        long[] latency = new long[count];
        boolean[] tried = new boolean[count];
        for (int n = 0; n < count; n++) {
            endpoints.add(Endpoint.read(question));
            inFlight[n] = question.u32();
            latency[n] = question.u64();
            tried[n] = question.u8() != 0;
        }
        Choice choice = new Choice(inFlight, latency, tried);
        int chosen = balancer.choose(Collections.unmodifiableList(endpoints), choice);
        return new FrameWriter(4).u32(chosen).done();
    }
}
