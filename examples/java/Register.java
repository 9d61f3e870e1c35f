import static java.nio.charset.StandardCharsets.UTF_8;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.plumline.Instance;
import io.plumline.PlumClient;
import io.plumline.Registration;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.time.Duration;

/**
 * Serves HTTP and registers itself, until the end of standard input (Ctrl-D).
 *
 * <p>`java -cp … Register plum://127.0.0.1:8080`
 */
final class Register {
    private Register() {}

    public static void main(String[] arguments) throws IOException {
        String registry = arguments.length > 0 ? arguments[0] : ""; // empty: the variable PLUMLINE_REGISTRY
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/", Register::serve);
        server.start();

        try (PlumClient plum = PlumClient.create(registry)) {
            // `host` is the address for other programs. By default it is the local address of the connection to the
            // registry.
            Registration me = plum.register(Instance.of("orders", server.getAddress().getPort())
                    .host("127.0.0.1")
                    .version("v1")
                    .label("env", "example"));
            me.await(Duration.ofSeconds(10));
            System.out.println("registered " + me.address());

            // The instance can be changed at any time. The change survives outages of the registry.
            me.update(instance -> instance.label("warm", "yes"));

            System.in.readAllBytes();
            // Deregisters, then waits for calls in flight. Closing the client or exiting the program also deregisters.
            me.close(Duration.ofMillis(200));
            System.out.println("deregistered");
        } finally {
            server.stop(0);
        }
    }

    private static void serve(HttpExchange exchange) throws IOException {
        try (exchange) {
            exchange.getRequestBody().readAllBytes();
            byte[] body = "{\"id\":7,\"name\":\"a plum\"}".getBytes(UTF_8);
            exchange.getResponseHeaders().set("Content-Type", "application/json");
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
        }
    }
}
