package io.plumline;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.reflect.TypeToken;
import java.net.ServerSocket;
import java.net.Socket;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;

class CallTest {
    public record Item(int id, String name) {}

    /** Responds with the method, URI, headers and body of the request. */
    private static Servers.Http echo() throws Exception {
        return new Servers.Http(exchange -> {
            byte[] body = exchange.getRequestBody().readAllBytes();
            exchange.getResponseHeaders().add("X-Method", exchange.getRequestMethod());
            exchange.getResponseHeaders().add("X-Uri", exchange.getRequestURI().toString());
            exchange.getResponseHeaders().add("X-Twice", "a");
            exchange.getResponseHeaders().add("X-Twice", "b");
            exchange.getResponseHeaders()
                    .add("X-Type", String.valueOf(exchange.getRequestHeaders().getFirst("Content-Type")));
            exchange.getResponseHeaders()
                    .add("X-Team", String.join(",", exchange.getRequestHeaders().getOrDefault("X-Team", List.of())));
            Servers.reply(exchange, 200, body);
        });
    }

    @Test
    void sendsEveryMethod() throws Exception {
        try (Servers.Http server = echo();
                PlumClient plum = PlumClient.create(server.registry())) {
            assertEquals("GET", plum.get("s", "/").header("x-method").get());
            assertEquals("DELETE", plum.delete("s", "/").header("x-method").get());
            assertEquals("OPTIONS", plum.options("s", "/").header("x-method").get());
            assertEquals("HEAD", plum.head("s", "/").header("x-method").get());
            assertEquals("POST", plum.post("s", "/").header("x-method").get());
            PlumResponse posted = plum.post("s", "/", Map.of("a", 1));
            assertEquals("application/json", posted.header("x-type").get());
            assertEquals("{\"a\":1}", posted.text());
            assertEquals("PUT", plum.put("s", "/", null).header("x-method").get());
            assertEquals(
                    "PATCH", plum.patch("s", "/", List.of()).header("x-method").get());
            assertEquals(
                    "BREW",
                    plum.call(PlumRequest.of("BREW", "s", "/"))
                            .header("x-method")
                            .get());
        }
    }

    @Test
    void sendsParametersHeadersAndBody() throws Exception {
        try (Servers.Http server = echo();
                PlumClient plum = PlumClient.create(server.registry())) {
            Map<String, Object> params = new LinkedHashMap<>();
            params.put("q", "ä&b");
            params.put("n", List.of(1, 2));
            PlumRequest request = PlumRequest.post("s", "/a b")
                    .params(params)
                    .header("X-Team", "red")
                    .header("X-Team", "green");
            PlumResponse response =
                    plum.call(request.form(Map.of("name", "a b")).timeout(Duration.ofSeconds(5)));
            assertEquals("/a%20b?q=%C3%A4%26b&n=1&n=2", response.header("X-Uri").get());
            assertEquals("red,green", response.header("X-Team").get());
            assertEquals(
                    "application/x-www-form-urlencoded",
                    response.header("X-Type").get());
            assertEquals("name=a+b", response.text());
            assertEquals("ü𝄞", plum.call(request.content("ü𝄞")).text());
            assertArrayEquals(
                    new byte[] {0, -1, 7},
                    plum.call(request.content(new byte[] {0, -1, 7})).body());
            assertEquals(
                    request,
                    PlumRequest.post("s", "/a b")
                            .params(params)
                            .header("X-Team", "red")
                            .header("X-Team", "green"));
        }
    }

    @Test
    void headerNamesIgnoreCase() throws Exception {
        try (Servers.Http server = echo();
                PlumClient plum = PlumClient.create(server.registry())) {
            PlumResponse response = plum.get("s", "/");
            assertEquals(List.of("a", "b"), response.headers().get("x-TWICE"));
            assertEquals(Optional.of("a"), response.header("X-twice"));
            assertEquals(Optional.empty(), response.header("X-Absent"));
            assertThrows(UnsupportedOperationException.class, () -> response.headers()
                    .clear());
        }
    }

    @Test
    void readsJsonAsTheRequestedType() throws Exception {
        try (Servers.Http server = new Servers.Http(Servers.status(200, "[{\"id\":7,\"name\":\"é\"}]"));
                PlumClient plum = PlumClient.create(server.registry())) {
            PlumResponse response = plum.get("s", "/");
            assertEquals(List.of(new Item(7, "é")), List.of(response.json(Item[].class)));
            assertEquals(List.of(new Item(7, "é")), response.json(new TypeToken<List<Item>>() {}.getType()));
            PlumProtocolException error = assertThrows(PlumProtocolException.class, () -> response.json(Item.class));
            assertTrue(error.getMessage().contains("127.0.0.1:" + server.port()), error.getMessage());
            assertTrue(error.getCause() != null && error.getMessage().indexOf('\n') < 0);
        }
    }

    @Test
    void errorStatusIsAResponseUntilRaiseForStatus() throws Exception {
        try (Servers.Http server = new Servers.Http(Servers.status(503, "busy"));
                PlumClient plum = PlumClient.create(server.registry())) {
            PlumResponse response = plum.call(PlumRequest.get("orders", "/").attempts(2));
            assertEquals(503, response.statusCode());
            assertFalse(response.isSuccess());
            assertEquals("busy", response.text());
            PlumStatusException error = assertThrows(PlumStatusException.class, response::raiseForStatus);
            assertEquals("\"orders\" answered 503 from 127.0.0.1:" + server.port(), error.getMessage());
            assertEquals(503, error.statusCode().getAsInt());
            assertEquals(Optional.of("orders"), error.service());
            assertEquals(response.attempts(), error.attempts());
            assertEquals(response.trace(), error.trace());
            assertTrue(error.isRetryable());
        }
    }

