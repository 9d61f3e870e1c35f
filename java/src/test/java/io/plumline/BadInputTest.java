package io.plumline;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.function.Executable;

class BadInputTest {
    private static final String UNPAIRED_SURROGATE = "a\ud800b";

    private static Stream<DynamicTest> each(
            Map<String, Executable> cases, Class<? extends Throwable> error, String expected) {
        return cases.entrySet().stream()
                .map(entry -> DynamicTest.dynamicTest(entry.getKey(), () -> {
                    Throwable thrown = assertThrows(error, entry.getValue());
                    String part = expected.isEmpty() ? entry.getKey() : expected;
                    assertTrue(String.valueOf(thrown.getMessage()).contains(part), thrown.getMessage());
                    assertTrue(thrown.getMessage().indexOf('\n') < 0, "one line");
                }));
    }

    private static PlumClient client(String address) {
        PlumClient plum = PlumClient.create(address);
        plum.close();
        return plum;
    }

    private static PlumConfig json(String json) {
        return PlumConfig.fromJson(json);
    }

    @TestFactory
    Stream<DynamicTest> namesInvalidSettings() {
        Map<String, Executable> cases = new LinkedHashMap<>();
        cases.put("carrier-pigeon", () -> client("carrier-pigeon://a"));
        cases.put("did you mean \"plum\"", () -> client("plumm://a:1"));
        cases.put("retry.attemps", () -> PlumClient.create(json("{\"retry\":{\"attemps\":2}}"))
                .close());
        cases.put("timeout", () -> PlumClient.create(new PlumConfig().timeout(Duration.ZERO))
                .close());
        cases.put("attempts", () -> PlumClient.create(new PlumConfig().retry(retry -> retry.attempts(0)))
                .close());
        cases.put("services.orders", () -> PlumClient.create(json("{\"services\":{\"orders\":{\"x\":1}}}"))
                .close());
        cases.put("connect_timeout is PT-1S", () -> new PlumConfig().connectTimeout(Duration.ofSeconds(-1)));
        cases.put("expected at character", () -> json("{\"a\":}"));
        cases.put("levels deep", () -> json("[".repeat(100_000)));
        cases.put("not a JSON object", () -> json("[]"));
        cases.put("finite", () -> PlumClient.create(new PlumConfig().retry(retry -> retry.budget(Double.NaN)))
                .close());
        return each(cases, PlumInvalidArgumentException.class, "");
    }

    @TestFactory
    Stream<DynamicTest> namesErrorsOfInvalidRequests() {
        PlumClient plum = PlumClient.create("static://10.0.0.1:1");
        Map<String, Executable> cases = new LinkedHashMap<>();
        cases.put("begin with /", () -> plum.get("s", "items"));
        cases.put("control character", () -> plum.get("s", "/a\r\nHost: evil"));
        cases.put("%23", () -> plum.get("s", "/a#b"));
        cases.put("service name is empty", () -> plum.get("", "/"));
        cases.put("method", () -> plum.call(PlumRequest.of("GE T", "s", "/")));
        cases.put("header X", () -> plum.call(PlumRequest.get("s", "/").header("X", "a\nb")));
        cases.put("content-length", () -> plum.call(PlumRequest.get("s", "/").header("content-length", "3")));
        cases.put("timeout is 0", () -> plum.call(PlumRequest.get("s", "/").timeout(Duration.ZERO)));
        cases.put("timeout is PT-1S", () -> PlumRequest.get("s", "/").timeout(Duration.ofSeconds(-1)));
        cases.put("attempts is 0", () -> plum.call(PlumRequest.get("s", "/").attempts(0)));
        cases.put("attempts is -1", () -> PlumRequest.get("s", "/").attempts(-1));
        cases.put("max_body is -1", () -> PlumRequest.get("s", "/").maxBody(-1));
        cases.put("only one of", () -> PlumRequest.post("s", "/").content("a").form(Map.of("a", "b")));
        cases.put("cannot be written as JSON", () -> PlumRequest.post("s", "/").json(new Object() {
            @SuppressWarnings("unused")
            public String getBad() {
                throw new IllegalStateException("bad");
            }
        }));
        cases.put("port", () -> plum.register(Instance.of("s", 70_000)));
        cases.put("not an IP address", () -> Endpoint.of("s", "localhost", 1));
        cases.put("port is -1", () -> Endpoint.of("s", "10.0.0.1", -1));
        return each(cases, PlumInvalidArgumentException.class, "").onClose(plum::close);
    }

    @TestFactory
    Stream<DynamicTest> rejectsUnpairedSurrogates() {
        PlumClient plum = PlumClient.create("memory://");
        PlumRequest request = PlumRequest.post("s", "/");
        Map<String, Executable> cases = new LinkedHashMap<>();
        cases.put("address", () -> client(UNPAIRED_SURROGATE));
        cases.put("service", () -> plum.get(UNPAIRED_SURROGATE, "/"));
        cases.put("path", () -> plum.get("s", UNPAIRED_SURROGATE));
        cases.put("param", () -> request.param("q", UNPAIRED_SURROGATE));
        cases.put("header", () -> request.header("X", UNPAIRED_SURROGATE));
        cases.put("content", () -> request.content(UNPAIRED_SURROGATE));
        cases.put("form", () -> request.form(Map.of("a", UNPAIRED_SURROGATE)));
        cases.put("version", () -> request.version(UNPAIRED_SURROGATE));
        cases.put("label", () -> Query.of("s").label(UNPAIRED_SURROGATE, "x"));
        cases.put("discover", () -> plum.discover(UNPAIRED_SURROGATE));
        cases.put("watch", () -> plum.watch(UNPAIRED_SURROGATE));
        cases.put("instance", () -> plum.register(Instance.of("s", 1).version(UNPAIRED_SURROGATE)));
        cases.put(
                "publish",
                () -> plum.publish("s", List.of(Endpoint.of("s", "10.0.0.1", 1).withZone(UNPAIRED_SURROGATE))));
        cases.put("config", () -> plum.configure(new PlumConfig().zone(UNPAIRED_SURROGATE)));
        return each(cases, PlumInvalidArgumentException.class, "unpaired surrogate")
                .onClose(plum::close);
    }

