package conformance;

import io.plumline.Query;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.function.BiConsumer;
import java.util.function.Consumer;

/** An operation that the test bed requests: the fields of one line. */
@SuppressWarnings("unchecked") // the types are those in the README of the test bed
record Operation(Map<String, Object> fields) {
    Operation(Object fields) {
        this((Map<String, Object>) fields);
    }

    boolean has(String name) {
        return fields.containsKey(name);
    }

    String text(String name) {
        return (String) fields.get(name);
    }

    int number(String name) {
        return ((Number) fields.get(name)).intValue();
    }

    Duration millis(String name) {
        return Duration.ofNanos(Math.round(((Number) fields.get(name)).doubleValue() * 1e6));
    }

    boolean truth(String name) {
        return (Boolean) fields.get(name);
    }

    Operation object(String name) {
        return new Operation(fields.get(name));
    }

    List<Object> list(String name) {
        return (List<Object>) fields.getOrDefault(name, List.of());
    }

    Map<String, String> texts(String name) {
        return (Map<String, String>) fields.getOrDefault(name, Map.of());
    }

    /** Passes each pair of a list of [name, value] to a function. */
    void pairs(String name, BiConsumer<String, String> each) {
        list(name)
                .forEach(pair -> each.accept(
                        (String) ((List<Object>) pair).get(0), String.valueOf(((List<Object>) pair).get(1))));
    }

    <T> void with(String name, Consumer<T> use) {
        if (has(name)) {
            use.accept((T) fields.get(name));
        }
    }

    Query query() {
        Query query = Query.of(text("service"));
        query = has("version") ? query.version(text("version")) : query;
        query = has("protocol") ? query.protocol(text("protocol")) : query;
        for (Map.Entry<String, String> label : texts("labels").entrySet()) {
            query = query.label(label.getKey(), label.getValue());
        }
        return query;
    }

    boolean isFiltered() {
        return has("version") || has("protocol") || has("labels");
    }
}
