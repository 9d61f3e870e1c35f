package io.plumline;

import io.plumline.internal.Callbacks;
import io.plumline.internal.FrameWriter;
import io.plumline.internal.Json;
import io.plumline.internal.NativeClient;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** Builds a {@link PlumClient} from a configuration and optional hooks, balancers and a transport. */
public final class PlumClientBuilder {
    static {
        InternalAccess.install();
    }

    private PlumConfig config = new PlumConfig();
    private @Nullable List<String> registries;
    private @Nullable RequestHook onRequest;
    private @Nullable ResponseHook onResponse;
    private @Nullable Transport transport;
    private @Nullable Balancer balancer;
    private final Map<String, Balancer> balancers = new LinkedHashMap<>();

    PlumClientBuilder() {}

    /**
     * Sets the addresses of the registries.
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
     * Sets the configuration. {@link #build} reads it.
     *
     * @param config the configuration
     * @return this
     */
    public PlumClientBuilder config(PlumConfig config) {
        this.config = Objects.requireNonNull(config, "config");
        return this;
    }

    /**
     * Sets the balancer of all services that have none of their own.
     *
     * @param balancer the balancer
     * @return this
     */
    public PlumClientBuilder balancer(Balancer balancer) {
        this.balancer = Objects.requireNonNull(balancer, "balancer");
        return this;
    }

    /**
     * Sets the balancer of one service.
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
     * Sets a hook that runs before each attempt, on the caller's thread.
     *
     * @param hook may set headers, or throw to stop the attempt
     * @return this
     */
    public PlumClientBuilder onRequest(RequestHook hook) {
        onRequest = Objects.requireNonNull(hook, "hook");
        return this;
    }

    /**
     * Sets a hook that runs after each attempt, on the caller's thread.
     *
     * @param hook receives the response or the error
     * @return this
     */
    public PlumClientBuilder onResponse(ResponseHook hook) {
        onResponse = Objects.requireNonNull(hook, "hook");
        return this;
    }

    /**
     * Sets a transport that responds in place of the network, for tests.
     *
     * @param transport the transport
     * @return this
     */
    public PlumClientBuilder transport(Transport transport) {
        this.transport = Objects.requireNonNull(transport, "transport");
        return this;
    }

    /**
     * Checks all settings and creates the client. Opens no connection.
     *
     * @return the client
     * @throws PlumInvalidArgumentException if an address or a setting is invalid; the message names it
     */
    public PlumClient build() {
        Callbacks callbacks = new Callbacks(onRequest, onResponse, transport, balancer, balancers.values());
        return new NativeClient(frame(), callbacks);
    }

    /** Settings as the native library reads them. */
    private byte[] frame() {
        Map<String, Object> all = new LinkedHashMap<>(config.values());
        if (registries != null) {
            all.put("registry", registries.size() == 1 ? registries.get(0) : registries);
        }
        if ("".equals(all.get("registry"))) {
            all.remove("registry"); // as in every language, an empty address means the environment variable
        }
        FrameWriter frame = new FrameWriter(512);
        frame.u8(onRequest == null ? 0 : 1).u8(onResponse == null ? 0 : 1);
        frame.u8(transport == null ? 0 : 1).u8(balancer == null ? 0 : 1);
        frame.u32(balancers.size());
        balancers.keySet().forEach(service -> frame.text("service", service));
        return frame.text("the configuration", Json.write(all)).done();
    }
}
