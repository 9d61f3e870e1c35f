package programs;

import io.plumline.Endpoint;
import io.plumline.Instance;
import io.plumline.Pick;
import io.plumline.PlumClient;
import io.plumline.PlumConfig;
import io.plumline.PlumRequest;
import java.io.IOException;
import java.lang.ref.WeakReference;
import java.lang.reflect.InvocationTargetException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Set;

/** Test programs for a separate virtual machine. The first argument names the program. It prints `done` at the end. */
public final class Program {
    private Program() {}

    public static void main(String[] arguments) throws Exception {
        switch (arguments[0]) {
            case "pick" -> pick();
            case "many" -> many();
            case "register" -> register(arguments[1], Integer.parseInt(arguments[2]));
            case "wait" -> waitForever(arguments[1]);
            case "successors" -> successors(Path.of(arguments[1]).toUri().toURL());
            case "loaders" -> loaders(Path.of(arguments[1]).toUri().toURL());
            default -> throw new IllegalArgumentException(arguments[0]);
        }
        System.out.println("done");
    }

    /** Uses the library, and checks that no thread starts before the first client. */
    private static void pick() {
        Set<Thread> before = Thread.getAllStackTraces().keySet();
        PlumRequest.get("s", "/").timeout(Duration.ofSeconds(1)).equals(null);
        Endpoint.of("s", "10.0.0.1", 1).withVersion("v1");
        PlumClient.builder().registry("memory://").config(new PlumConfig().timeout(Duration.ofSeconds(1)));
        if (!before.containsAll(Thread.getAllStackTraces().keySet())) {
            throw new AssertionError("a thread was started before the first client");
        }
        try (PlumClient plum = PlumClient.create("static://10.0.0.1:1");
                Pick pick = plum.pick("s")) {
            System.out.println(pick.endpoint().address());
            pick.success();
        }
    }

    /** Creates clients without closing them, and checks that memory does not grow. */
    private static void many() throws Exception {
        // In equal batches: the allocator keeps the peak memory of a batch, and a leak adds up.
        createClients(2_500);
        createClients(2_500);
        long before = resident();
        createClients(2_500);
        createClients(2_500);
        long after = resident();
        System.out.println("resident: " + before + " kB after 5,000 clients, " + after + " kB after 10,000");
        if (after - before > 32_000) {
            throw new AssertionError("the clients leak memory");
        }
    }

    private static void createClients(int clients) throws Exception {
        WeakReference<PlumClient> last = null;
        for (int n = 0; n < clients; n++) {
            PlumClient plum = PlumClient.create("static://10.0.0.1:1,10.0.0.2:1");
            plum.pick("s").success();
            last = new WeakReference<>(plum);
        }
        while (last.get() != null) {
            System.gc();
            Thread.sleep(20);
        }
        // The log thread ends after the cleaner has freed the last client.
        while (isRunning("plumline-logs")) {
            System.gc();
            Thread.sleep(20);
        }
    }

    private static boolean isRunning(String thread) {
        return Thread.getAllStackTraces().keySet().stream()
                .anyMatch(running -> running.getName().equals(thread));
    }

    private static long resident() throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (line.startsWith("VmRSS:")) {
                return Long.parseLong(line.replaceAll("\\D", ""));
            }
        }
        throw new IOException("no VmRSS");
    }

    /** Registers an instance and exits without close. */
    private static void register(String address, int port) {
        PlumClient plum = PlumClient.create(address);
        plum.register(Instance.of("leaving", port).host("127.0.0.1")).await();
    }

    /** Exits while a call and a watch are waiting. */
    private static void waitForever(String address) throws Exception {
        PlumClient plum = PlumClient.create(address);
        Runnable[] waits = {
            () -> plum.call(PlumRequest.get("s", "/").timeout(Duration.ofMinutes(5))),
            () -> plum.watch("s").forEach(change -> {})
        };
        for (Runnable wait : waits) {
            WaitingThread thread = new WaitingThread(wait);
            thread.start();
            thread.awaitWaiting();
        }
    }

    /** Uses the same jar in two class loaders, and again after they were collected. */
    private static void loaders(URL jar) throws Exception {
        for (int round = 0; round < 2; round++) {
            try (URLClassLoader one = new URLClassLoader(new URL[] {jar}, ClassLoader.getPlatformClassLoader());
                    URLClassLoader two = new URLClassLoader(new URL[] {jar}, ClassLoader.getPlatformClassLoader())) {
                AutoCloseable first = (AutoCloseable) open(one);
                AutoCloseable second = (AutoCloseable) open(two);
                if (first.getClass() == second.getClass()) {
                    throw new AssertionError("both classes have the same class loader");
                }
                for (AutoCloseable client : new AutoCloseable[] {first, second}) {
                    Class<?> type = client.getClass().getClassLoader().loadClass("io.plumline.PlumClient");
                    System.out.println(type.getMethod("discover", String.class).invoke(client, "s"));
                }
                second.close(); // the first one is not closed
            }
            System.gc();
        }
    }

    /** Uses one class loader after the other. Each is collected before the next loads the same file. */
    private static void successors(URL jar) throws Exception {
        for (int round = 0; round < 3; round++) {
            WeakReference<ClassLoader> previous = useAndDrop(jar);
            while (previous.get() != null) {
                System.gc();
                Thread.sleep(10);
            }
        }
    }

    /** A separate method, so that no reference to the class loader stays on the stack. */
    private static WeakReference<ClassLoader> useAndDrop(URL jar) throws Exception {
        try (URLClassLoader loader = new URLClassLoader(new URL[] {jar}, ClassLoader.getPlatformClassLoader())) {
            try (AutoCloseable client = (AutoCloseable) openOnceUnloaded(loader)) {
                Class<?> type = loader.loadClass("io.plumline.PlumClient");
                System.out.println(type.getMethod("discover", String.class).invoke(client, "s"));
                try {
                    type.getMethod("discover", String.class).invoke(client, "");
                    throw new AssertionError("a service name that is empty was accepted");
                } catch (InvocationTargetException error) {
                    Class<?> kind = loader.loadClass("io.plumline.PlumInvalidArgumentException");
                    if (!kind.isInstance(error.getCause())) {
                        throw error;
                    }
                }
            }
            return new WeakReference<>(loader);
        }
    }

    /** Retries: the library is unloaded shortly after its class loader was collected, and cannot be loaded before. */
    private static Object openOnceUnloaded(ClassLoader loader) throws Exception {
        while (true) {
            try {
                return open(loader);
            } catch (InvocationTargetException error) {
                if (!String.valueOf(error.getCause().getMessage()).contains("/proc/nowhere")) {
                    throw error;
                }
                Thread.sleep(10);
            }
        }
    }

    private static Object open(ClassLoader loader) throws Exception {
        Class<?> type = loader.loadClass("io.plumline.PlumClient");
        return type.getMethod("create", String.class).invoke(null, "static://10.0.0.1:1");
    }
}
