package io.plumline.benches;

import io.plumline.PlumClient;
import io.plumline.PlumService;
import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.URL;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import okhttp3.ConnectionPool;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.Response;
import org.apache.hc.client5.http.classic.methods.HttpGet;
import org.apache.hc.client5.http.impl.classic.CloseableHttpClient;
import org.apache.hc.client5.http.impl.classic.HttpClients;
import org.apache.hc.client5.http.impl.io.PoolingHttpClientConnectionManagerBuilder;
import org.apache.hc.core5.http.io.entity.EntityUtils;

/** A whole call, its body read: Plumline, and what a Java program would make it with instead. */
final class Calls {
    private static final String PATH = "/items/7";
    private static final int BODY = 100;
    /** Enough for the last tier of the compiler, each time anew. */
    private static final int WARM_UP = 20_000;

    private static final int CALLS = 20_000;
    private static final int THREADS = 16;
    private static final int CALLS_PER_THREAD = 2_000;

    private Calls() {}

    /** One thread; microseconds a call. */
    static Map<String, Bench.Measured> latencies(int port) throws Exception {
        Map<String, Bench.Measured> measured = new LinkedHashMap<>();
        contenders(port).forEach((name, call) -> measured.put(name, () -> time(call)));
        return measured;
    }

    /** Sixteen threads; calls a second. */
    static Map<String, Bench.Measured> rates(int port) throws Exception {
        Map<String, Bench.Measured> measured = new LinkedHashMap<>();
        contenders(port).forEach((name, call) -> measured.put(name, () -> rate(call)));
        return measured;
    }

    private static Map<String, Callable<byte[]>> contenders(int port) throws Exception {
        String url = "http://127.0.0.1:" + port + PATH;
        PlumClient plum = PlumClient.create("static://127.0.0.1:" + port);
        PlumService orders = plum.service("orders");
        HttpClient jdk = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        HttpRequest jdkRequest = HttpRequest.newBuilder(URI.create(url)).timeout(Duration.ofSeconds(10)).build();
        OkHttpClient ok = new OkHttpClient.Builder().connectionPool(new ConnectionPool(THREADS, 1, TimeUnit.MINUTES)).build();
        Request okRequest = new Request.Builder().url(url).build();
        CloseableHttpClient apache = HttpClients.custom()
                .setConnectionManager(PoolingHttpClientConnectionManagerBuilder.create()
                        .setMaxConnPerRoute(THREADS)
                        .setMaxConnTotal(THREADS)
                        .build())
                .build();
        Map<String, Callable<byte[]>> contenders = new LinkedHashMap<>();
        contenders.put("plumline, by name", () -> plum.get("orders", PATH).body());
        contenders.put("plumline, bound handle", () -> orders.get(PATH).body());
        contenders.put("HttpURLConnection keep-alive", () -> urlConnection(url));
        contenders.put("java.net.http.HttpClient", () -> jdk.send(jdkRequest, HttpResponse.BodyHandlers.ofByteArray()).body());
        contenders.put("OkHttp 4", () -> {
            try (Response response = ok.newCall(okRequest).execute()) {
                return response.body().bytes();
            }
        });
        contenders.put("Apache HttpClient 5", () -> apache.execute(new HttpGet(url), answer -> EntityUtils.toByteArray(answer.getEntity())));
        for (Map.Entry<String, Callable<byte[]>> contender : contenders.entrySet()) {
            if (contender.getValue().call().length < BODY) {
                throw new IllegalStateException(contender.getKey() + " read too little");
            }
        }
        return contenders;
    }

    private static byte[] urlConnection(String url) throws IOException {
        HttpURLConnection connection = (HttpURLConnection) new URL(url).openConnection();
        connection.setConnectTimeout(10_000);
        connection.setReadTimeout(10_000);
        try (InputStream body = connection.getInputStream()) {
            return body.readAllBytes();
        }
    }

    private static Bench.Round time(Callable<byte[]> call) throws Exception {
        for (int warming = 0; warming < WARM_UP; warming++) {
            call.call();
        }
        double[] samples = new double[CALLS];
        for (int sample = 0; sample < CALLS; sample++) {
            long began = System.nanoTime();
            call.call();
            samples[sample] = (System.nanoTime() - began) / 1e3;
        }
        Arrays.sort(samples);
        return new Bench.Round(samples[CALLS / 2], samples[CALLS * 99 / 100]);
    }

    private static Bench.Round rate(Callable<byte[]> call) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(THREADS);
        Callable<Void> work = () -> {
            for (int done = 0; done < CALLS_PER_THREAD; done++) {
                call.call();
            }
            return null;
        };
        try {
            onAll(pool, work);
            long began = System.nanoTime();
            onAll(pool, work);
            double rate = THREADS * (double) CALLS_PER_THREAD / ((System.nanoTime() - began) / 1e9);
            return new Bench.Round(rate, rate);
        } finally {
            pool.shutdown();
        }
    }

    private static void onAll(ExecutorService pool, Callable<Void> work) throws Exception {
        for (var done : pool.invokeAll(java.util.Collections.nCopies(THREADS, work))) {
            done.get();
        }
    }
}
