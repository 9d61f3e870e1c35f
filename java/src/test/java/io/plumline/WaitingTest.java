package io.plumline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.plumline.testing.PlumController;
import io.plumline.testing.PlumControllerExtension;
import java.net.ServerSocket;
import java.net.Socket;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.function.Executable;
import programs.WaitingThread;

@ExtendWith(PlumControllerExtension.class)
class WaitingTest {
    private static final int TRIES = 5;

    /**
     * Asserts that an interrupt ends a wait within 200 ms: the wait checks every 100 ms. On a busy machine the thread may
     * run late, so the fastest of several tries counts.
     */
    private static void assertInterruptEnds(String name, Executable waiting) throws Exception {
        long fastest = Long.MAX_VALUE;
        for (int tries = 0; tries < TRIES && fastest > 200; tries++) {
            long millis = interrupt(name, waiting);
            assertTrue(millis <= 2_000, name + " took " + millis + " ms");
            fastest = Math.min(fastest, millis);
        }
        assertTrue(fastest <= 200, name + " took " + fastest + " ms in the fastest try");
    }

    /** Interrupts a waiting thread, and returns after how many milliseconds it ended. */
    private static long interrupt(String name, Executable waiting) throws Exception {
        CompletableFuture<Long> ended = new CompletableFuture<>();
        WaitingThread thread = new WaitingThread(() -> {
            try {
                PlumInterruptedException error = assertThrows(PlumInterruptedException.class, waiting, name);
                long now = System.nanoTime();
                assertEquals(11, error.kind().number());
                assertTrue(Thread.interrupted(), name + ": the flag is set");
                ended.complete(now);
            } catch (Throwable failed) {
                ended.completeExceptionally(failed);
            }
        });
        thread.start();
        thread.awaitWaiting();
        long interrupted = System.nanoTime();
        thread.interrupt();
        return (ended.get(10, TimeUnit.SECONDS) - interrupted) / 1_000_000;
    }

    @Test
    void interruptEndsEveryWait() throws Exception {
        try (Socket closed = Servers.closed();
                ServerSocket silent = Servers.silent();
                PlumClient plum = PlumClient.create("static://127.0.0.1:" + silent.getLocalPort());
                PlumClient away = PlumClient.create("plum://127.0.0.1:" + silent.getLocalPort());
                PlumClient memory = PlumClient.create("memory://")) {
            assertInterruptEnds("call", () -> plum.get("s", "/"));
            assertInterruptEnds("discover", () -> away.discover("s"));
            assertInterruptEnds("pick", () -> away.pick("s"));
            assertInterruptEnds("services", away::services);
            assertInterruptEnds(
                    "register",
                    () -> away.register(Instance.of("me", silent.getLocalPort()).host("127.0.0.1")));
            assertInterruptEnds("waitFor", () -> memory.waitFor("s", Duration.ofSeconds(30)));
            Watch watch = memory.watch("s");
            watch.next();
            assertInterruptEnds("next", watch::next);
            Registration registration =
                    memory.register(Instance.of("s", closed.getLocalPort()).host("127.0.0.1"));
            assertInterruptEnds("await", () -> registration.await(Duration.ofSeconds(30)));
        }
    }

    @Test
    void closeEndsBlockedCalls() throws Exception {
        try (ServerSocket silent = Servers.silent()) {
            PlumClient plum = PlumClient.create("static://127.0.0.1:" + silent.getLocalPort());
            CompletableFuture<Void> call = new CompletableFuture<>();
            WaitingThread thread = new WaitingThread(() -> {
                try {
                    plum.get("s", "/");
                } catch (PlumException error) {
                    call.completeExceptionally(error);
                }
            });
            thread.start();
            thread.awaitWaiting();
            plum.close();
            Exception error = assertThrows(Exception.class, () -> call.get(10, TimeUnit.SECONDS));
            assertEquals(PlumClosedException.class, error.getCause().getClass());
        }
    }

