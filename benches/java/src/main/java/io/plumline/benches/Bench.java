package io.plumline.benches;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * Plumline from Java, and what a Java program would take instead: measured a round at a time.
 *
 * <p>{@code Bench call|threads|boundary PORT} says the names of what it can measure as a JSON array, then measures one
 * round of one of them for each line on stdin that holds its index: {@code {"p50": …, "p99": …}}. Whoever asks (the bench
 * program of this tree) decides the order, starts the server at PORT and binds this process to a core.
 */
public final class Bench {
    private Bench() {}

    /** What one round came to: the median, and what one in a hundred exceeds. */
    record Round(double p50, double p99) {}

    /** Measures one round. */
    interface Measured {
        Round round() throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(arguments[1]);
        Map<String, Measured> measured = switch (arguments[0]) {
            case "call" -> Calls.latencies(port);
            case "threads" -> Calls.rates(port);
            case "boundary" -> Crossings.all();
            default -> throw new IllegalArgumentException(arguments[0] + " is none of call, threads, boundary");
        };
        System.out.println(measured.keySet().stream().map(name -> '"' + name + '"').collect(Collectors.joining(", ", "[", "]")));
        List<Measured> inOrder = List.copyOf(measured.values());
        BufferedReader asks = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = asks.readLine(); line != null; line = asks.readLine()) {
            Round round = inOrder.get(Integer.parseInt(line)).round();
            System.out.printf(Locale.ROOT, "{\"p50\": %f, \"p99\": %f}%n", round.p50(), round.p99());
        }
    }
}
