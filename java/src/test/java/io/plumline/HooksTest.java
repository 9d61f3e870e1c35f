package io.plumline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.ConnectException;
import java.net.SocketTimeoutException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;

class HooksTest {
    private static final String TWO = "static://10.0.0.1:1,10.0.0.2:1";

    private static PlumClientBuilder stubbed() {
        return PlumClient.builder()
                .registry(TWO)
                .transport((request, endpoint) -> PlumResponse.of(200, request.path()));
    }

    @Test
    void hookRunsForEachAttemptAndSetsHeaders() {
        List<String> seen = new ArrayList<>();
        Thread caller = Thread.currentThread();
        try (PlumClient plum = PlumClient.builder()
                .registry(TWO)
                .onRequest((request, endpoint) -> {
                    assertSame(caller, Thread.currentThread());
                    request.setHeader("X-Attempt", String.valueOf(request.attempt()));
                    seen.add("before " + request.attempt() + " "
                            + request.headers().get("x-attempt"));
                })
                .onResponse((request, endpoint, response, error) -> {
                    seen.add("after " + (response == null ? error.kind() : response.statusCode()));
                    assertTrue((response == null) != (error == null));
                })
                .transport((request, endpoint) -> {
                    assertEquals(
                            List.of(String.valueOf(request.attempt())),
                            request.headers().get("X-Attempt"));
                    if (request.attempt() == 1) {
                        throw new ConnectException("connection refused");
                    }
                    return PlumResponse.of(204);
                })
                .build()) {
            assertEquals(204, plum.get("s", "/").statusCode());
        }
        assertEquals(List.of("before 1 [1]", "after UNAVAILABLE", "before 2 [2]", "after 204"), seen);
    }

    @Test
    void hookExceptionIsTheCauseAndTheClientStaysUsable() {
        AtomicReference<Exception> thrown = new AtomicReference<>(new IOException("no\nway"));
        try (PlumClient plum = stubbed()
                .onRequest((request, endpoint) -> {
                    if (thrown.get() != null) {
                        throw thrown.get();
                    }
                })
                .build()) {
            PlumException error = assertThrows(PlumCancelledException.class, () -> plum.get("s", "/"));
            assertSame(thrown.get(), error.getCause());
            assertTrue(error.getMessage().contains("no way"), error.getMessage());
            assertEquals("s", error.service().orElseThrow());
            thrown.set(null);
            assertEquals("/x", plum.get("s", "/x").text());
        }
    }

    @Test
    void failedAssertionInATransportIsRethrown() {
        try (PlumClient plum = PlumClient.builder()
                .registry(TWO)
                .transport((request, endpoint) -> {
                    throw new AssertionError("wrong path");
                })
                .build()) {
            assertEquals(
                    "wrong path",
                    assertThrows(AssertionError.class, () -> plum.get("s", "/")).getMessage());
        }
    }

    @Test
    void hookCanCloseTheClient() {
        AtomicReference<PlumClient> client = new AtomicReference<>();
        try (PlumClient plum =
                stubbed().onRequest((request, endpoint) -> client.get().close()).build()) {
            client.set(plum);
            assertEquals("/", plum.get("s", "/").text(), "the transport responds although the client is closed");
            assertTrue(plum.isClosed());
            assertThrows(PlumClosedException.class, () -> plum.get("s", "/"));
        }
    }

    @Test
    void hookCanMakeANestedCallThatFails() {
        AtomicReference<PlumClient> client = new AtomicReference<>();
        AtomicReference<PlumException> inner = new AtomicReference<>();
        try (PlumClient plum = stubbed()
                .onRequest((request, endpoint) -> {
                    if (request.path().equals("/inner")) {
                        throw new IllegalStateException("inner");
                    }
                    inner.set(assertThrows(
                            PlumCancelledException.class, () -> client.get().get("s", "/inner")));
                })
                .build()) {
            client.set(plum);
            assertEquals("/outer", plum.get("s", "/outer").text());
            assertEquals("inner", inner.get().getCause().getMessage());
        }
    }

