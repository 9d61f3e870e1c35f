package io.plumline;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.plumline.internal.Json;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ValuesTest {
    /** A codec that a service file names. */
    public static final class CustomCodec implements JsonCodec {
        @Override
        public byte[] write(Object value) {
            return "\"LOUD\"".getBytes(UTF_8);
        }

        @Override
        public Object read(byte[] bytes, int offset, int length, java.lang.reflect.Type type) {
            return "READ";
        }
    }

    @Test
    void endpointsWithEqualFieldsAreEqual() {
        Endpoint one = Endpoint.of("s", "10.0.0.1", 80).withVersion("v1").withLabels(Map.of("b", "2", "a", "1"));
        Endpoint same = Endpoint.of("s", "10.0.0.1", 80)
                .withLabels(Map.of("a", "1", "b", "2"))
                .withVersion("v1");
        assertEquals(one, same);
        assertEquals(one.hashCode(), same.hashCode());
        assertEquals("s-10.0.0.1-80", one.instanceId());
        assertEquals("{a=1, b=2}", one.labels().toString());
        List<Endpoint> others = List.of(
                one.withHost("h"),
                one.withProtocol("grpc"),
                one.withVersion(""),
                one.withLabels(Map.of()),
                one.withWeight(2),
                one.withZone("z"),
                one.withHealthy(false),
                one.withInstanceId("i"));
        others.forEach(other -> assertNotEquals(one, other));
        assertEquals("[::1]:80", Endpoint.of("s", "::1", 80).address());
        assertThrows(UnsupportedOperationException.class, () -> one.labels().put("c", "3"));
    }

    @Test
    void publishedEndpointIsDiscoveredUnchanged() {
        Endpoint mine = Endpoint.of("s", "10.0.0.1", 80)
                .withVersion("v1")
                .withLabels(Map.of("ä", "𝄞"))
                .withZone("z")
                .withWeight(7)
                .withProtocol("grpc")
                .withHost("name")
                .withInstanceId("i");
        try (PlumClient plum = PlumClient.create("memory://")) {
            plum.publish("s", List.of(mine));
            Endpoint found = plum.discover("s").get(0);
            assertEquals("name", found.host());
            assertEquals(mine.labels(), found.labels());
            assertEquals(mine.toString(), found.toString());
            assertEquals(7, found.weight());
            plum.publish("s", List.of(mine.withHealthy(false)));
            assertEquals(List.of(), plum.discover("s"));
        }
    }

    @Test
    void valueTypesCompareByContent() {
        Endpoint endpoint = Endpoint.of("s", "10.0.0.1", 80);
        TraceStep answered = TraceStep.answered(endpoint, 503, Duration.ofMillis(12));
        assertEquals(answered, TraceStep.answered(endpoint, 503, Duration.ofMillis(12)));
        assertEquals("10.0.0.1:80: 503 after 12.0 ms", answered.toString());
        TraceStep failed = TraceStep.failed(endpoint, Kind.TIMEOUT, "no answer in time", Duration.ZERO);
        assertNotEquals(answered, failed);
        assertEquals(Optional.of("no answer in time"), failed.error());
        assertEquals(Query.of("s").label("a", "b"), Query.of("s").label("a", "b"));
        assertNotEquals(Query.of("s").version("a"), Query.of("s").protocol("a"));
        assertEquals(
                "\"s\" version=v1 protocol=grpc a=b",
                Query.of("s").version("v1").protocol("grpc").label("a", "b").toString());
        Instance instance = Instance.of("s", 80)
                .label("a", "b")
                .tag("t")
                .ttl(Duration.ofMillis(1_500))
                .weight(3);
        assertEquals(
                instance,
                Instance.of("s", 80)
                        .labels(Map.of("a", "b"))
                        .tags(List.of("t"))
                        .ttl(Duration.ofMillis(1_500))
                        .weight(3));
        assertTrue(instance.healthy() && instance.protocol().equals("http") && instance.weight() == 3);
        Change change = new Change("s", Change.Kind.REGISTRY_DOWN, List.of(), List.of(), List.of(), List.of(endpoint));
        assertEquals("registry_down", change.kind().value());
        assertEquals("Change[registry_down of s: 1 endpoints, 0 added, 0 updated, 0 removed]", change.toString());
    }

    @Test
    void configurationRoundTripsThroughJson() {
        PlumConfig config = new PlumConfig()
                .timeout(Duration.ofMillis(1_500))
                .service(
                        "orders",
                        orders -> orders.retry(retry -> retry.attempts(5).backoff(PlumConfig.BackoffKind.LINEAR)))
                .cache(cache -> cache.snapshot(Path.of("/tmp/x")));
        assertEquals(
                "{\"timeout\":\"1s500000000ns\",\"services\":{\"orders\":{\"retry\":{\"attempts\":5,\"backoff\":\"linear\"}}},"
                        + "\"cache\":{\"snapshot\":\"/tmp/x\"}}",
                config.toJson());
        assertEquals(config, PlumConfig.fromJson(config.toJson()));
        PlumClient.create(PlumConfig.fromJson(config.toJson())
                        .registry("memory://")
                        .cache(cache -> cache.ttl(Duration.ofDays(1)))
                        .service("orders", orders -> orders.timeout(Duration.ofSeconds(1))))
                .close();
    }

    @Test
    void exceptionsCanBeCreatedForTests() {
        PlumException made = new PlumTimeoutException("too late");
        assertEquals("too late", made.getMessage());
        assertTrue(
                made.isRetryable() && made.trace().isEmpty() && made.service().isEmpty() && made.attempts() == 0);
        assertInstanceOf(PlumCancelledException.class, new PlumInterruptedException("stop"));
        assertEquals(Kind.CANCELLED, new PlumInterruptedException("stop").kind());
        assertTrue(new PlumStatusException("404").statusCode().isEmpty());
    }

    @Test
    void statsAreTypedAndJson() {
        try (PlumClient plum = PlumClient.create("static://10.0.0.1:1")) {
            plum.pick("s").success();
            Stats stats = plum.stats();
            assertEquals(1, stats.services().get("s").picks());
            assertTrue(stats.services()
                    .get("s")
                    .endpoints()
                    .get("10.0.0.1:1")
                    .ewmaMs()
                    .isPresent());
            assertEquals(
                    "static://10.0.0.1:1", stats.cache().registries().get(0).source());
            assertEquals(Optional.empty(), stats.cache().registries().get(0).lastError());
            assertEquals(List.of(), stats.registrations());
            assertEquals(Json.read(stats.toJson()), Json.read(stats.toString()));
        }
    }

    @Test
    void findsACustomCodecThroughServiceLoader(@TempDir Path folder) throws Exception {
        Path services = Files.createDirectories(folder.resolve("META-INF/services"));
        Files.writeString(services.resolve("io.plumline.JsonCodec"), CustomCodec.class.getName());
        URL classes = JsonCodec.class.getProtectionDomain().getCodeSource().getLocation();
        URL tests = getClass().getProtectionDomain().getCodeSource().getLocation();
        URL[] all = {folder.toUri().toURL(), classes, tests};
        try (URLClassLoader loader = new URLClassLoader(all, ClassLoader.getPlatformClassLoader())) {
            Class<?> codec = loader.loadClass("io.plumline.JsonCodec");
            assertEquals(
                    CustomCodec.class.getName(),
                    codec.getMethod("standard").invoke(null).getClass().getName());
        }
    }
}
