import io.plumline.Change;
import io.plumline.Endpoint;
import io.plumline.PlumClient;
import java.util.stream.Collectors;

/**
 * Prints the endpoints of a service and every change, until it is stopped (Ctrl-C).
 *
 * <p>`java -cp … Watch plum://127.0.0.1:8080`
 */
final class Watch {
    private Watch() {}

    public static void main(String[] arguments) {
        String registry = arguments.length > 0 ? arguments[0] : ""; // empty: the variable PLUMLINE_REGISTRY
        try (PlumClient plum = PlumClient.create(registry)) {
            // The first change contains the present endpoints. For a slow reader, changes are merged; none is lost.
            for (Change change : plum.watch("orders")) {
                String addresses = change.endpoints().stream().map(Endpoint::address).collect(Collectors.joining(" "));
                System.out.println(change.kind().value() + ": +" + change.added().size() + " -"
                        + change.removed().size() + " " + addresses);
            }
        }
    }
}
