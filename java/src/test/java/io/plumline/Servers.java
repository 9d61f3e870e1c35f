package io.plumline;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;

/** Servers on free ports, and waiting for conditions. */
public final class Servers {
    private Servers() {}

    interface Handler {
        void handle(HttpExchange exchange) throws IOException;
    }

    /** An HTTP server with one handler for all requests. */
    static final class Http implements AutoCloseable {
        final AtomicInteger requests = new AtomicInteger();
        private final HttpServer server;
        private final ExecutorService threads = Executors.newCachedThreadPool();

        Http(Handler handler) throws IOException {
            server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
            server.setExecutor(threads);
            server.createContext("/", exchange -> {
                requests.incrementAndGet();
                handler.handle(exchange);
                exchange.close();
            });
            server.start();
        }

        int port() {
            return server.getAddress().getPort();
        }

        String registry() {
            return "static://127.0.0.1:" + port();
        }

        @Override
        public void close() {
            server.stop(0);
            threads.shutdownNow();
        }
    }

    /** Responds with this status and body. */
    static Handler status(int status, String body) {
        return exchange -> reply(exchange, status, body);
    }

    static void reply(HttpExchange exchange, int status, String body) throws IOException {
        reply(exchange, status, body.getBytes(UTF_8));
    }

    static void reply(HttpExchange exchange, int status, byte[] bytes) throws IOException {
        exchange.getRequestBody().readAllBytes();
        exchange.sendResponseHeaders(status, bytes.length == 0 ? -1 : bytes.length);
        exchange.getResponseBody().write(bytes);
    }

    /** Occupies a port without listening on it. */
    static Socket closed() throws IOException {
        Socket socket = new Socket();
        socket.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
        return socket;
    }

    /** Accepts connections and never responds: the system puts them into the backlog. */
    static ServerSocket silent() throws IOException {
        return new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
    }

    /** Multiplies timeouts. Runs on a busy machine set a higher value. */
    private static final int TIMEOUT_FACTOR =
            Integer.parseInt(System.getenv().getOrDefault("PLUMLINE_TEST_PATIENCE", "1"));

    /** Waits until a condition is true; fails after 10 s times {@link #TIMEOUT_FACTOR}. */
    public static void until(String what, Callable<Boolean> condition) throws Exception {
        long end = System.nanoTime() + TIMEOUT_FACTOR * 10_000_000_000L;
        while (!condition.call()) {
            if (System.nanoTime() > end) {
                throw new AssertionError("not within 10 s: " + what);
            }
            Thread.sleep(10);
        }
    }
}
