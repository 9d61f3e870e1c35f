package io.plumline.internal;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.plumline.Endpoint;
import io.plumline.Explanation;
import io.plumline.Instance;
import io.plumline.Pick;
import io.plumline.PlumClient;
import io.plumline.PlumConfig;
import io.plumline.PlumInvalidArgumentException;
import io.plumline.PlumRequest;
import io.plumline.PlumResponse;
import io.plumline.Query;
import io.plumline.Registration;
import io.plumline.Stats;
import io.plumline.Watch;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/** A client: each method calls the native library. */
public final class NativeClient extends Native implements PlumClient {
    /** Stands for the drain time of the configuration. */
    private static final long CONFIGURED_DRAIN = -1;
    /** Limits {@link #services}, for programs that make up service names. */
    private static final int MAX_SERVICES = 1_000;

    private final NativeLibrary library = NativeLibrary.get();
    private final Callbacks callbacks;
    private final long handle;
    private final Map<String, NativeService> services = new ConcurrentHashMap<>();

    /**
     * Opens a client.
     *
     * @param settings configuration and callbacks in use, as the native library reads them
     * @param callbacks the callbacks
     */
    public NativeClient(byte[] settings, Callbacks callbacks) {
        this.callbacks = callbacks;
        handle = open(settings);
        NativeMemory.freeWithOwner(this, handle);
        LogForwarder.clientOpened(library);
    }

    @Override
    Callbacks callbacks() {
        return callbacks;
    }

    @Override
    public PlumResponse call(PlumRequest request) {
        Objects.requireNonNull(request, "request");
        if (!ApiAccess.get().isFiltered(request)) {
            NativeService service = boundIfValid(request.service());
            if (service != null) {
                return service.send(request);
            }
        }
        byte[] response = call(handle, ApiAccess.get().toFrame(request));
        return ApiAccess.get().toResponse(request.service(), response);
    }

    /** Null for an invalid name: the call itself then reports the first error of the request. */
    private @Nullable NativeService boundIfValid(String name) {
        try {
            return bound(name);
        } catch (PlumInvalidArgumentException error) {
            return null;
        }
    }

    private NativeService bound(String name) {
        NativeService known = services.get(Objects.requireNonNull(name, "service"));
        if (known != null) {
            return known;
        }
        NativeService service = service(Query.of(name));
        if (services.size() >= MAX_SERVICES) {
            services.clear();
        }
        services.put(name, service);
        return service;
    }

    @Override
    public List<Endpoint> discover(Query query) {
        return EndpointCache.readList(new FrameReader(discover(handle, frame(query))));
    }

    @Override
    public Pick pick(String service) {
        return bound(service).pick();
    }

    @Override
    public Pick pick(Query query) {
        return service(query).pick();
    }

    @Override
    public NativeService service(Query query) {
        return new NativeService(this, query, service(handle, frame(query)));
    }

    private static byte[] frame(Query query) {
        return ApiAccess.get().toFrame(Objects.requireNonNull(query, "query"));
    }

    @Override
    public Registration register(Instance instance) {
        Objects.requireNonNull(instance, "instance");
        byte[] fields = FrameWriter.bytesOf("the instance", ApiAccess.get().toJson(instance));
        ExitHook.install(library);
        return new NativeRegistration(register(handle, fields));
    }

    @Override
    public Watch watch(String service) {
        Objects.requireNonNull(service, "service");
        return new NativeWatch(
                this, watch(handle, new FrameWriter(64).text("service", service).done()));
    }

    @Override
    public Watch watchAll() {
        return new NativeWatch(this, watchAll(handle));
    }

    @Override
    public void waitFor(Query query, Duration timeout) {
        waitFor(handle, frame(query), Durations.nanos("timeout", timeout));
    }

    @Override
    public Explanation explain(Query query) {
        return ApiAccess.get().readExplanation(new FrameReader(explain(handle, frame(query))));
    }

    @Override
    public List<String> services() {
        return new FrameReader(services(handle)).texts();
    }

    @Override
    public Stats stats() {
        return ApiAccess.get().toStats(new String(stats(handle), UTF_8));
    }

    @Override
    public void publish(String service, Collection<Endpoint> endpoints) {
        List<Object> records = new ArrayList<>(Objects.requireNonNull(endpoints, "endpoints").size());
        endpoints.forEach(endpoint ->
                records.add(ApiAccess.get().toRecord(Objects.requireNonNull(endpoint, "an endpoint"))));
        FrameWriter frame = new FrameWriter(256).text("service", Objects.requireNonNull(service, "service"));
        publish(handle, frame.text("an endpoint", Json.write(records)).done());
    }

    @Override
    public void clearCache() {
        clearCache(handle);
    }

    @Override
    public void configure(PlumConfig changes) {
        Objects.requireNonNull(changes, "changes");
        configure(
                handle,
                new FrameWriter(256).text("the configuration", changes.toJson()).done());
    }

    @Override
    public void close() {
        close(CONFIGURED_DRAIN);
    }

    @Override
    public void close(Duration drain) {
        close(Durations.nanos("drain", drain));
    }

    private void close(long drain) {
        close(handle, drain);
        services.clear();
        LogForwarder.forward(library); // the last records of this client
        endLogging(handle);
    }

    @Override
    public boolean isClosed() {
        return isClosed(handle);
    }

    @Override
    public String toString() {
        return "Plum" + new String(describe(handle), UTF_8) + (isClosed() ? ", closed" : "");
    }

    private native long open(byte[] settings);

    private native byte[] call(long handle, byte[] request);

    private native byte[] discover(long handle, byte[] query);

    private native long service(long handle, byte[] query);

    private native long register(long handle, byte[] instance);

    private native long watch(long handle, byte[] service);

    private native long watchAll(long handle);

    private native void waitFor(long handle, byte[] query, long timeout);

    private native byte[] explain(long handle, byte[] query);

    private native byte[] services(long handle);

    private native byte[] stats(long handle);

    private native void publish(long handle, byte[] published);

    private native void clearCache(long handle);

    private native void configure(long handle, byte[] changes);

    private native void close(long handle, long drain);

    private native void endLogging(long handle);

    private native boolean isClosed(long handle);

    private native byte[] describe(long handle);
}
