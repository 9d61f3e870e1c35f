package io.plumline;

import io.plumline.internal.Json;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.TreeMap;
import java.util.function.Function;

/** Statistics of a client at one moment. Contains no secrets. */
public final class Stats {
    private final String json;
    private final Map<String, Object> fields;

    Stats(String json) {
        this.json = json;
        fields = Json.asObject(Json.read(json));
    }

    /**
     * Calls and picks.
     *
     * @return statistics by service name
     */
    public Map<String, ServiceStats> services() {
        return map(fields, "services", ServiceStats::new);
    }

    /**
     * The cached endpoint lists.
     *
     * @return their statistics
     */
    public CacheStats cache() {
        return new CacheStats(Json.asObject(fields.get("cache")));
    }

    /**
     * The registrations of this client.
     *
     * @return statistics of each
     */
    public List<RegistrationStats> registrations() {
        return list(fields, "registrations", RegistrationStats::new);
    }

    /**
     * Background threads of the native library; all clients of the process share them.
     *
     * @return the number of threads
     */
    public int threads() {
        return number(fields, "threads").intValue();
    }

    /**
     * The statistics as JSON, with the keys that every language uses.
     *
     * @return compact JSON
     */
    public String toJson() {
        return json;
    }

    @Override
    public String toString() {
        return json;
    }

    private static Number number(Map<String, Object> fields, String key) {
        Object value = fields.get(key);
        return value instanceof Number ? (Number) value : 0;
    }

    private static boolean isTrue(Map<String, Object> fields, String key) {
        return Boolean.TRUE.equals(fields.get(key));
    }

    private static String text(Map<String, Object> fields, String key) {
        return String.valueOf(fields.get(key));
    }

    private static OptionalDouble optionalNumber(Map<String, Object> fields, String key) {
        Object value = fields.get(key);
        return value instanceof Number ? OptionalDouble.of(((Number) value).doubleValue()) : OptionalDouble.empty();
    }

    private static Optional<String> optionalText(Map<String, Object> fields, String key) {
        return Optional.ofNullable((String) fields.get(key));
    }

    private static <T> Map<String, T> map(Map<String, Object> fields, String key, Function<Map<String, Object>, T> of) {
        Map<String, T> map = new TreeMap<>();
        Json.asObject(fields.get(key)).forEach((name, value) -> map.put(name, of.apply(Json.asObject(value))));
        return Collections.unmodifiableMap(map);
    }

    private static <T> List<T> list(Map<String, Object> fields, String key, Function<Map<String, Object>, T> of) {
        List<T> list = new ArrayList<>();
        ((List<?>) fields.get(key)).forEach(value -> list.add(of.apply(Json.asObject(value))));
        return Collections.unmodifiableList(list);
    }

    /** Statistics of one service. */
    public static final class ServiceStats {
        private final Map<String, Object> fields;

        private ServiceStats(Map<String, Object> fields) {
            this.fields = fields;
        }

        /**
         * Calls that have ended.
         *
         * @return the number of calls
         */
        public long calls() {
            return number(fields, "calls").longValue();
        }

        /**
         * Calls that ended without a response.
         *
         * @return the number of calls
         */
        public long failures() {
            return number(fields, "failures").longValue();
        }

        /**
         * Attempts of calls, including first attempts and excluding probes.
         *
         * @return the number of attempts
         */
        public long attempts() {
            return number(fields, "attempts").longValue();
        }

        /**
         * Attempts after the first attempt of a call.
         *
         * @return the number of attempts
         */
        public long retries() {
            return number(fields, "retries").longValue();
        }

        /**
         * Endpoints returned by {@code pick()}.
         *
         * @return the number of picks
         */
        public long picks() {
            return number(fields, "picks").longValue();
        }

        /**
         * Picks without a report of success or failure.
         *
         * @return the number of picks
         */
        public long unreported() {
            return number(fields, "unreported").longValue();
        }

        /**
         * Ejections of endpoints.
         *
         * @return the number of ejections
         */
        public long ejections() {
            return number(fields, "ejections").longValue();
        }

        /**
         * Attempts and connects that probed an ejected endpoint.
         *
         * @return the number of probes
         */
        public long probes() {
            return number(fields, "probes").longValue();
        }

        /**
         * Retries that the retry budget allows at present.
         *
         * @return the number of retries
         */
        public double budget() {
            return number(fields, "budget").doubleValue();
        }

        /**
         * Whether the endpoint list is stale because the registry does not respond.
         *
         * @return true if it is stale
         */
        public boolean stale() {
            return isTrue(fields, "stale");
        }

        /**
         * Each endpoint.
         *
         * @return statistics by address
         */
        public Map<String, EndpointStats> endpoints() {
            return map(fields, "endpoints", EndpointStats::new);
        }

        @Override
        public String toString() {
            return Json.write(fields);
        }
    }

    /** Statistics of one endpoint. */
    public static final class EndpointStats {
        private final Map<String, Object> fields;

        private EndpointStats(Map<String, Object> fields) {
            this.fields = fields;
        }

        /**
         * Calls and picks that have ended.
         *
         * @return their number
         */
        public long attempts() {
            return number(fields, "attempts").longValue();
        }

