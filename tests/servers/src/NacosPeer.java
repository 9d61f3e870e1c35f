import com.alibaba.nacos.api.naming.NamingFactory;
import com.alibaba.nacos.api.naming.NamingService;
import com.alibaba.nacos.api.naming.listener.NamingEvent;
import com.alibaba.nacos.api.naming.pojo.Instance;
import java.util.Map;
import java.util.TreeMap;

/** Nacos' own client: {@code NacosPeer <server> <service> <port>} says what it sees of a service, and registers itself. */
public class NacosPeer {
    public static void main(String[] arguments) throws Exception {
        NamingService naming = NamingFactory.createNamingService(arguments[0]);
        // It connects in the background, and refuses whatever is asked before it has.
        while (!naming.getServerStatus().equals("UP")) {
            Thread.sleep(20);
        }
        String service = arguments[1];
        for (Instance instance : naming.getAllInstances(service, false)) {
            say(instance);
        }
        Instance mine = new Instance();
        mine.setIp("127.0.0.1");
        mine.setPort(Integer.parseInt(arguments[2]));
        mine.setWeight(3);
        mine.setMetadata(Map.of("version", "v9", "env", "theirs"));
        naming.registerInstance(service, mine);
        System.out.println("peer registered");
        naming.subscribe(service, event -> ((NamingEvent) event).getInstances().forEach(NacosPeer::say));
        System.in.read(); // until whoever started us goes
        System.exit(0);
    }

    private static void say(Instance instance) {
        Map<String, String> shown = new TreeMap<>(instance.getMetadata());
        shown.keySet().removeIf(name -> name.endsWith("_at") || name.equals("last_check") || name.equals("ttl"));
        StringBuilder line = new StringBuilder("peer ").append(instance.toInetAddr());
        line.append(" weight=").append(instance.getWeight()).append(" healthy=").append(instance.isHealthy());
        shown.forEach((name, value) -> line.append(' ').append(name).append('=').append(value));
        System.out.println(line);
    }
}
