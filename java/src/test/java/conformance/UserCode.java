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

/** A client's hooks, balancer and stub: each notes what it was asked. */
final class UserCode {
    /** What user's code raises. */
    static final class Raised extends Exception {
        private static final long serialVersionUID = 1;

        Raised(String text) {
            super(text);
        }
    }

    /** Set on a thread while it does an operation. */
    static final ThreadLocal<Boolean> ON_CALLER = ThreadLocal.withInitial(() -> false);

    final List<Object> recorded = Collections.synchronizedList(new ArrayList<>());
    final PlumClient client;
    private final Map<String, Integer> turns = new HashMap<>();

    UserCode(Operation settings, PlumClientBuilder builder) {
        settings.with(
                "on_request",
                hook -> builder.onRequest((request, endpoint) -> {
                    Map<String, Object> note = note("on_request", endpoint);
                    note.put("method", request.method());
                    note.put("service", request.service());
                    note.put("path", request.path());
                    note.put("attempt", request.attempt());
                    Operation wanted = new Operation(hook);
                    String attempt = String.valueOf(request.attempt());
                    wanted.pairs(
                            "set_headers",
                            (name, value) -> request.setHeader(name, value.replace("{attempt}", attempt)));
                    raiseAndClose(wanted);
                }));
        settings.with(
                "on_response",
                hook -> builder.onResponse((request, endpoint, response, error) -> {
                    Map<String, Object> note = note("on_response", endpoint);
                    note.put("attempt", request.attempt());
                    if (response == null) {
                        note.put("kind", error.kind().number());
                    } else {
                        note.put("status", response.statusCode());
                    }
                    raiseAndClose(new Operation(hook));
                }));
        settings.with(
                "balancer",
                wanted -> builder.balancer((endpoints, choice) -> {
                    List<Object> tried = new ArrayList<>();
                    for (int n = 0; n < endpoints.size(); n++) {
                        tried.add(choice.tried(n));
                    }
                    List<String> addresses =
                            endpoints.stream().map(Endpoint::address).toList();
                    recorded.add(Normal.map(
                            "by", "balancer", "endpoints", addresses, "tried", tried, "on_caller", ON_CALLER.get()));
                    if (wanted.equals("first")) {
                        return 0;
                    }
                    if (wanted instanceof Map) {
                        throw new Raised(new Operation(wanted).text("raise"));
                    }
                    return wanted.equals("last") ? endpoints.size() - 1 : endpoints.size();
                }));
        settings.with(
                "transport",
                hosts -> builder.transport((request, endpoint) -> {
                    Map<String, Object> note = note("transport", endpoint);
                    note.put("method", request.method());
                    note.put("path", request.path());
                    note.put("attempt", request.attempt());
                    Operation answers = new Operation(hosts);
                    String host = answers.has(endpoint.host()) ? endpoint.host() : "*";
                    return answer(new Operation(turn(host, answers.list(host))));
                }));
        client = builder.build();
    }

    private Map<String, Object> note(String by, Endpoint endpoint) {
        Map<String, Object> note = Normal.map("by", by, "endpoint", endpoint.address(), "on_caller", ON_CALLER.get());
        recorded.add(note);
        return note;
    }

    private void raiseAndClose(Operation wanted) throws Raised {
        if (wanted.has("raise")) {
            throw new Raised(wanted.text("raise"));
        }
        if (wanted.has("close") && wanted.truth("close")) {
            client.close();
        }
    }

    private synchronized Object turn(String host, List<Object> answers) {
        int turn = turns.merge(host, 1, Integer::sum) - 1;
        return answers.get(Math.min(turn, answers.size() - 1));
    }

    private static PlumResponse answer(Operation answer) throws Exception {
        if (answer.has("raise")) {
            throw new Raised(answer.text("raise"));
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
