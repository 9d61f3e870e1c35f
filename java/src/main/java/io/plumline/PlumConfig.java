package io.plumline;

import io.plumline.internal.Durations;
import io.plumline.internal.Json;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * The configuration of a client. Each setting is optional. Generated from the schema of the core.
 *
 * <pre>{@code
 * new PlumConfig()
 *         .registry("plum://127.0.0.1:8080")
 *         .timeout(Duration.ofSeconds(2))
 *         .service("orders", orders -> orders.retry(retry -> retry.attempts(5)))
 * }</pre>
 *
 * <p>Not thread-safe. A client reads it when it is created or configured.
 */
public final class PlumConfig {
    private final Map<String, Object> values = new LinkedHashMap<>();

    /** Creates a configuration without settings: the environment and the defaults apply. */
    public PlumConfig() {}

    /**
     * Reads settings from JSON, with the keys that every language uses. Creating a client validates them.
     *
     * @param json a JSON object
     * @return the settings
     * @throws PlumInvalidArgumentException if the text is not a JSON object
     */
    public static PlumConfig fromJson(String json) {
        Object read = Json.read(Objects.requireNonNull(json, "json"));
        if (!(read instanceof Map)) {
            throw new PlumInvalidArgumentException("the configuration is not a JSON object");
        }
        PlumConfig config = new PlumConfig();
        config.values.putAll(Json.asObject(read));
        return config;
    }

    /**
     * The settings as JSON, with the keys that every language uses.
     *
     * @return compact JSON
     */
    public String toJson() {
        return Json.write(values);
    }

    Map<String, Object> values() {
        return values;
    }

    /**
     * Sets the registries.
     *
     * @param addresses their addresses
     * @return this
     */
    public PlumConfig registry(String... addresses) {
        values.put("registry", List.of(Objects.requireNonNull(addresses, "addresses")));
        return this;
    }

    /**
     * Sets the settings of one service.
     *
     * @param service the name of the service
     * @param settings sets them
     * @return this
     */
    public PlumConfig service(String service, Consumer<Settings> settings) {
        Map<String, Object> services = section(values, "services");
        settings.accept(new Settings(section(services, Objects.requireNonNull(service, "service"))));
        return this;
    }

    /** Returns the section of that name, or creates it. */
    private static Map<String, Object> section(Map<String, Object> values, String name) {
        Object section = values.get(name);
        if (!(section instanceof Map)) {
            section = new LinkedHashMap<String, Object>();
            values.put(name, section);
        }
        return Json.asObject(section);
    }

    @Override
    public boolean equals(@Nullable Object other) {
        return other instanceof PlumConfig && values.equals(((PlumConfig) other).values);
    }

    @Override
    public int hashCode() {
        return values.hashCode();
    }

    @Override
    public String toString() {
        return "PlumConfig" + values.keySet();
    }

    /**
     * Registries and their settings.
     *
     * @param registry sets the settings of the section
     * @return this
     */
    public PlumConfig registry(Consumer<Registry> registry) {
        registry.accept(new Registry(section(values, "registry")));
        return this;
    }

    /**
     * How long lists of endpoints are believed, and where they are kept.
     *
     * @param cache sets the settings of the section
     * @return this
     */
    public PlumConfig cache(Consumer<Cache> cache) {
        cache.accept(new Cache(section(values, "cache")));
        return this;
    }

    /**
     * How this program keeps itself registered.
     *
     * @param registration sets the settings of the section
     * @return this
     */
    public PlumConfig registration(Consumer<Registration> registration) {
        registration.accept(new Registration(section(values, "registration")));
        return this;
    }

    /**
     * The whole call: first discovery, waits, retries, body.
     *
     * @param timeout the value
     * @return this
     */
    public PlumConfig timeout(Duration timeout) {
        values.put("timeout", Durations.text("timeout", timeout));
        return this;
    }

    /**
     * One attempt; unset: 60 % of what is left while a safe repeat remains, else all of it.
     *
     * @param attemptTimeout the value
     * @return this
     */
    public PlumConfig attemptTimeout(Duration attemptTimeout) {
        values.put("attempt_timeout", Durations.text("attempt_timeout", attemptTimeout));
        return this;
    }

    /**
     * Opening one connection.
     *
     * @param connectTimeout the value
     * @return this
     */
    public PlumConfig connectTimeout(Duration connectTimeout) {
        values.put("connect_timeout", Durations.text("connect_timeout", connectTimeout));
        return this;
    }

