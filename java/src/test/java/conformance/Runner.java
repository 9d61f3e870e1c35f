package conformance;

import io.plumline.Endpoint;
import io.plumline.Instance;
import io.plumline.Pick;
import io.plumline.PlumClient;
import io.plumline.PlumConfig;
import io.plumline.PlumException;
import io.plumline.PlumRequest;
import io.plumline.PlumResponse;
import io.plumline.PlumService;
import io.plumline.Registration;
import io.plumline.Watch;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import tools.jackson.databind.ObjectMapper;

/** Runs operations with the public API. The test bed checks the results. */
final class Runner {
    private final ObjectMapper json;
    private final Map<String, RecordedClient> clients = new ConcurrentHashMap<>();
    private final Map<String, PlumService> services = new ConcurrentHashMap<>();
    private final Map<String, Pick> picks = new ConcurrentHashMap<>();
    private final Map<String, Registration> registrations = new ConcurrentHashMap<>();
    private final Map<String, Watch> watches = new ConcurrentHashMap<>();
    private final Map<String, FutureTask<Map<String, Object>>> tasks = new ConcurrentHashMap<>();

    Runner(ObjectMapper json) {
        this.json = json;
    }

    Map<String, Object> respond(Operation operation) throws InterruptedException, ExecutionException {
        if (operation.text("do").equals("join")) {
            return tasks.remove(operation.text("task")).get();
        }
        if (!operation.has("task")) {
            return run(operation);
        }
        FutureTask<Map<String, Object>> task = new FutureTask<>(() -> run(operation));
        tasks.put(operation.text("task"), task);
        new Thread(task, operation.text("task")).start();
        return Results.map("value", null);
    }

    private Map<String, Object> run(Operation operation) {
        RecordedClient.ON_CALLER.set(true);
        try {
            return Results.map("value", perform(operation));
        } catch (PlumException error) {
            if (error.getCause() instanceof RecordedClient.CallbackException thrown) {
                return Results.map("raised", thrown.getMessage());
            }
            return Results.map("error", Results.error(error));
        } catch (Exception | Error error) {
            return Results.map("defect", error.toString());
        } finally {
            RecordedClient.ON_CALLER.set(false);
        }
    }

    private PlumClient client(Operation operation) {
        return clients.get(operation.text("client")).client;
    }

    private Object perform(Operation operation) {
        switch (operation.text("do")) {
            case "client" -> {
                PlumConfig config = PlumConfig.fromJson(
                        json.writeValueAsString(operation.fields().get("config")));
                RecordedClient client = new RecordedClient(operation, PlumClient.builder().config(config));
                clients.put(operation.text("as"), client);
                return null;
            }
            case "service" -> {
                services.put(operation.text("as"), client(operation).service(operation.query()));
                return null;
            }
            case "call" -> {
                PlumResponse response = call(operation);
                boolean raise = operation.has("raise_for_status") && operation.truth("raise_for_status");
                return Results.response(raise ? response.raiseForStatus() : response);
            }
            case "discover" -> {
                return Results.endpoints(client(operation).discover(operation.query()));
            }
            case "services" -> {
                return client(operation).services();
            }
            case "pick" -> {
                Pick pick = pick(operation);
                picks.put(operation.text("as"), pick);
                return Results.map("endpoint", Results.endpoint(pick.endpoint()), "is_stale", pick.isStale());
            }
            case "report" -> {
                Pick pick = picks.get(operation.text("pick"));
                if (operation.text("outcome").equals("success")) {
                    pick.success();
                } else {
                    pick.failure();
                }
                return null;
            }
            case "register" -> {
                Operation fields = operation.object("instance");
                Instance instance = instance(Instance.of(fields.text("service"), fields.number("port")), fields);
                Registration registration = client(operation).register(instance);
                registrations.put(operation.text("as"), registration);
                return Results.registration(registration);
            }
            case "registration" -> {
                return Results.registration(registrations.get(operation.text("registration")));
            }
            case "wait" -> registrations.get(operation.text("registration")).await(operation.millis("timeout"));
            case "update" ->
                registrations
                        .get(operation.text("registration"))
                        .update(instance -> instance(instance, operation.object("fields")));
            case "close_registration" -> {
                Registration registration = registrations.get(operation.text("registration"));
                if (operation.has("drain")) {
                    registration.close(operation.millis("drain"));
                } else {
                    registration.close();
                }
            }
            case "watch" -> watches.put(operation.text("as"), client(operation).watch(operation.text("service")));
            case "watch_all" ->
                watches.put(operation.text("as"), client(operation).watchAll());
            case "next" -> {
                Watch watch = watches.get(operation.text("watch"));
                if (!operation.has("timeout")) {
                    return Results.change(watch.next());
                }
                return watch.next(operation.millis("timeout"))
                        .map(Results::change)
                        .orElse(null);
            }
            case "close_watch" -> watches.get(operation.text("watch")).close();
            case "wait_for" -> client(operation).waitFor(operation.query(), operation.millis("timeout"));
            case "explain" -> {
                return Results.explanation(client(operation).explain(operation.query()));
            }
            case "stats" -> {
                return json.readValue(client(operation).stats().toJson(), Object.class);
            }
            case "publish" -> client(operation).publish(operation.text("service"), published(operation));
            case "clear_cache" -> client(operation).clearCache();
            case "configure" ->
                client(operation)
                        .configure(PlumConfig.fromJson(
                                json.writeValueAsString(operation.fields().get("changes"))));
            case "close" -> {
                if (operation.has("drain")) {
                    client(operation).close(operation.millis("drain"));
                } else {
                    client(operation).close();
                }
            }
            case "is_closed" -> {
                return client(operation).isClosed();
            }
            case "recorded" -> {
                return List.copyOf(clients.get(operation.text("client")).recorded);
            }
            case "end" -> {
                clients.values().forEach(recorded -> recorded.client.close());
                List.of(clients, services, picks, registrations, watches, tasks).forEach(Map::clear);
            }
            default -> throw new UnsupportedOperationException(operation.text("do"));
        }
        return null;
    }

