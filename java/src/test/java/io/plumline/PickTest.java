package io.plumline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;

class PickTest {
    private static Stats.EndpointStats of(PlumClient plum, String address) {
        return plum.stats().services().get("s").endpoints().get(address);
    }

    @Test
    void firstReportCountsAndCloseWithoutReportFails() {
        try (PlumClient plum = PlumClient.create("static://10.0.0.1:1")) {
            Pick first = plum.pick("s");
            assertEquals("10.0.0.1:1", first.endpoint().address());
            assertFalse(first.isStale());
            assertEquals(1, of(plum, "10.0.0.1:1").inFlight());
            first.success();
            first.failure();
            first.close();
            assertEquals(0, of(plum, "10.0.0.1:1").inFlight());
            assertEquals(0, of(plum, "10.0.0.1:1").failures());
            try (Pick second = plum.pick("s")) {
                assertSame(first.endpoint(), second.endpoint());
            }
            assertEquals(1, of(plum, "10.0.0.1:1").failures());
            plum.pick("s").failure();
            assertEquals(2, of(plum, "10.0.0.1:1").failures());
            assertEquals(3, of(plum, "10.0.0.1:1").attempts());
        }
    }

    @Test
    void collectedPickIsFreedWithoutAReport() throws Exception {
        try (PlumClient plum = PlumClient.create("static://10.0.0.1:1")) {
            PlumService service = plum.service("s");
            for (int n = 0; n < 1_000; n++) {
                service.pick();
            }
            Servers.until("the picks are freed", () -> {
                System.gc();
                service.pick().success();
                return of(plum, "10.0.0.1:1").inFlight() == 0;
            });
            assertEquals(0, of(plum, "10.0.0.1:1").failures());
            assertTrue(plum.stats().services().get("s").unreported() >= 1_000);
        }
    }

    @Test
    void picksOfManyThreadsAreCountedSeparately() throws Exception {
        try (PlumClient plum = PlumClient.create("static://10.0.0.1:1,10.0.0.2:1,10.0.0.3:1")) {
            PlumService service = plum.service("s");
            ExecutorService threads = Executors.newFixedThreadPool(32);
            List<Callable<Boolean>> work = new ArrayList<>();
            for (int n = 0; n < 32; n++) {
                work.add(() -> {
                    for (int round = 0; round < 50; round++) {
                        List<Pick> open = new ArrayList<>();
                        for (int pick = 0; pick < 20; pick++) {
                            open.add(service.pick());
                        }
                        open.forEach(Pick::success);
                        open.forEach(Pick::failure);
                    }
                    return true;
                });
            }
            for (Future<Boolean> done : threads.invokeAll(work)) {
                assertTrue(done.get());
            }
            threads.shutdown();
            Stats.ServiceStats stats = plum.stats().services().get("s");
            assertEquals(32_000, stats.picks());
            assertEquals(0, stats.unreported());
            assertEquals(
                    32_000,
                    stats.endpoints().values().stream()
                            .mapToLong(Stats.EndpointStats::attempts)
                            .sum());
            assertEquals(
                    0,
                    stats.endpoints().values().stream()
                            .mapToLong(Stats.EndpointStats::failures)
                            .sum());
        }
    }

    @Test
    void cachesFiveThousandEndpoints() {
        try (PlumClient plum = PlumClient.create("memory://")) {
            List<Endpoint> thousands = new ArrayList<>();
            for (int n = 0; n < 5_000; n++) {
                thousands.add(Endpoint.of("s", "10.0." + n / 250 + "." + n % 250, 1));
            }
            plum.publish("s", thousands);
            plum.publish("other", List.of(Endpoint.of("other", "10.1.0.1", 1)));
            List<Endpoint> before = plum.discover("s");
            plum.pick("other").success();
            List<Endpoint> after = plum.discover("s");
            assertEquals(5_000, after.size());
            for (int n = 0; n < 5_000; n++) {
                assertSame(before.get(n), after.get(n));
            }
            Set<Endpoint> distinct = Collections.newSetFromMap(new IdentityHashMap<>());
            distinct.addAll(before);
            PlumService service = plum.service("s");
            for (int n = 0; n < 10_000; n++) {
                Pick pick = service.pick();
                pick.success();
                distinct.add(pick.endpoint());
            }
            assertEquals(5_000, distinct.size(), "each endpoint is decoded once");
        }
    }

    /** More endpoints than the cache holds: some are decoded again. */
    @Test
    void picksAmongMoreEndpointsThanTheCacheHolds() {
        try (PlumClient plum = PlumClient.create("memory://")) {
            List<Endpoint> all = new ArrayList<>();
            for (int n = 0; n < 20_000; n++) {
                all.add(Endpoint.of("s", "10.0." + n / 250 + "." + n % 250, 1));
            }
            plum.publish("s", all);
            Set<Endpoint> published = new HashSet<>(plum.discover("s"));
            assertEquals(20_000, published.size());
            PlumService service = plum.service("s");
            for (int n = 0; n < 5_000; n++) {
                Pick pick = service.pick();
                pick.success();
                assertTrue(published.contains(pick.endpoint()), pick.endpoint().address());
            }
        }
    }

    @Test
    void pickCanBeReportedAfterClose() {
        PlumClient plum = PlumClient.create("static://10.0.0.1:1");
        Pick pick = plum.pick("s");
        PlumService service = plum.service("s");
        plum.close();
        assertEquals("10.0.0.1:1", pick.endpoint().address());
        pick.success();
        assertThrows(PlumClosedException.class, service::pick);
        assertThrows(PlumClosedException.class, () -> plum.pick("s"));
    }

    @Test
    void picksAndExplainsByQuery() {
        try (PlumClient plum = PlumClient.create("memory://")) {
            Endpoint one = Endpoint.of("s", "10.0.0.1", 1).withVersion("v1").withProtocol("grpc");
            Endpoint two = Endpoint.of("s", "10.0.0.2", 1).withLabels(Map.of("region", "eu"));
            plum.publish("s", List.of(one, two));
            assertEquals(
                    "10.0.0.1",
                    plum.pick(Query.of("s").version("v1").protocol("grpc"))
                            .endpoint()
                            .ip());
            assertEquals(
                    "10.0.0.2",
                    plum.pick(Query.of("s").label("region", "eu")).endpoint().ip());
            PlumNoEndpointException error = assertThrows(
                    PlumNoEndpointException.class, () -> plum.pick(Query.of("s").version("v3")));
            assertTrue(
                    error.getMessage().contains("version=v3")
                            && error.getMessage().contains("2 known"),
                    error.getMessage());
            Explanation why = plum.explain(Query.of("s").version("v1"));
            assertEquals("\"s\" version=v1", why.query());
            assertEquals(Query.of("s").version("v1").toString(), why.query());
            assertEquals(1, why.usable());
            assertEquals(2, why.endpoints().size());
            EndpointExplanation other = why.endpoints().stream()
                    .filter(each -> !each.usable())
                    .findFirst()
                    .orElseThrow();
            assertEquals(List.of("filtered (version none)"), other.reasons());
            assertTrue(why.toString().contains("10.0.0.2:1"), why.toString());
            assertEquals(List.of("s"), plum.services());
            assertEquals(2, plum.discover("s").size());
            assertNotEquals(plum.discover("s").get(0), plum.discover("s").get(1));
            assertSame(plum.discover("s").get(0), plum.discover("s").get(0));
        }
    }
}