        /**
         * Calls and picks that have failed.
         *
         * @return their number
         */
        public long failures() {
            return number(fields, "failures").longValue();
        }

        /**
         * Calls and picks that have not ended yet.
         *
         * @return their number
         */
        public long inFlight() {
            return number(fields, "in_flight").longValue();
        }

        /**
         * Moving average of the latency.
         *
         * @return milliseconds; empty before the first result
         */
        public OptionalDouble ewmaMs() {
            return optionalNumber(fields, "ewma_ms");
        }

        /**
         * Moving average of the success rate.
         *
         * @return 0 to 1
         */
        public double success() {
            return number(fields, "success").doubleValue();
        }

        /**
         * Whether the endpoint is ejected.
         *
         * @return true if it is ejected
         */
        public boolean ejected() {
            return isTrue(fields, "ejected");
        }

        @Override
        public String toString() {
            return Json.write(fields);
        }
    }

    /** Statistics of the cached endpoint lists. */
    public static final class CacheStats {
        private final Map<String, Object> fields;

        private CacheStats(Map<String, Object> fields) {
            this.fields = fields;
        }

        /**
         * Services in the cache.
         *
         * @return the number of services
         */
        public long services() {
            return number(fields, "services").longValue();
        }

        /**
         * Lookups answered from the cache.
         *
         * @return the number of lookups
         */
        public long hits() {
            return number(fields, "hits").longValue();
        }

        /**
         * Lookups that waited for a registry.
         *
         * @return the number of lookups
         */
        public long misses() {
            return number(fields, "misses").longValue();
        }

        /**
         * Endpoint lists received in the background.
         *
         * @return the number of lists
         */
        public long refreshes() {
            return number(fields, "refreshes").longValue();
        }

        /**
         * Services whose endpoint list is stale.
         *
         * @return the number of services
         */
        public long stale() {
            return number(fields, "stale").longValue();
        }

        /**
         * Age of the oldest endpoint list.
         *
         * @return seconds
         */
        public double oldestSeconds() {
            return number(fields, "oldest_s").doubleValue();
        }

        /**
         * Each registry.
         *
         * @return statistics of each registry
         */
        public List<RegistryStats> registries() {
            return list(fields, "registries", RegistryStats::new);
        }

        @Override
        public String toString() {
            return Json.write(fields);
        }
    }

    /** Statistics of one registry. */
    public static final class RegistryStats {
        private final Map<String, Object> fields;

        private RegistryStats(Map<String, Object> fields) {
            this.fields = fields;
        }

        /**
         * The address of the registry, without secrets.
         *
         * @return the address
         */
        public String source() {
            return text(fields, "source");
        }

        /**
         * Whether the registry responds at present.
         *
         * @return true if it responds
         */
        public boolean up() {
            return isTrue(fields, "up");
        }

        /**
         * Whether an endpoint missing from its list counts as removed.
         *
         * @return false after a start or an outage, until the list is trusted
         */
        public boolean settled() {
            return isTrue(fields, "settled");
        }

        /**
         * Time since its last response.
         *
         * @return seconds; empty if it has never responded
         */
        public OptionalDouble heardSeconds() {
            return optionalNumber(fields, "heard_s");
        }

        /**
         * How often contact with it was lost.
         *
         * @return the number of times
         */
        public long losses() {
            return number(fields, "losses").longValue();
        }

        /**
         * Its last failure, kept after it responds again.
         *
         * @return one line; empty if there was none
         */
        public Optional<String> lastError() {
            return optionalText(fields, "last_error");
        }

        @Override
        public String toString() {
            return Json.write(fields);
        }
    }

    /** Statistics of one registration. */
    public static final class RegistrationStats {
        private final Map<String, Object> fields;

        private RegistrationStats(Map<String, Object> fields) {
            this.fields = fields;
        }

        /**
         * The service.
         *
         * @return its name
         */
        public String service() {
            return text(fields, "service");
        }

        /**
         * The instance.
         *
         * @return its id
         */
        public String instanceId() {
            return text(fields, "instance_id");
        }

        /**
         * The address under which other programs reach the instance.
         *
         * @return {@code host:port}
         */
        public String address() {
            return text(fields, "address");
        }

        /**
         * The state of the registration.
         *
         * @return such as {@code registered}
         */
        public String state() {
            return text(fields, "state");
        }

        /**
         * Time since a registry last confirmed the registration.
         *
         * @return seconds; empty if none has confirmed it
         */
        public OptionalDouble lastBeatSeconds() {
            return optionalNumber(fields, "last_beat_s");
        }

        /**
         * Confirmed heartbeats.
         *
         * @return the number of heartbeats
         */
        public long beats() {
            return number(fields, "beats").longValue();
        }

        /**
         * How often the instance had to be registered again.
         *
         * @return the number of times
         */
        public long reregistrations() {
            return number(fields, "reregistrations").longValue();
        }

        /**
         * The last error.
         *
         * @return one line; empty if there is none
         */
        public Optional<String> lastError() {
            return optionalText(fields, "last_error");
        }

        @Override
        public String toString() {
            return Json.write(fields);
        }
    }
}
