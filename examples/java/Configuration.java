import io.plumline.PlumClient;
import io.plumline.PlumConfig;
import io.plumline.PlumInvalidArgumentException;
import io.plumline.PlumRequest;
import io.plumline.PlumResponse;
import java.time.Duration;
import java.util.Map;

/**
 * Settings: for everything, for one service, for one call, and while the program runs.
 *
 * <p>`java -cp … Configuration` (needs no registry)
 */
final class Configuration {
    private Configuration() {}

    public static void main(String[] arguments) {
        // Beneath these lie the environment (PLUMLINE_TIMEOUT=5s) and the file that PLUMLINE_CONFIG names.
        PlumConfig config = new PlumConfig()
                .registry("static://10.0.0.7:8080,10.0.0.8:8080")
                .timeout(Duration.ofSeconds(5))
                .headers(Map.of("X-Team", "fruit"))
                .service("orders", orders -> orders
                        .timeout(Duration.ofMillis(800))
                        .balancer(PlumConfig.Strategy.ROUND_ROBIN)
                        .retry(retry -> retry.attempts(2)));

        // No server stands behind these addresses: a stub answers in its place.
        PlumClient plum = PlumClient.builder()
                .config(config)
                .transport((request, endpoint) -> PlumResponse.of(200, request.headers().get("X-Team").get(0)))
                .build();
        try (plum) {
            System.out.println(plum.get("orders", "/team").text());
            PlumRequest patient = PlumRequest.get("orders", "/team").timeout(Duration.ofSeconds(30)).attempts(5);
            System.out.println(plum.call(patient).statusCode());

            plum.configure(new PlumConfig().headers(Map.of("X-Team", "vegetables")));
            System.out.println(plum.get("orders", "/team").text());
            System.out.print(plum.explain("orders"));
        }

        // Typed settings cannot be misspelt; in JSON, a key that is gets refused, with the one probably meant.
        try {
            PlumClient.create(PlumConfig.fromJson("{\"retry\": {\"attemps\": 2}}")).close();
        } catch (PlumInvalidArgumentException error) {
            System.out.println(error.getMessage());
        }
    }
}