    @Test
    void watchDeliversSnapshotAndChanges() {
        try (PlumClient plum = PlumClient.create("memory://");
                Watch watch = plum.watch("s")) {
            Change first = watch.next();
            assertEquals(new Change("s", Change.Kind.SNAPSHOT, first.added(), List.of(), List.of(), List.of()), first);
            assertEquals(Optional.empty(), watch.next(Duration.ofMillis(10)));
            Endpoint endpoint = Endpoint.of("s", "10.0.0.1", 1);
            plum.publish("s", List.of(endpoint));
            Change second = watch.next(Duration.ofSeconds(5)).orElseThrow();
            assertEquals(Change.Kind.CHANGED, second.kind());
            assertEquals("10.0.0.1:1", second.added().get(0).address());
            assertEquals(second.endpoints(), second.added());
        }
    }

    @Test
    void iterationEndsWhenTheWatchCloses() throws Exception {
        try (PlumClient plum = PlumClient.create("memory://")) {
            Watch watch = plum.watch("s");
            CompletableFuture<Integer> count = CompletableFuture.supplyAsync(() -> {
                int changes = 0;
                for (Change change : watch) {
                    changes++;
                    watch.close();
                }
                return changes;
            });
            assertEquals(1, count.get(5, TimeUnit.SECONDS));
            assertThrows(PlumClosedException.class, watch::next);
        }
    }

    @Test
    void listenerReceivesChangesAfterItThrew() throws Exception {
        ExecutorService executor = Executors.newSingleThreadExecutor();
        List<String> received = Collections.synchronizedList(new ArrayList<>());
        try (PlumClient plum = PlumClient.create("memory://");
                Watch watch = plum.watchAll()) {
            watch.listen(executor, change -> {
                received.add(change.service() + " " + change.endpoints().size());
                throw new AssertionError("thrown by the listener");
            });
            plum.publish("a", List.of(Endpoint.of("a", "10.0.0.1", 1)));
            Servers.until("the change of a is received", () -> received.contains("a 1"));
            plum.publish("b", List.of(Endpoint.of("b", "10.0.0.1", 1)));
            Servers.until("the change of b is received", () -> received.contains("b 1"));
            executor.shutdownNow();
            assertTrue(executor.awaitTermination(10, TimeUnit.SECONDS), "an interrupt ends the listener");
        }
    }

    @Test
    void registersUpdatesAndDeregisters(PlumController controller) throws Exception {
        try (Servers.Http server = new Servers.Http(Servers.status(200, "hello"));
                PlumClient plum = PlumClient.create(controller.address())) {
            Registration me = plum.register(Instance.of("s", server.port())
                    .host("127.0.0.1")
                    .version("v1")
                    .label("a", "b")
                    .tag("t"));
            me.await();
            assertEquals(Registration.State.REGISTERED, me.state());
            assertEquals("127.0.0.1:" + server.port(), me.address());
            assertEquals("s-127.0.0.1-" + server.port(), me.instanceId());
            assertEquals("s", me.service());
            assertEquals(Optional.empty(), me.lastError());
            plum.waitFor("s", Duration.ofSeconds(5));
            assertEquals("hello", plum.get("s", "/").text());
            me.update(instance -> instance.version("v2").weight(5));
            assertEquals("v2", me.instance().version());
            assertEquals(List.of("t"), me.instance().tags());
            Servers.until("the update is discovered", () -> plum.discover("s").stream()
                    .anyMatch(endpoint -> endpoint.version().equals("v2") && endpoint.weight() == 5));
            me.close();
            me.close(Duration.ZERO);
            assertEquals(Registration.State.CLOSED, me.state());
            Servers.until("the instance is deregistered", () -> plum.discover("s").isEmpty());
        }
    }

