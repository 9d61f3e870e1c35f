import io.plumline.Change;
import io.plumline.Endpoint;
import io.plumline.PlumClient;
import java.util.stream.Collectors;

/**
 * Tells who offers a service, and every change of that, until it is ended (Ctrl-C).
 *
 * <p>`java -cp … Watch plum://127.0.0.1:8080`
 */
final class Watch {
    private Watch() {}

    public static void main(String[] arguments) {
        String registry = arguments.length > 0 ? arguments[0] : ""; // empty: the variable PLUMLINE_REGISTRY
        try (PlumClient plum = PlumClient.create(registry)) {
            // The first change is what is there now. A slow reader gets changes merged, and misses none.
            for (Change change : plum.watch("orders")) {
                String addresses = change.endpoints().stream().map(Endpoint::address).collect(Collectors.joining(" "));
                System.out.println(change.kind().value() + ": +" + change.added().size() + " -"
                        + change.removed().size() + " " + addresses);
            }
        }
    }
}
