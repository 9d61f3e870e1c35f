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

/** Real servers on free ports, and patience. */
final class Servers {
    private Servers() {}

    interface Handler {
        void handle(HttpExchange exchange) throws IOException;
    }

    /** An HTTP server that answers every request alike. */
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

    /** Answers with this status and body. */
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

    /** A port at which nobody listens, and nobody else can. */
    static Socket closed() throws IOException {
        Socket socket = new Socket();
        socket.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
        return socket;
    }

    /** Takes connections and never answers: the system accepts them into the backlog. */
    static ServerSocket silent() throws IOException {
        return new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
    }

    /** What the bounds of waits are multiplied by: a run that keeps the machine busy raises it. */
    private static final int PATIENCE =
            Integer.parseInt(System.getenv().getOrDefault("PLUMLINE_TEST_PATIENCE", "1"));

    /** Waits until something is true; fails after 10 s times {@link #PATIENCE}. */
    static void until(String what, Callable<Boolean> isSo) throws Exception {
        long end = System.nanoTime() + PATIENCE * 10_000_000_000L;
        while (!isSo.call()) {
            if (System.nanoTime() > end) {
                throw new AssertionError("not within 10 s: " + what);
            }
            Thread.sleep(10);
        }
    }
}