    private Pick pick(Operation operation) {
        if (operation.has("handle")) {
            return services.get(operation.text("handle")).pick();
        }
        PlumClient client = client(operation);
        return operation.isFiltered() ? client.pick(operation.query()) : client.pick(operation.text("service"));
    }

    private PlumResponse call(Operation operation) {
        PlumService handle = operation.has("handle") ? services.get(operation.text("handle")) : null;
        String service = handle == null ? operation.text("service") : handle.name();
        String path = operation.text("path");
        PlumRequest request =
                switch (operation.text("method")) {
                    case "GET" -> PlumRequest.get(service, path);
                    case "POST" -> PlumRequest.post(service, path);
                    case "PUT" -> PlumRequest.put(service, path);
                    case "PATCH" -> PlumRequest.patch(service, path);
                    case "DELETE" -> PlumRequest.delete(service, path);
                    case "HEAD" -> PlumRequest.head(service, path);
                    case "OPTIONS" -> PlumRequest.options(service, path);
                    default -> PlumRequest.of(operation.text("method"), service, path);
                };
        request = with(request, operation);
        return handle == null ? client(operation).call(request) : handle.call(request);
    }

    private static PlumRequest with(PlumRequest start, Operation operation) {
        PlumRequest[] request = {start};
        operation.pairs("params", (name, value) -> request[0] = request[0].param(name, value));
        operation.pairs("headers", (name, value) -> request[0] = request[0].header(name, value));
        if (operation.has("form")) {
            List<Map.Entry<String, String>> form = new ArrayList<>();
            operation.pairs("form", (name, value) -> form.add(Map.entry(name, value)));
            request[0] = request[0].form(form);
        }
        operation.with("json", value -> request[0] = request[0].json(value));
        operation.<String>with("body", body -> request[0] = request[0].content(body));
        operation.with("timeout", any -> request[0] = request[0].timeout(operation.millis("timeout")));
        operation.with(
                "attempt_timeout", any -> request[0] = request[0].attemptTimeout(operation.millis("attempt_timeout")));
        operation.with("attempts", any -> request[0] = request[0].attempts(operation.number("attempts")));
        operation.with("idempotent", any -> request[0] = request[0].idempotent(operation.truth("idempotent")));
        operation.<Number>with("max_body", bytes -> request[0] = request[0].maxBody(bytes.longValue()));
        operation.<String>with("version", version -> request[0] = request[0].version(version));
        return request[0].labels(operation.texts("labels"));
    }

    private static Instance instance(Instance start, Operation fields) {
        Instance[] instance = {start};
        fields.<Number>with("port", port -> instance[0] = instance[0].port(port.intValue()));
        fields.<String>with("host", host -> instance[0] = instance[0].host(host));
        fields.<String>with("protocol", protocol -> instance[0] = instance[0].protocol(protocol));
        fields.<String>with("version", version -> instance[0] = instance[0].version(version));
        fields.<Map<String, String>>with("labels", labels -> instance[0] = instance[0].labels(labels));
        fields.<Number>with("weight", weight -> instance[0] = instance[0].weight(weight.intValue()));
        fields.<String>with("zone", zone -> instance[0] = instance[0].zone(zone));
        fields.<List<String>>with("tags", tags -> instance[0] = instance[0].tags(tags));
        fields.with("ttl", any -> instance[0] = instance[0].ttl(fields.millis("ttl")));
        fields.<String>with("instance_id", id -> instance[0] = instance[0].instanceId(id));
        fields.<Boolean>with("healthy", healthy -> instance[0] = instance[0].healthy(healthy));
        return instance[0];
    }

    private static List<Endpoint> published(Operation operation) {
        List<Endpoint> endpoints = new ArrayList<>();
        for (Object one : operation.list("endpoints")) {
            Operation fields = new Operation(one);
            Endpoint[] endpoint = {Endpoint.of(operation.text("service"), fields.text("host"), fields.number("port"))};
            fields.<String>with("protocol", protocol -> endpoint[0] = endpoint[0].withProtocol(protocol));
            fields.<String>with("version", version -> endpoint[0] = endpoint[0].withVersion(version));
            fields.<Map<String, String>>with("labels", labels -> endpoint[0] = endpoint[0].withLabels(labels));
            fields.<Number>with("weight", weight -> endpoint[0] = endpoint[0].withWeight(weight.intValue()));
            fields.<String>with("zone", zone -> endpoint[0] = endpoint[0].withZone(zone));
            fields.<Boolean>with("healthy", healthy -> endpoint[0] = endpoint[0].withHealthy(healthy));
            fields.<String>with("instance_id", id -> endpoint[0] = endpoint[0].withInstanceId(id));
            endpoints.add(endpoint[0]);
        }
        return endpoints;
    }
}