    /**
     * Whom to ask next: {@code p2c_ewma}, {@code round_robin} or {@code random}.
     *
     * @param balancer the value
     * @return this
     */
    public PlumConfig balancer(Strategy balancer) {
        values.put("balancer", balancer.value());
        return this;
    }

    /**
     * The zone this program runs in; empty if it does not matter.
     *
     * @param zone the value
     * @return this
     */
    public PlumConfig zone(String zone) {
        values.put("zone", Objects.requireNonNull(zone, "zone"));
        return this;
    }

    /**
     * The largest response body taken, bytes after decompression.
     *
     * @param maxBody the value
     * @return this
     */
    public PlumConfig maxBody(long maxBody) {
        values.put("max_body", maxBody);
        return this;
    }

    /**
     * Sent in the Host header instead of the endpoint's host.
     *
     * @param hostHeader the value
     * @return this
     */
    public PlumConfig hostHeader(String hostHeader) {
        values.put("host_header", Objects.requireNonNull(hostHeader, "host_header"));
        return this;
    }

    /**
     * Sent with every request; the request's own win.
     *
     * @param headers the value
     * @return this
     */
    public PlumConfig headers(Map<String, String> headers) {
        values.put("headers", new LinkedHashMap<>(headers));
        return this;
    }

    /**
     * When and how often to try again.
     *
     * @param retry sets the settings of the section
     * @return this
     */
    public PlumConfig retry(Consumer<Retry> retry) {
        retry.accept(new Retry(section(values, "retry")));
        return this;
    }

    /**
     * When to take an endpoint out of rotation.
     *
     * @param outlier sets the settings of the section
     * @return this
     */
    public PlumConfig outlier(Consumer<Outlier> outlier) {
        outlier.accept(new Outlier(section(values, "outlier")));
        return this;
    }

    /**
     * How to speak TLS.
     *
     * @param tls sets the settings of the section
     * @return this
     */
    public PlumConfig tls(Consumer<Tls> tls) {
        tls.accept(new Tls(section(values, "tls")));
        return this;
    }

    /** Which registries to ask, and how. */
    public static final class Registry {
        private final Map<String, Object> values;

        private Registry(Map<String, Object> values) {
            this.values = values;
        }

        /**
         * Their addresses; empty: {@code PLUMLINE_REGISTRY}.
         *
         * @param addresses the value
         * @return this
         */
        public Registry addresses(List<String> addresses) {
            values.put("addresses", List.copyOf(addresses));
            return this;
        }

        /**
         * How several of them are read: {@code failover}, the first that answers, or {@code merge}, all together;
         * registrations go to each.
         *
         * @param mode the value
         * @return this
         */
        public Registry mode(RegistryMode mode) {
            values.put("mode", mode.value());
            return this;
        }

        /**
         * How often to look where a registry cannot be watched (±20 %).
         *
         * @param pollInterval the value
         * @return this
         */
        public Registry pollInterval(Duration pollInterval) {
            values.put("poll_interval", Durations.text("poll_interval", pollInterval));
            return this;
        }

        /**
         * How long one request to a registry may take.
         *
         * @param timeout the value
         * @return this
         */
        public Registry timeout(Duration timeout) {
            values.put("timeout", Durations.text("timeout", timeout));
            return this;
        }
    }

    /** How several registries are read. */
    public enum RegistryMode {
        /** The first of them that answers, in the order in which they are given. */
        FAILOVER,
        /** All of them together; an endpoint that several list is one. */
        MERGE;

        String value() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /** How long lists of endpoints are believed, and where they are kept. */
    public static final class Cache {
        private final Map<String, Object> values;

        private Cache(Map<String, Object> values) {
            this.values = values;
        }

        /**
         * How long a list is fresh where the registry cannot be watched; older ones are used while they are
         * refreshed.
         *
         * @param ttl the value
         * @return this
         */
        public Cache ttl(Duration ttl) {
            values.put("ttl", Durations.text("ttl", ttl));
            return this;
        }

        /**
         * A file to keep the lists in, used at a start while the registry is away; unset: none.
         *
         * @param snapshot the value
         * @return this
         */
        public Cache snapshot(Path snapshot) {
            values.put("snapshot", snapshot.toString());
            return this;
        }
    }

    /** How this program keeps itself registered. */
    public static final class Registration {
        private final Map<String, Object> values;

        private Registration(Map<String, Object> values) {
            this.values = values;
        }

        /**
         * How long the registry keeps an instance without hearing from it.
         *
         * @param ttl the value
         * @return this
         */
        public Registration ttl(Duration ttl) {
            values.put("ttl", Durations.text("ttl", ttl));
            return this;
        }

