package conformance;

import io.plumline.Endpoint;
import io.plumline.PlumClient;
import io.plumline.PlumClientBuilder;
import io.plumline.PlumResponse;
import java.net.ConnectException;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** A client whose hooks, balancer and transport record their invocations. */
final class RecordedClient {
    /** Thrown by a callback. */
    static final class CallbackException extends Exception {
        private static final long serialVersionUID = 1;

        CallbackException(String text) {
            super(text);
        }
    }

    /** True on a thread that is running an operation. */
    static final ThreadLocal<Boolean> ON_CALLER = ThreadLocal.withInitial(() -> false);

    final List<Object> recorded = Collections.synchronizedList(new ArrayList<>());
    final PlumClient client;
    private final Map<String, Integer> turns = new HashMap<>();

    RecordedClient(Operation settings, PlumClientBuilder builder) {
        settings.with(
                "on_request",
                hook -> builder.onRequest((request, endpoint) -> {
                    Map<String, Object> entry = record("on_request", endpoint);
                    entry.put("method", request.method());
                    entry.put("service", request.service());
                    entry.put("path", request.path());
                    entry.put("attempt", request.attempt());
                    Operation actions = new Operation(hook);
                    String attempt = String.valueOf(request.attempt());
                    actions.pairs(
                            "set_headers",
                            (name, value) -> request.setHeader(name, value.replace("{attempt}", attempt)));
                    throwOrClose(actions);
                }));
        settings.with(
                "on_response",
                hook -> builder.onResponse((request, endpoint, response, error) -> {
                    Map<String, Object> entry = record("on_response", endpoint);
                    entry.put("attempt", request.attempt());
                    if (response == null) {
                        entry.put("kind", error.kind().number());
                    } else {
                        entry.put("status", response.statusCode());
                    }
                    throwOrClose(new Operation(hook));
                }));
        settings.with(
                "balancer",
                mode -> builder.balancer((endpoints, choice) -> {
                    List<Object> tried = new ArrayList<>();
                    for (int n = 0; n < endpoints.size(); n++) {
                        tried.add(choice.tried(n));
                    }
                    List<String> addresses =
                            endpoints.stream().map(Endpoint::address).toList();
                    recorded.add(Results.map(
                            "by", "balancer", "endpoints", addresses, "tried", tried, "on_caller", ON_CALLER.get()));
                    if (mode.equals("first")) {
                        return 0;
                    }
                    if (mode instanceof Map) {
                        throw new CallbackException(new Operation(mode).text("raise"));
                    }
                    return mode.equals("last") ? endpoints.size() - 1 : endpoints.size();
                }));
        settings.with(
                "transport",
                hosts -> builder.transport((request, endpoint) -> {
                    Map<String, Object> entry = record("transport", endpoint);
                    entry.put("method", request.method());
                    entry.put("path", request.path());
                    entry.put("attempt", request.attempt());
                    Operation answers = new Operation(hosts);
                    String host = answers.has(endpoint.host()) ? endpoint.host() : "*";
                    return answer(new Operation(turn(host, answers.list(host))));
                }));
        client = builder.build();
    }

    private Map<String, Object> record(String by, Endpoint endpoint) {
        Map<String, Object> entry = Results.map("by", by, "endpoint", endpoint.address(), "on_caller", ON_CALLER.get());
        recorded.add(entry);
        return entry;
    }

    private void throwOrClose(Operation actions) throws CallbackException {
        if (actions.has("raise")) {
            throw new CallbackException(actions.text("raise"));
        }
        if (actions.has("close") && actions.truth("close")) {
            client.close();
        }
    }

    private synchronized Object turn(String host, List<Object> answers) {
        int turn = turns.merge(host, 1, Integer::sum) - 1;
        return answers.get(Math.min(turn, answers.size() - 1));
    }

    private static PlumResponse answer(Operation answer) throws Exception {
        if (answer.has("raise")) {
            throw new CallbackException(answer.text("raise"));
        }
        if (answer.has("fail")) {
            switch (answer.text("fail")) {
                case "refused":
                    throw new ConnectException("refused");
                case "reset":
                    throw new SocketException("reset");
                default:
                    throw new SocketTimeoutException("timeout");
            }
        }
        PlumResponse.Builder response = PlumResponse.builder(answer.has("status") ? answer.number("status") : 200);
        answer.pairs("headers", response::header);
        answer.<String>with("body", response::content);
        return response.build();
    }
}
