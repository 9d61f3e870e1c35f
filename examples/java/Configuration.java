import io.plumline.PlumClient;
import io.plumline.PlumConfig;
import io.plumline.PlumInvalidArgumentException;
import io.plumline.PlumRequest;
import io.plumline.PlumResponse;
import java.time.Duration;
import java.util.Map;

/**
 * Settings: for all services, for one service, for one call, and changes at run time.
 *
 * <p>`java -cp … Configuration` (needs no registry)
 */
final class Configuration {
    private Configuration() {}

    public static void main(String[] arguments) {
        // These override the environment (PLUMLINE_TIMEOUT=5s) and the file named by PLUMLINE_CONFIG.
        PlumConfig config = new PlumConfig()
                .registry("static://10.0.0.7:8080,10.0.0.8:8080")
                .timeout(Duration.ofSeconds(5))
                .headers(Map.of("X-Team", "fruit"))
                .service("orders", orders -> orders
                        .timeout(Duration.ofMillis(800))
                        .balancer(PlumConfig.Strategy.ROUND_ROBIN)
                        .retry(retry -> retry.attempts(2)));

        // There is no server at these addresses: a transport responds instead.
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

        // The compiler checks typed settings. In JSON, an unknown key is rejected, with a suggestion.
        try {
            PlumClient.create(PlumConfig.fromJson("{\"retry\": {\"attemps\": 2}}")).close();
        } catch (PlumInvalidArgumentException error) {
            System.out.println(error.getMessage());
        }
    }
}
