import io.plumline.PlumClient;
import io.plumline.PlumNoEndpointException;
import io.plumline.PlumRequest;
import io.plumline.PlumResponse;
import io.plumline.PlumService;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Calls a service by name. `java -cp … Call plum://127.0.0.1:8080` */
final class Call {
    private Call() {}

    public static void main(String[] arguments) {
        String registry = arguments.length > 0 ? arguments[0] : ""; // empty: the variable PLUMLINE_REGISTRY
        try (PlumClient plum = PlumClient.create(registry)) {
            // A response of any status is returned; raiseForStatus() throws for 4xx and 5xx.
            PlumResponse response = plum.get("orders", "/items/7").raiseForStatus();
            System.out.println("got " + response.text() + " from " + response.endpoint().address() + " in "
                    + response.attempts() + " attempt(s)");

            // A POST is not retried unless you mark it as idempotent.
            PlumResponse posted = plum.call(PlumRequest.post("orders", "/items")
                    .json(Map.of("name", "a plum"))
                    .header("X-Team", "fruit")
                    .idempotent(true)
                    .timeout(Duration.ofMillis(800)));
            System.out.println("posted: " + posted.statusCode());

            // Use a handle for many calls of one service: the name is looked up once.
            PlumService orders = plum.service("orders");
            List<Integer> statuses = new ArrayList<>();
            for (int item = 0; item < 3; item++) {
                statuses.add(orders.get("/items/" + item).statusCode());
            }
            System.out.println("three more: " + statuses);

            // If there is no endpoint, the exception says why.
            try {
                plum.get("ordrs", "/items/7");
            } catch (PlumNoEndpointException error) {
                System.out.println("as expected: " + error.getMessage());
            }
        }
    }
}