        /**
         * How long to wait for the port to answer before it is published anyway; 0: not at all.
         *
         * @param waitListening the value
         * @return this
         */
        public Registration waitListening(Duration waitListening) {
            values.put("wait_listening", Durations.text("wait_listening", waitListening));
            return this;
        }

        /**
         * Where others reach this program; unset: the local address of a socket towards the registry.
         *
         * @param host the value
         * @return this
         */
        public Registration host(String host) {
            values.put("host", Objects.requireNonNull(host, "host"));
            return this;
        }

        /**
         * How long {@code close()} waits after deregistering, for calls still on their way.
         *
         * @param drain the value
         * @return this
         */
        public Registration drain(Duration drain) {
            values.put("drain", Durations.text("drain", drain));
            return this;
        }
    }

    /** Whom to ask next. */
    public enum Strategy {
        /** The cheaper of two drawn by weight, by latency, load and success. */
        P2C_EWMA,
        /** One after the other. */
        ROUND_ROBIN,
        /** By weight. */
        RANDOM;

        String value() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /** When and how often to try again. */
    public static final class Retry {
        private final Map<String, Object> values;

        private Retry(Map<String, Object> values) {
            this.values = values;
        }

        /**
         * Attempts in all, the first included.
         *
         * @param attempts the value
         * @return this
         */
        public Retry attempts(int attempts) {
            values.put("attempts", (long) attempts);
            return this;
        }

        /**
         * The shape of the wait before returning to an endpoint already tried.
         *
         * @param backoff the value
         * @return this
         */
        public Retry backoff(BackoffKind backoff) {
            values.put("backoff", backoff.value());
            return this;
        }

        /**
         * The first wait's bound.
         *
         * @param base the value
         * @return this
         */
        public Retry base(Duration base) {
            values.put("base", Durations.text("base", base));
            return this;
        }

        /**
         * The largest wait.
         *
         * @param cap the value
         * @return this
         */
        public Retry cap(Duration cap) {
            values.put("cap", Durations.text("cap", cap));
            return this;
        }

        /**
         * The longest {@code Retry-After} that is waited for; a longer one ends the call with that answer.
         *
         * @param maxRetryAfter the value
         * @return this
         */
        public Retry maxRetryAfter(Duration maxRetryAfter) {
            values.put("max_retry_after", Durations.text("max_retry_after", maxRetryAfter));
            return this;
        }

        /**
         * How many retries the budget starts with.
         *
         * @param budget the value
         * @return this
         */
        public Retry budget(double budget) {
            values.put("budget", budget);
            return this;
        }

        /**
         * What each call adds to the budget.
         *
         * @param budgetRatio the value
         * @return this
         */
        public Retry budgetRatio(double budgetRatio) {
            values.put("budget_ratio", budgetRatio);
            return this;
        }
    }

    /** The shape of the waits between tries. */
    public enum BackoffKind {
        /** U(0, min(cap, base·2ⁿ)). */
        FULL_JITTER,
        /** U(base, 3 × the wait before), at most cap. */
        DECORRELATED,
        /** U(0, min(cap, base·(n+1))). */
        LINEAR,
        /** U(0, base). */
        FIXED;

        String value() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /** When to take an endpoint out of rotation. */
    public static final class Outlier {
        private final Map<String, Object> values;

        private Outlier(Map<String, Object> values) {
            this.values = values;
        }

        /**
         * Whether endpoints are taken out at all.
         *
         * @param enabled the value
         * @return this
         */
        public Outlier enabled(boolean enabled) {
            values.put("enabled", enabled);
            return this;
        }

        /**
         * So many connect errors or timeouts in a row.
         *
         * @param consecutiveConnectFailures the value
         * @return this
         */
        public Outlier consecutiveConnectFailures(int consecutiveConnectFailures) {
            values.put("consecutive_connect_failures", (long) consecutiveConnectFailures);
            return this;
        }

        /**
         * So many failures of any kind in a row.
         *
         * @param consecutiveFailures the value
         * @return this
         */
        public Outlier consecutiveFailures(int consecutiveFailures) {
            values.put("consecutive_failures", (long) consecutiveFailures);
            return this;
        }

        /**
         * The longest first ejection; each further one is longer by as much.
         *
         * @param baseEjection the value
         * @return this
         */
        public Outlier baseEjection(Duration baseEjection) {
            values.put("base_ejection", Durations.text("base_ejection", baseEjection));
            return this;
        }

