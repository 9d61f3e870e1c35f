package conformance;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.plumline.Change;
import io.plumline.Endpoint;
import io.plumline.EndpointExplanation;
import io.plumline.Explanation;
import io.plumline.PlumException;
import io.plumline.PlumResponse;
import io.plumline.Registration;
import io.plumline.TraceStep;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Converts results to the form that the runner of every language sends. */
final class Results {
    private Results() {}

    static Map<String, Object> map(Object... pairs) {
        Map<String, Object> map = new LinkedHashMap<>();
        for (int n = 0; n < pairs.length; n += 2) {
            map.put((String) pairs[n], pairs[n + 1]);
        }
        return map;
    }

    static Map<String, Object> error(PlumException error) {
        Class<?> kind = error.getClass();
        while (kind.getSuperclass() != PlumException.class) {
            kind = kind.getSuperclass();
        }
        return map(
                "kind", error.kind().number(),
                "name", kind.getSimpleName().replaceAll("^Plum|Exception$", ""),
                "message", error.getMessage(),
                "service", error.service().orElse(null),
                "endpoint", error.endpoint().map(Endpoint::address).orElse(null),
                "attempts", error.attempts(),
                "retryable", error.isRetryable(),
                "trace", trace(error.trace()));
    }

    static List<Object> trace(List<TraceStep> steps) {
        List<Object> trace = new ArrayList<>();
        for (TraceStep step : steps) {
            Map<String, Object> result = map("endpoint", step.endpoint().address());
            step.status().ifPresent(status -> result.put("status", status));
            step.kind().ifPresent(kind -> result.put("kind", kind.number()));
            trace.add(result);
        }
        return trace;
    }

    static Map<String, Object> endpoint(Endpoint endpoint) {
        return map(
                "service", endpoint.service(),
                "address", endpoint.address(),
                "host", endpoint.host(),
                "ip", endpoint.ip(),
                "port", endpoint.port(),
                "protocol", endpoint.protocol(),
                "version", endpoint.version(),
                "labels", endpoint.labels(),
                "weight", endpoint.weight(),
                "zone", endpoint.zone(),
                "healthy", endpoint.healthy(),
                "instance_id", endpoint.instanceId(),
                "node_id", endpoint.nodeId(),
                "source", endpoint.source());
    }

    static List<Object> endpoints(List<Endpoint> endpoints) {
        List<Object> list = new ArrayList<>();
        endpoints.forEach(endpoint -> list.add(endpoint(endpoint)));
        return list;
    }

    static Map<String, Object> response(PlumResponse response) {
        List<Object> headers = new ArrayList<>();
        response.headers().forEach((name, values) -> values.forEach(value -> headers.add(List.of(name, value))));
        byte[] body = response.body();
        String text = response.text();
        boolean isText = Arrays.equals(text.getBytes(UTF_8), body);
        return map(
                "status", response.statusCode(),
                "is_success", response.isSuccess(),
                "headers", headers,
                "body", isText ? text : map("base64", Base64.getEncoder().encodeToString(body)),
                "service", response.service(),
                "endpoint", response.endpoint().address(),
                "attempts", response.attempts(),
                "trace", trace(response.trace()),
                "elapsed", response.elapsed().toNanos() / 1e6);
    }

    static Map<String, Object> change(Change change) {
        return map(
                "service", change.service(),
                "kind", change.kind().value(),
                "added", endpoints(change.added()),
                "updated", endpoints(change.updated()),
                "removed", endpoints(change.removed()),
                "endpoints", endpoints(change.endpoints()));
    }

    static Map<String, Object> registration(Registration registration) {
        return map(
                "state", registration.state().value(),
                "address", registration.address(),
                "service", registration.service(),
                "instance_id", registration.instanceId(),
                "last_error", registration.lastError().map(Results::error).orElse(null));
    }

    static Map<String, Object> explanation(Explanation explanation) {
        List<Object> endpoints = new ArrayList<>();
        for (EndpointExplanation each : explanation.endpoints()) {
            endpoints.add(map(
                    "address", each.address(),
                    "endpoint", endpoint(each.endpoint()),
                    "usable", each.usable(),
                    "reasons", each.reasons(),
                    "ewma_ms", each.ewmaMs().isPresent() ? each.ewmaMs().getAsDouble() : null,
                    "success", each.success(),
                    "in_flight", each.inFlight(),
                    "weight", each.weight()));
        }
        return map(
                "query", explanation.query(),
                "summary", explanation.summary(),
                "usable", explanation.usable(),
                "source", explanation.source(),
                "endpoints", endpoints);
    }
}
