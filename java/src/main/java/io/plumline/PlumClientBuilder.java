package io.plumline;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** Puts a {@link PlumClient} together: configuration, and code of one's own beside it. */
public final class PlumClientBuilder {
    private PlumConfig config = new PlumConfig();
    private @Nullable List<String> registries;

    @Nullable
    RequestHook onRequest;

    @Nullable
    ResponseHook onResponse;

    @Nullable
    Transport transport;

    @Nullable
    Balancer balancer;

    final Map<String, Balancer> balancers = new LinkedHashMap<>();

    PlumClientBuilder() {}

    /**
     * Sets the registries' addresses.
     *
     * @param addresses such as {@code plum://127.0.0.1:8080}
     * @return this
     */
    public PlumClientBuilder registry(String... addresses) {
        for (String address : Objects.requireNonNull(addresses, "addresses")) {
            Objects.requireNonNull(address, "address");
        }
        registries = List.of(addresses);
        return this;
    }

    /**
     * Sets the configuration. It is read by {@link #build}.
     *
     * @param config the configuration
     * @return this
     */
    public PlumClientBuilder config(PlumConfig config) {
        this.config = Objects.requireNonNull(config, "config");
        return this;
    }

    /**
     * Chooses endpoints for every service that has no balancer of its own.
     *
     * @param balancer the balancer
     * @return this
     */
    public PlumClientBuilder balancer(Balancer balancer) {
        this.balancer = Objects.requireNonNull(balancer, "balancer");
        return this;
    }

    /**
     * Chooses endpoints for one service.
     *
     * @param service its name
     * @param balancer the balancer
     * @return this
     */
    public PlumClientBuilder balancer(String service, Balancer balancer) {
        balancers.put(Objects.requireNonNull(service, "service"), Objects.requireNonNull(balancer, "balancer"));
        return this;
    }

    /**
     * Called before each attempt, on the caller's thread.
     *
     * @param hook may set headers, or refuse to send by throwing
     * @return this
     */
    public PlumClientBuilder onRequest(RequestHook hook) {
        onRequest = Objects.requireNonNull(hook, "hook");
        return this;
    }

    /**
     * Called after each attempt, on the caller's thread.
     *
     * @param hook sees what came of it
     * @return this
     */
    public PlumClientBuilder onResponse(ResponseHook hook) {
        onResponse = Objects.requireNonNull(hook, "hook");
        return this;
    }

    /**
     * Answers instead of a socket, for tests of one's own code.
     *
     * @param transport the stub
     * @return this
     */
    public PlumClientBuilder transport(Transport transport) {
        this.transport = Objects.requireNonNull(transport, "transport");
        return this;
    }

    /**
     * Checks everything and makes the client. Opens nothing.
     *
     * @return the client
     * @throws PlumInvalidArgumentException for a wrong address or setting, which it names
     */
    public PlumClient build() {
        return new NativeClient(this);
    }

    /** Settings as the native library reads them. */
    byte[] frame() {
        Map<String, Object> all = new LinkedHashMap<>(config.values());
        if (registries != null) {
            all.put("registry", registries.size() == 1 ? registries.get(0) : registries);
        }
        if ("".equals(all.get("registry"))) {
            all.remove("registry"); // an empty address means the environment's, as in every language
        }
        FrameWriter frame = new FrameWriter(512);
        frame.u8(onRequest == null ? 0 : 1).u8(onResponse == null ? 0 : 1);
        frame.u8(transport == null ? 0 : 1).u8(balancer == null ? 0 : 1);
        frame.u32(balancers.size());
        balancers.keySet().forEach(service -> frame.text("service", service));
        return frame.text("the configuration", Json.write(all)).done();
    }
}
