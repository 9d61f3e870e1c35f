package io.plumline;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/** The client as users get it: every word of it crosses here. */
final class NativeClient extends Native implements PlumClient {
    private static final long AS_CONFIGURED = -1;
    /** So many names keep their handle; a program that makes names up must not fill the memory with them. */
    private static final int MOST_SERVICES = 1_000;

    private final NativeLibrary library = NativeLibrary.get();
    private final UserCode userCode;
    private final long handle;
    private final Map<String, NativeService> services = new ConcurrentHashMap<>();

    NativeClient(PlumClientBuilder builder) {
        userCode = new UserCode(this, builder);
        handle = open(builder.frame());
        Memory.freeAfter(this, handle);
        Logs.listen(library);
    }

    @Override
    UserCode userCode() {
        return userCode;
    }

    @Override
    public PlumResponse call(PlumRequest request) {
        Objects.requireNonNull(request, "request");
        if (!request.isFiltered()) {
            NativeService service = boundIfNamed(request.service());
            if (service != null) {
                return service.send(request);
            }
        }
        return new PlumResponse(request.service(), call(handle, request.frame()));
    }

    /** Null for a name that cannot be one: the core says then what is the request's first mistake. */
    private @Nullable NativeService boundIfNamed(String name) {
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
        if (services.size() >= MOST_SERVICES) {
            services.clear();
        }
        services.put(name, service);
        return service;
    }

    @Override
    public List<Endpoint> discover(Query query) {
        return KnownEndpoints.readAll(new FrameReader(discover(handle, frame(query))));
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
        return Objects.requireNonNull(query, "query").frame();
    }

    @Override
    public Registration register(Instance instance) {
        Objects.requireNonNull(instance, "instance");
        byte[] fields = FrameWriter.bytesOf("the instance", instance.toJson());
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
        waitFor(handle, frame(query), Times.nanos("timeout", timeout));
    }

    @Override
    public Explanation explain(Query query) {
        return new Explanation(new FrameReader(explain(handle, frame(query))));
    }

    @Override
    public List<String> services() {
        return new FrameReader(services(handle)).texts();
    }

    @Override
    public Stats stats() {
        return new Stats(new String(stats(handle), UTF_8));
    }

    @Override
    public void publish(String service, Collection<Endpoint> endpoints) {
        List<Object> records = new ArrayList<>(Objects.requireNonNull(endpoints, "endpoints").size());
        endpoints.forEach(endpoint ->
                records.add(Objects.requireNonNull(endpoint, "an endpoint").toMap()));
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
        close(AS_CONFIGURED);
    }

    @Override
    public void close(Duration drain) {
        close(Times.nanos("drain", drain));
    }

    private void close(long drain) {
        close(handle, drain);
        services.clear();
        Logs.drain(library); // while there is still somebody to tell it
        fallSilent(handle);
    }

    @Override
    public boolean isClosed() {
        return isClosed(handle);
    }

    void checkHeader(String name, String value) {
        checkHeader(new FrameWriter(64)
                .text("a header name", name)
                .text("a header value", value)
                .done());
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

    private native void checkHeader(byte[] header);

    private native void close(long handle, long drain);

    private native void fallSilent(long handle);

    private native boolean isClosed(long handle);

    private native byte[] describe(long handle);
}
