package io.plumline.testing;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;

/**
 * A running controller, on a free port of this machine. It stores its data in memory, so it is empty after a restart.
 *
 * <p>It runs the {@code plumline} command: the one named by the property {@code plumline.command} or the environment
 * variable {@code PLUMLINE_COMMAND}, otherwise the one on the {@code PATH}. {@code make build} in the sources of Plumline
 * builds it as {@code target/release/plumline}.
 */
public final class PlumController implements AutoCloseable {
    private static final String LISTENING = "plumline controller listening on http://";
    private static final int START_TIMEOUT_SECONDS = 10;

    private final String command;
    private final List<String> options;
    private String listen = "127.0.0.1:0";
    private @Nullable Process process;
    /** Stops the process when this virtual machine exits. */
    private @Nullable Thread exitHook;

    /**
     * Starts a controller, and waits until it listens.
     *
     * @param options options of the command, such as {@code "--service-ttl", "2s"}
     * @throws IllegalStateException if the command is missing or does not start
     */
    public PlumController(String... options) {
        this.options = List.of(options);
        command = command();
        start();
    }

    /**
     * The address for clients. It stays the same after a restart.
     *
     * @return such as {@code plum://127.0.0.1:41234}
     */
    public String address() {
        return "plum://" + listen;
    }

    /** Starts the controller at the same address as before. Does nothing if it is running. */
    public synchronized void start() {
        if (process != null) {
            return;
        }
        List<String> arguments = new ArrayList<>(List.of(command, "controller", "--listen", listen));
        arguments.addAll(options);
        try {
            Process started = new ProcessBuilder(arguments)
                    .redirectError(ProcessBuilder.Redirect.INHERIT)
                    .start();
            process = started;
            exitHook = new Thread(started::destroyForcibly);
            Runtime.getRuntime().addShutdownHook(exitHook);
            listen = awaitListening(started);
        } catch (IOException error) {
            throw new UncheckedIOException("cannot start the command " + command, error);
        } catch (RuntimeException error) {
            kill();
            throw error;
        }
    }

    /** Stops the controller normally. */
    public synchronized void stop() {
        stop(true);
    }

    /** Kills the controller, as a crash would. */
    public synchronized void kill() {
        stop(false);
    }

    /** Kills the controller and starts it again, empty, at the same address. */
    public synchronized void restart() {
        kill();
        start();
    }

    @Override
    public void close() {
        stop();
    }

    private void stop(boolean gracefully) {
        Process running = process;
        process = null;
        if (running == null) {
            return;
        }
        removeExitHook();
        if (gracefully) {
            running.destroy();
        } else {
            running.destroyForcibly();
        }
        try {
            if (!running.waitFor(5, TimeUnit.SECONDS)) {
                running.destroyForcibly().waitFor();
            }
        } catch (InterruptedException error) {
            running.destroyForcibly();
            Thread.currentThread().interrupt();
        }
    }

    private void removeExitHook() {
        Thread hook = exitHook;
        exitHook = null;
        try {
            if (hook != null) {
                Runtime.getRuntime().removeShutdownHook(hook);
            }
        } catch (IllegalStateException error) {
            // The virtual machine is shutting down and runs the hook.
        }
    }

    private static String awaitListening(Process started) {
        CompletableFuture<String> first = new CompletableFuture<>();
        Thread reader = new Thread(() -> read(started, first), "plumline-controller-output");
        reader.setDaemon(true);
        reader.start();
        try {
            String line = first.get(START_TIMEOUT_SECONDS, TimeUnit.SECONDS);
            if (!line.startsWith(LISTENING)) {
                throw new IllegalStateException("the controller did not start; its output: " + line);
            }
            return line.substring(LISTENING.length()).trim();
        } catch (TimeoutException error) {
            throw new IllegalStateException("the controller did not listen within " + START_TIMEOUT_SECONDS + " s", error);
        } catch (ExecutionException error) {
            throw new IllegalStateException("cannot read the output of the controller", error.getCause());
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted while starting the controller", error);
        }
    }

    /** Passes on the first line, then reads the rest so that the pipe does not fill up. */
    private static void read(Process started, CompletableFuture<String> first) {
        try (BufferedReader output = new BufferedReader(new InputStreamReader(started.getInputStream(), UTF_8))) {
            String line = output.readLine();
            first.complete(line == null ? "" : line);
            while (line != null) {
                line = output.readLine();
            }
        } catch (IOException error) {
            first.completeExceptionally(error);
        }
    }

    private static String command() {
        String named = System.getProperty("plumline.command", System.getenv("PLUMLINE_COMMAND"));
        if (named != null) {
            if (!new File(named).canExecute()) {
                throw new IllegalStateException(
                        "plumline.command or PLUMLINE_COMMAND is " + named + ", which is not an executable file");
            }
            return named;
        }
        String path = System.getenv("PATH");
        for (String folder : path == null ? new String[0] : path.split(File.pathSeparator)) {
            for (String name : new String[] {"plumline", "plumline.exe"}) {
                File file = new File(folder, name);
                if (file.isFile() && file.canExecute()) {
                    return file.getPath();
                }
            }
        }
        throw new IllegalStateException("the plumline command is not on the PATH; run `make build` in the sources of "
                + "Plumline and put target/release/plumline on the PATH, or set the property plumline.command or the "
                + "environment variable PLUMLINE_COMMAND to its path");
    }

    @Override
    public String toString() {
        return "PlumController[" + address() + "]";
    }
}