        /**
         * The longest ejection.
         *
         * @param maxEjection the value
         * @return this
         */
        public Outlier maxEjection(Duration maxEjection) {
            values.put("max_ejection", Durations.text("max_ejection", maxEjection));
            return this;
        }

        /**
         * Whether an endpoint that has stopped answering is avoided before anything times out.
         *
         * @param stall the value
         * @return this
         */
        public Outlier stall(boolean stall) {
            values.put("stall", stall);
            return this;
        }
    }

    /** How to speak TLS. */
    public static final class Tls {
        private final Map<String, Object> values;

        private Tls(Map<String, Object> values) {
            this.values = values;
        }

        /**
         * A file of PEM certificates to trust beside the system's.
         *
         * @param ca the value
         * @return this
         */
        public Tls ca(Path ca) {
            values.put("ca", ca.toString());
            return this;
        }

        /**
         * A file of PEM certificates to show to whoever asks who we are: ours first, then those it was signed with.
         *
         * @param cert the value
         * @return this
         */
        public Tls cert(String cert) {
            values.put("cert", Objects.requireNonNull(cert, "cert"));
            return this;
        }

        /**
         * The file of the private key to {@code cert}, in PEM.
         *
         * @param key the value
         * @return this
         */
        public Tls key(String key) {
            values.put("key", Objects.requireNonNull(key, "key"));
            return this;
        }

        /**
         * The name to verify instead of the endpoint's host.
         *
         * @param serverName the value
         * @return this
         */
        public Tls serverName(String serverName) {
            values.put("server_name", Objects.requireNonNull(serverName, "server_name"));
            return this;
        }
    }

    /** The settings of one service's calls. */
    public static final class Settings {
        private final Map<String, Object> values;

        private Settings(Map<String, Object> values) {
            this.values = values;
        }

        /**
         * The whole call: first discovery, waits, retries, body.
         *
         * @param timeout the value
         * @return this
         */
        public Settings timeout(Duration timeout) {
            values.put("timeout", Durations.text("timeout", timeout));
            return this;
        }

        /**
         * One attempt; unset: 60 % of what is left while a safe repeat remains, else all of it.
         *
         * @param attemptTimeout the value
         * @return this
         */
        public Settings attemptTimeout(Duration attemptTimeout) {
            values.put("attempt_timeout", Durations.text("attempt_timeout", attemptTimeout));
            return this;
        }

        /**
         * Opening one connection.
         *
         * @param connectTimeout the value
         * @return this
         */
        public Settings connectTimeout(Duration connectTimeout) {
            values.put("connect_timeout", Durations.text("connect_timeout", connectTimeout));
            return this;
        }

        /**
         * Whom to ask next: {@code p2c_ewma}, {@code round_robin} or {@code random}.
         *
         * @param balancer the value
         * @return this
         */
        public Settings balancer(Strategy balancer) {
            values.put("balancer", balancer.value());
            return this;
        }

        /**
         * The zone this program runs in; empty if it does not matter.
         *
         * @param zone the value
         * @return this
         */
        public Settings zone(String zone) {
            values.put("zone", Objects.requireNonNull(zone, "zone"));
            return this;
        }

        /**
         * The largest response body taken, bytes after decompression.
         *
         * @param maxBody the value
         * @return this
         */
        public Settings maxBody(long maxBody) {
            values.put("max_body", maxBody);
            return this;
        }

        /**
         * Sent in the Host header instead of the endpoint's host.
         *
         * @param hostHeader the value
         * @return this
         */
        public Settings hostHeader(String hostHeader) {
            values.put("host_header", Objects.requireNonNull(hostHeader, "host_header"));
            return this;
        }

        /**
         * Sent with every request; the request's own win.
         *
         * @param headers the value
         * @return this
         */
        public Settings headers(Map<String, String> headers) {
            values.put("headers", new LinkedHashMap<>(headers));
            return this;
        }

        /**
         * When and how often to try again.
         *
         * @param retry sets the settings of the section
         * @return this
         */
        public Settings retry(Consumer<Retry> retry) {
            retry.accept(new Retry(section(values, "retry")));
            return this;
        }

        /**
         * When to take an endpoint out of rotation.
         *
         * @param outlier sets the settings of the section
         * @return this
         */
        public Settings outlier(Consumer<Outlier> outlier) {
            outlier.accept(new Outlier(section(values, "outlier")));
            return this;
        }

        /**
         * How to speak TLS.
         *
         * @param tls sets the settings of the section
         * @return this
         */
        public Settings tls(Consumer<Tls> tls) {
            tls.accept(new Tls(section(values, "tls")));
            return this;
        }
    }
}