    @Test
    void interruptedThreadStillDeregisters(PlumController controller) throws Exception {
        try (Servers.Http server = new Servers.Http(Servers.status(200, ""));
                PlumClient other = PlumClient.create(controller.address())) {
            for (boolean byClient : new boolean[] {true, false}) {
                PlumClient plum = PlumClient.create(controller.address());
                Registration me = plum.register(Instance.of("s", server.port()).host("127.0.0.1"));
                me.await();
                Servers.until("the instance is discovered", () -> !other.discover("s").isEmpty());
                Thread.currentThread().interrupt();
                if (byClient) {
                    plum.close(Duration.ofSeconds(30));
                } else {
                    me.close(Duration.ofSeconds(30));
                }
                assertTrue(Thread.interrupted(), "the flag stays");
                Servers.until("the instance is deregistered", () -> other.discover("s").isEmpty());
                plum.close();
            }
        }
    }

    @Test
    void closeIsSafeWhileThreadsMakeCalls() throws Exception {
        try (Servers.Http server = new Servers.Http(Servers.status(200, "ok"))) {
            ExecutorService threads = Executors.newFixedThreadPool(32);
            for (int round = 0; round < 20; round++) {
                PlumClient plum = PlumClient.create(server.registry());
                PlumService service = plum.service("s");
                CountDownLatch busy = new CountDownLatch(32);
                List<java.util.concurrent.Future<?>> work = new ArrayList<>();
                for (int thread = 0; thread < 32; thread++) {
                    work.add(threads.submit(() -> {
                        busy.countDown();
                        try {
                            while (true) {
                                service.pick().success();
                                assertEquals("ok", plum.get("s", "/").text());
                                plum.discover("s");
                            }
                        } catch (PlumClosedException closed) {
                            // expected
                        }
                    }));
                }
                busy.await();
                plum.close();
                for (java.util.concurrent.Future<?> done : work) {
                    done.get(5, TimeUnit.SECONDS);
                }
            }
            threads.shutdown();
        }
    }

    @Test
    void collectedRegistrationStaysRegistered(PlumController controller) throws Exception {
        try (Servers.Http server = new Servers.Http(Servers.status(200, "hello"));
                PlumClient other = PlumClient.create(controller.address())) {
            java.lang.ref.WeakReference<PlumClient> client = registerAndDrop(controller, server.port());
            Servers.until("the client object is collected", () -> {
                System.gc();
                return client.get() == null;
            });
            other.waitFor("kept", Duration.ofSeconds(5));
            controller.restart(); // the client registers the instance again
            Servers.until("the instance is registered again", () -> {
                // A new client, because the other one would keep the endpoint for a while.
                try (PlumClient fresh = PlumClient.create(controller.address())) {
                    return fresh.discover("kept").size() == 1;
                } catch (PlumException error) {
                    return false;
                }
            });
            assertEquals("hello", other.get("kept", "/").text());
        }
    }

    private static java.lang.ref.WeakReference<PlumClient> registerAndDrop(PlumController controller, int port) {
        PlumClient plum = PlumClient.create(controller.address());
        plum.register(Instance.of("kept", port).host("127.0.0.1")).await();
        return new java.lang.ref.WeakReference<>(plum);
    }

    @Test
    void logRecordsReachTheSystemLogger() throws Exception {
        List<String> records = Collections.synchronizedList(new ArrayList<>());
        java.util.logging.Logger logger = java.util.logging.Logger.getLogger("plumline");
        java.util.logging.Handler handler = new java.util.logging.Handler() {
            @Override
            public void publish(java.util.logging.LogRecord record) {
                records.add(record.getLevel() + " " + record.getMessage());
            }

            @Override
            public void flush() {}

            @Override
            public void close() {}
        };
        logger.addHandler(handler);
        int closedPort;
        try (ServerSocket socket = Servers.silent()) {
            closedPort = socket.getLocalPort();
        }
        try (PlumClient plum = PlumClient.create("static://127.0.0.1:" + closedPort + ",127.0.0.2:" + closedPort)) {
            PlumRequest request = PlumRequest.get("s", "/").attempts(1);
            Servers.until("an ejection is logged", () -> {
                assertThrows(PlumException.class, () -> plum.call(request));
                return records.stream().anyMatch(record -> record.startsWith("WARNING endpoint ejected"));
            });
        } finally {
            logger.removeHandler(handler);
        }
        assertFalse(records.isEmpty());
    }
}
