package io.plumline;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.TreeMap;
import java.util.function.Function;

/** Everything a client counts, at one moment. Holds no secret. */
public final class Stats {
    private final String json;
    private final Map<String, Object> fields;

    Stats(String json) {
        this.json = json;
        fields = object(Json.read(json));
    }

    /**
     * Calls and picks.
     *
     * @return what is counted, by the service's name
     */
    public Map<String, ServiceStats> services() {
        return map(fields, "services", ServiceStats::new);
    }

    /**
     * How the lists of endpoints fare.
     *
     * @return what is counted
     */
    public CacheStats cache() {
        return new CacheStats(object(fields.get("cache")));
    }

    /**
     * How this program's registrations fare.
     *
     * @return one for each
     */
    public List<RegistrationStats> registrations() {
        return list(fields, "registrations", RegistrationStats::new);
    }

    /**
     * Background threads of the native library, shared by all its clients.
     *
     * @return how many
     */
    public int threads() {
        return number(fields, "threads").intValue();
    }

    /**
     * The same as JSON, with the keys of every language.
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

    @SuppressWarnings("unchecked") // the core writes objects
    static Map<String, Object> object(Object value) {
        return (Map<String, Object>) value;
    }

    static Number number(Map<String, Object> fields, String key) {
        Object value = fields.get(key);
        return value instanceof Number ? (Number) value : 0;
    }

    static OptionalDouble optional(Map<String, Object> fields, String key) {
        Object value = fields.get(key);
        return value instanceof Number ? OptionalDouble.of(((Number) value).doubleValue()) : OptionalDouble.empty();
    }

    static <T> Map<String, T> map(Map<String, Object> fields, String key, Function<Map<String, Object>, T> of) {
        Map<String, T> map = new TreeMap<>();
        object(fields.get(key)).forEach((name, value) -> map.put(name, of.apply(object(value))));
        return Collections.unmodifiableMap(map);
    }

    static <T> List<T> list(Map<String, Object> fields, String key, Function<Map<String, Object>, T> of) {
        List<T> list = new ArrayList<>();
        ((List<?>) fields.get(key)).forEach(value -> list.add(of.apply(object(value))));
        return Collections.unmodifiableList(list);
    }
}