    @TestFactory
    Stream<DynamicTest> namesNullArguments() {
        PlumClient plum = PlumClient.create("memory://");
        Map<String, Executable> cases = new LinkedHashMap<>();
        cases.put("service", () -> plum.get(null, "/"));
        cases.put("path", () -> plum.get("s", null));
        cases.put("name", () -> PlumRequest.get("s", "/").header(null, "x"));
        cases.put("value", () -> PlumRequest.get("s", "/").param("q", null));
        cases.put("timeout", () -> plum.waitFor("s", null));
        cases.put("version", () -> Query.of("s").version(null));
        cases.put("content", () -> PlumRequest.post("s", "/").content((byte[]) null));
        cases.put("host", () -> Instance.of("s", 1).host(null));
        cases.put("config", () -> PlumClient.builder().config(null));
        cases.put("transport", () -> PlumClient.builder().transport(null));
        cases.put("ip", () -> Endpoint.of("s", null, 1));
        cases.put("zone", () -> new PlumConfig().zone(null));
        cases.put("address", () -> PlumClient.create((String) null));
        cases.put("addresses", () -> new PlumConfig().registry((String[]) null));
        cases.put("request", () -> plum.call(null));
        cases.put("query", () -> plum.pick((Query) null));
        cases.put("instance", () -> plum.register(null));
        cases.put("changes", () -> plum.configure(null));
        cases.put("endpoints", () -> plum.publish("s", null));
        cases.put("an endpoint", () -> plum.publish("s", java.util.Collections.singletonList(null)));
        cases.put("executor", () -> plum.watchAll().listen(null, change -> {}));
        cases.put("content", () -> PlumResponse.of(200, null));
        return each(cases, NullPointerException.class, "").onClose(plum::close);
    }

    @TestFactory
    Stream<DynamicTest> closedClientThrowsPlumClosedException() throws Exception {
        PlumClient plum = PlumClient.create("memory://");
        plum.publish("s", List.of(Endpoint.of("s", "10.0.0.1", 1)));
        PlumService service = plum.service("s");
        Watch watch = plum.watch("s");
        Registration registration = plum.register(Instance.of("s", 1).host("10.0.0.1"));
        plum.close();
        plum.close();
        plum.close(Duration.ofMillis(1));
        watch.close();
        registration.close();
        Map<String, Executable> cases = new LinkedHashMap<>();
        cases.put("call", () -> plum.get("s", "/"));
        cases.put("handle", () -> service.get("/"));
        cases.put("discover", () -> plum.discover("s"));
        cases.put("pick", () -> plum.pick("s"));
        cases.put("pick by handle", service::pick);
        cases.put("service", () -> plum.service("s"));
        cases.put("register", () -> plum.register(Instance.of("s", 1)));
        cases.put("watch", () -> plum.watch("s"));
        cases.put("watchAll", plum::watchAll);
        cases.put("next", watch::next);
        cases.put("waitFor", () -> plum.waitFor("s", Duration.ofSeconds(1)));
        cases.put("explain", () -> plum.explain("s"));
        cases.put("services", plum::services);
        cases.put("stats", plum::stats);
        cases.put("publish", () -> plum.publish("s", List.of()));
        cases.put("clearCache", plum::clearCache);
        cases.put("configure", () -> plum.configure(new PlumConfig()));
        cases.put("update", () -> registration.update(instance -> instance.weight(2)));
        cases.put("await", registration::await);
        assertTrue(plum.isClosed());
        assertEquals(Registration.State.CLOSED, registration.state());
        return each(cases, PlumClosedException.class, "closed");
    }

    @Test
    void oversizedTextIsRejectedOrSent() throws Exception {
        String large = "x".repeat(5_000_000);
        try (Servers.Http server = new Servers.Http(Servers.status(200, "ok"));
                PlumClient plum = PlumClient.create(server.registry())) {
            assertThrows(PlumException.class, () -> plum.call(
                            PlumRequest.get("s", "/" + large).attempts(1))
                    .raiseForStatus());
            assertThrows(PlumException.class, () -> plum.call(
                            PlumRequest.get("s", "/").header("X", large).attempts(1))
                    .raiseForStatus());
            assertEquals(
                    "ok", plum.call(PlumRequest.post("s", "/").content(large)).text());
            assertTrue(assertThrows(PlumInvalidArgumentException.class, () -> plum.get("s", large))
                            .getMessage()
                            .length()
                    < 300);
            assertDoesNotThrow(() -> plum.discover(large));
        }
    }

    @Test
    void configureChangesARunningClient() {
        try (PlumClient plum = PlumClient.create(new PlumConfig()
                .registry("static://10.0.0.1:1")
                .service("orders", orders -> orders.maxBody(1L << 40)))) {
            plum.configure(new PlumConfig().timeout(Duration.ofMillis(1_500)).headers(Map.of("X-A", "1")));
            assertThrows(PlumInvalidArgumentException.class, () -> plum.configure(json("{\"nonsense\":1}")));
        }
    }
}