    @Test
    void transportIOExceptionIsAFailedAttempt() {
        AtomicInteger attempts = new AtomicInteger();
        AtomicReference<IOException> failure = new AtomicReference<>(new ConnectException("refused"));
        try (PlumClient plum = PlumClient.builder()
                .registry(TWO)
                .transport((request, endpoint) -> {
                    if (attempts.incrementAndGet() % 2 == 1) {
                        throw failure.get();
                    }
                    return PlumResponse.ofJson(200, List.of(endpoint.ip()));
                })
                .build()) {
            PlumResponse response = plum.get("s", "/");
            assertEquals(2, response.trace().size());
            assertEquals(Kind.UNAVAILABLE, response.trace().get(0).kind().orElseThrow());
            failure.set(new SocketTimeoutException());
            assertEquals(Kind.TIMEOUT, plum.get("s", "/").trace().get(0).kind().orElseThrow());
            failure.set(new IOException("reset"));
            assertThrows(PlumUnavailableException.class, () -> plum.call(PlumRequest.post("s", "/")));
        }
    }

    @Test
    void nullFromATransportIsReported() {
        try (PlumClient plum = PlumClient.builder()
                .registry(TWO)
                .transport((request, endpoint) -> null)
                .build()) {
            PlumException error = assertThrows(PlumCancelledException.class, () -> plum.get("s", "/"));
            assertEquals("the transport returned null", error.getCause().getMessage());
        }
    }

    @Test
    void customBalancerChooses() {
        AtomicInteger index = new AtomicInteger(1);
        try (PlumClient plum = stubbed()
                .balancer((endpoints, choice) -> {
                    assertEquals(0, choice.inFlight(0));
                    return index.get();
                })
                .balancer("first", (endpoints, choice) -> 0)
                .balancer("broken", (endpoints, choice) -> {
                    throw new IllegalStateException("dice lost");
                })
                .build()) {
            for (int n = 0; n < 5; n++) {
                assertEquals("10.0.0.2", plum.get("s", "/").endpoint().ip());
                assertEquals("10.0.0.1", plum.get("first", "/").endpoint().ip());
            }
            assertEquals(
                    "dice lost",
                    assertThrows(PlumCancelledException.class, () -> plum.get("broken", "/"))
                            .getCause()
                            .getMessage());
            assertEquals(
                    "dice lost",
                    assertThrows(PlumCancelledException.class, () -> plum.pick("broken"))
                            .getCause()
                            .getMessage());
            index.set(7);
            assertThrows(PlumInvalidArgumentException.class, () -> plum.get("s", "/"));
            index.set(Balancer.NONE);
            assertTrue(assertThrows(PlumInvalidArgumentException.class, () -> plum.get("s", "/"))
                    .getMessage()
                    .contains("none"));
        }
    }

    @Test
    void plumExceptionOfAHookIsRethrownWithoutRetry() {
        AtomicInteger sent = new AtomicInteger();
        PlumInvalidArgumentException rejection = new PlumInvalidArgumentException("unexpected response");
        try (PlumClient plum = PlumClient.builder()
                .registry(TWO)
                .transport((request, endpoint) -> {
                    sent.incrementAndGet();
                    return PlumResponse.of(200);
                })
                .onResponse((request, endpoint, response, error) -> {
                    throw rejection;
                })
                .build()) {
            assertSame(
                    rejection,
                    assertThrows(
                            PlumInvalidArgumentException.class, () -> plum.call(PlumRequest.post("first by name", "/"))));
            assertEquals(1, sent.get());
        }
    }

    @Test
    void interruptInAHookEndsTheCall() {
        try (PlumClient plum = stubbed()
                .onRequest((request, endpoint) -> {
                    Thread.currentThread().interrupt();
                    Thread.sleep(Duration.ofSeconds(10).toMillis());
                })
                .build()) {
            PlumInterruptedException error = assertThrows(PlumInterruptedException.class, () -> plum.get("s", "/"));
            assertTrue(error.getCause() instanceof InterruptedException);
            assertTrue(Thread.interrupted());
        }
    }

    @Test
    void rejectsCrlfInHeadersSetByAHook() {
        try (PlumClient plum = stubbed()
                .onRequest((request, endpoint) -> request.setHeader("X", "a\r\nEvil: 1"))
                .build()) {
            assertThrows(PlumInvalidArgumentException.class, () -> plum.get("s", "/"));
        }
    }
}