    @Test
    void responseHasTheTraceOfItsAttempts() throws Exception {
        try (Socket closed = Servers.closed();
                Servers.Http server = echo()) {
            PlumConfig config = new PlumConfig()
                    .registry("static://127.0.0.1:" + closed.getLocalPort() + ",127.0.0.1:" + server.port());
            try (PlumClient plum = PlumClient.create(config.balancer(PlumConfig.Strategy.ROUND_ROBIN))) {
                List<PlumResponse> responses = List.of(plum.get("s", "/"), plum.get("s", "/"));
                PlumResponse retried = responses.stream()
                        .filter(one -> one.trace().size() == 2)
                        .findFirst()
                        .orElseThrow();
                assertEquals(
                        Optional.of(Kind.UNAVAILABLE), retried.trace().get(0).kind());
                assertEquals(closed.getLocalPort(), retried.trace().get(0).endpoint().port());
                assertEquals(200, retried.trace().get(1).status().getAsInt());
                assertEquals(server.port(), retried.endpoint().port());
                assertTrue(retried.elapsed().toNanos() > 0);
                assertEquals("s", retried.service());
            }
        }
    }

    @Test
    void eachKindOfFailureHasItsException() throws Exception {
        try (ServerSocket silent = Servers.silent();
                Servers.Http large = new Servers.Http(Servers.status(200, "x".repeat(10_000)))) {
            String registry = "static://127.0.0.1:" + silent.getLocalPort();
            try (PlumClient plum = PlumClient.create(registry);
                    PlumClient other = PlumClient.create(large.registry())) {
                PlumRequest request = PlumRequest.get("s", "/").timeout(Duration.ofMillis(80));
                PlumTimeoutException timeout = assertThrows(PlumTimeoutException.class, () -> plum.call(request));
                assertEquals(Kind.TIMEOUT, timeout.kind());
                assertEquals(4, timeout.kind().number());
                assertTrue(timeout.isRetryable() && timeout.endpoint().isPresent());
                assertThrows(
                        PlumProtocolException.class,
                        () -> other.call(PlumRequest.get("s", "/").maxBody(100)));
                assertThrows(
                        PlumNoEndpointException.class,
                        () -> plum.call(PlumRequest.get("s", "/").version("v9")));
            }
        }
    }

    @Test
    void handleRejectsRequestsOfAnotherService() throws Exception {
        try (Servers.Http server = echo();
                PlumClient plum = PlumClient.create(server.registry())) {
            PlumService orders = plum.service("orders");
            assertEquals("orders", orders.name());
            assertEquals("/items/7", orders.get("/items/7").header("X-Uri").get());
            assertEquals("{\"a\":1}", orders.post("/items", Map.of("a", 1)).text());
            assertEquals(200, orders.call(PlumRequest.get("orders", "/")).statusCode());
            assertThrows(PlumInvalidArgumentException.class, () -> orders.call(PlumRequest.get("other", "/")));
            assertThrows(
                    PlumInvalidArgumentException.class,
                    () -> orders.call(PlumRequest.get("orders", "/").version("v1")));
        }
    }

    @Test
    void threadsShareAClient() throws Exception {
        try (Servers.Http server = echo();
                PlumClient plum = PlumClient.create(server.registry())) {
            ExecutorService threads = Executors.newFixedThreadPool(32);
            List<Callable<Integer>> work = new ArrayList<>();
            for (int n = 0; n < 32; n++) {
                int thread = n;
                work.add(() -> {
                    int correct = 0;
                    for (int call = 0; call < 50; call++) {
                        String text = thread + "/" + call;
                        correct += plum.call(PlumRequest.post("s" + call % 3, "/").content(text))
                                        .text()
                                        .equals(text)
                                ? 1
                                : 0;
                    }
                    return correct;
                });
            }
            for (Future<Integer> done : threads.invokeAll(work)) {
                assertEquals(50, done.get());
            }
            threads.shutdown();
            assertEquals(
                    1_600,
                    plum.stats().services().values().stream()
                            .mapToLong(Stats.ServiceStats::calls)
                            .sum());
        }
    }

    @Test
    void responsesCanBeCreatedForTests() {
        PlumResponse made =
                PlumResponse.builder(201).header("X", "1").json(Map.of("id", 7)).build();
        assertEquals("{\"id\":7}", made.text());
        assertEquals("application/json", made.header("content-type").get());
        assertEquals(
                made,
                PlumResponse.builder(201).header("x", "1").json(Map.of("id", 7)).build());
        assertInstanceOf(PlumResponse.class, made.raiseForStatus());
        PlumResponse failed = PlumResponse.of(404, "no");
        assertThrows(PlumStatusException.class, failed::raiseForStatus);
        assertEquals(404, failed.trace().get(0).status().getAsInt());
        assertThrows(PlumInvalidArgumentException.class, () -> PlumResponse.of(99));
    }
}
