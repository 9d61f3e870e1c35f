import static java.nio.charset.StandardCharsets.UTF_8;

import io.plumline.Endpoint;
import io.plumline.PlumClient;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.Socket;

/**
 * A custom protocol: Plumline chooses the endpoint, and the program opens the connection.
 *
 * <p>`java -cp … Pick plum://127.0.0.1:8080`
 */
final class Pick {
    private Pick() {}

    public static void main(String[] arguments) throws IOException {
        String registry = arguments.length > 0 ? arguments[0] : ""; // empty: the variable PLUMLINE_REGISTRY
        try (PlumClient plum = PlumClient.create(registry)) {
            // The first report counts. If an exception is thrown before success(), close() reports a failure. After
            // several failures the endpoint is ejected.
            try (io.plumline.Pick pick = plum.pick("greeter")) {
                System.out.println(greet(pick.endpoint(), "a plum"));
                pick.success();
            }

            // The same without try-with-resources.
            io.plumline.Pick pick = plum.pick("greeter");
            try {
                System.out.println(greet(pick.endpoint(), "another plum"));
            } catch (IOException error) {
                pick.failure();
                throw error;
            }
            pick.success();
        }
    }

    /** Sends one line and reads one line. */
    private static String greet(Endpoint endpoint, String name) throws IOException {
        try (Socket connection = new Socket(endpoint.ip(), endpoint.port())) {
            connection.setSoTimeout(1_000);
            connection.getOutputStream().write((name + "\n").getBytes(UTF_8));
            return new BufferedReader(new InputStreamReader(connection.getInputStream(), UTF_8)).readLine();
        }
    }
}
