package io.plumline.benches;

import io.plumline.Endpoint;
import io.plumline.Pick;
import io.plumline.PlumClient;
import io.plumline.PlumService;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.results.Result;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;

/** What crosses between Java and the core without a socket; measured by JMH, a fork of its own for each round. */
@State(Scope.Benchmark)
public class Crossings {
    private static final int ENDPOINTS = 50;

    private PlumClient plum;
    private PlumService three;

    @Setup
    public void open() {
        plum = PlumClient.create("memory://");
        plum.publish("three", endpoints("three", 3));
        plum.publish("fifty", endpoints("fifty", ENDPOINTS));
        three = plum.service("three");
    }

    private static List<Endpoint> endpoints(String service, int count) {
        List<Endpoint> endpoints = new ArrayList<>();
        for (int number = 1; number <= count; number++) {
            endpoints.add(Endpoint.of(service, "10.0.0." + number, 80));
        }
        return endpoints;
    }

    @TearDown
    public void close() {
        plum.close();
    }

    @Benchmark
    public boolean empty() {
        return plum.isClosed();
    }

    @Benchmark
    public void pick() {
        Pick pick = three.pick();
        pick.success();
    }

    @Benchmark
    public List<Endpoint> discover() {
        return plum.discover("fifty");
    }

    static Map<String, Bench.Measured> all() {
        Map<String, Bench.Measured> measured = new LinkedHashMap<>();
        measured.put("empty call", () -> run("empty"));
        measured.put("pick and report", () -> run("pick"));
        measured.put("discover of " + ENDPOINTS, () -> run("discover"));
        return measured;
    }

    private static final AtomicInteger RUNS = new AtomicInteger();

    private static Bench.Round run(String name) throws Exception {
        var options = new OptionsBuilder()
                .include(Crossings.class.getName() + "\\." + name + "$")
                .mode(Mode.AverageTime)
                .timeUnit(TimeUnit.NANOSECONDS)
                .forks(1)
                .warmupIterations(3)
                .warmupTime(TimeValue.seconds(1))
                .measurementIterations(3)
                .measurementTime(TimeValue.seconds(1))
                .output("target/bench/jmh-" + RUNS.incrementAndGet() + ".txt")
                .build();
        Result<?> result = new Runner(options).runSingle().getPrimaryResult();
        return new Bench.Round(result.getScore(), result.getStatistics().getMax());
    }
}
