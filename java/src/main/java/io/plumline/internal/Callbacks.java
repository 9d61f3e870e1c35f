package io.plumline.internal;

import io.plumline.Balancer;
import io.plumline.Choice;
import io.plumline.Endpoint;
import io.plumline.OutgoingRequest;
import io.plumline.PlumException;
import io.plumline.PlumResponse;
import io.plumline.RequestHook;
import io.plumline.ResponseHook;
import io.plumline.Transport;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.net.ConnectException;
import java.net.NoRouteToHostException;
import java.net.SocketTimeoutException;
import java.net.UnknownHostException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;

/**
 * The hooks, transport and balancers of a client. The native library invokes each by its number, on the caller's
 * thread.
 */
public final class Callbacks {
    // The numbers are the same in bindings/java/src/hooks.rs.
    private static final int ON_REQUEST = 0;
    private static final int ON_RESPONSE = 1;
    private static final int TRANSPORT = 2;
    /** The balancer of all services; those of single services have the numbers after it. */
    private static final int BALANCER = 3;

    // The first byte of a transport's result.
    private static final int ANSWERED = 0;
    private static final int REFUSED = 1;
    private static final int CONNECTION_BROKE = 2;
    private static final int TIMED_OUT = 3;

    private final @Nullable RequestHook onRequest;
    private final @Nullable ResponseHook onResponse;
    private final @Nullable Transport transport;
    private final @Nullable Balancer balancer;
    private final List<Balancer> serviceBalancers;

    public Callbacks(
            @Nullable RequestHook onRequest,
            @Nullable ResponseHook onResponse,
            @Nullable Transport transport,
            @Nullable Balancer balancer,
            Collection<Balancer> serviceBalancers) {
        this.onRequest = onRequest;
        this.onResponse = onResponse;
        this.transport = transport;
        this.balancer = balancer;
        this.serviceBalancers = List.copyOf(serviceBalancers);
    }

    byte[] invoke(int which, FrameReader arguments) throws Exception {
        switch (which) {
            case ON_REQUEST:
                return onRequest(arguments);
            case ON_RESPONSE:
                return onResponse(arguments);
            case TRANSPORT:
                return send(arguments);
            case BALANCER:
                return choose(Objects.requireNonNull(balancer), arguments);
            default:
                return choose(serviceBalancers.get(which - BALANCER - 1), arguments);
        }
    }

    private byte[] onRequest(FrameReader arguments) throws Exception {
        OutgoingRequest request = ApiAccess.get().readOutgoingRequest(arguments);
        Objects.requireNonNull(onRequest).onRequest(request, ApiAccess.get().readEndpoint(arguments));
        return ApiAccess.get().headersSet(request);
    }

    private byte[] onResponse(FrameReader arguments) throws Exception {
        OutgoingRequest request = ApiAccess.get().readOutgoingRequest(arguments);
        Endpoint endpoint = ApiAccess.get().readEndpoint(arguments);
        PlumResponse response = null;
        PlumException error = null;
        if (arguments.u8() == 0) {
            response = readResponse(endpoint, arguments);
        } else {
            error = ApiAccess.get().readException(arguments);
        }
        Objects.requireNonNull(onResponse).onResponse(request, endpoint, response, error);
        return new byte[0];
    }

    private static PlumResponse readResponse(Endpoint endpoint, FrameReader frame) {
        PlumResponse.Builder response = PlumResponse.builder(frame.u16()).endpoint(endpoint);
        int count = frame.u32();
        for (int n = 0; n < count; n++) {
            response.header(frame.text(), frame.text());
        }
        return response.content(frame.bytes()).build();
    }

    private byte[] send(FrameReader arguments) throws Exception {
        OutgoingRequest request = ApiAccess.get().readOutgoingRequest(arguments);
        Endpoint endpoint = ApiAccess.get().readEndpoint(arguments);
        FrameWriter result = new FrameWriter(256);
        try {
            PlumResponse response = Objects.requireNonNull(transport).send(request, endpoint);
            Objects.requireNonNull(response, "the transport returned null");
            ApiAccess.get().write(response, result.u8(ANSWERED));
        } catch (ConnectException | NoRouteToHostException | UnknownHostException error) {
            result.u8(REFUSED).text("the message", message(error));
        } catch (SocketTimeoutException | TimeoutException error) {
            result.u8(TIMED_OUT);
        } catch (InterruptedIOException error) {
            throw error;
        } catch (IOException error) {
            result.u8(CONNECTION_BROKE).text("the message", message(error));
        }
        return result.done();
    }

    private static String message(IOException error) {
        return error.getMessage() == null ? error.getClass().getSimpleName() : error.getMessage();
    }

    private static byte[] choose(Balancer balancer, FrameReader arguments) throws Exception {
        int count = arguments.u32();
        List<Endpoint> endpoints = new ArrayList<>(count);
        int[] inFlight = new int[count];
        long[] latency = new long[count];
        boolean[] tried = new boolean[count];
        for (int n = 0; n < count; n++) {
            endpoints.add(ApiAccess.get().readEndpoint(arguments));
            inFlight[n] = arguments.u32();
            latency[n] = arguments.u64();
            tried[n] = arguments.u8() != 0;
        }
        Choice choice = ApiAccess.get().toChoice(inFlight, latency, tried);
        int chosen = balancer.choose(Collections.unmodifiableList(endpoints), choice);
        return new FrameWriter(4).u32(chosen).done();
    }
}
