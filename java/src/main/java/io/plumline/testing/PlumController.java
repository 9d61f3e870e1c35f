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
 * A running controller, on a free port of this machine. Its store is memory: whatever restarts it starts it empty.
 *
 * <p>It is the {@code plumline} command: the one that the property {@code plumline.command} or the environment variable
 * {@code PLUMLINE_COMMAND} names, else the one on the {@code PATH}. {@code make build} in Plumline's sources makes it,
 * as {@code target/release/plumline}.
 */
public final class PlumController implements AutoCloseable {
    private static final String LISTENING = "plumline controller listening on http://";
    private static final int STARTS_WITHIN = 10;

    private final String command;
    private final List<String> options;
    private String listen = "127.0.0.1:0";
    private @Nullable Process process;
    /** Ends it with this virtual machine, where nobody has before. */
    private @Nullable Thread atExit;

    /**
     * Starts one, and waits until it listens.
     *
     * @param options go to the command as they are, such as {@code "--service-ttl", "2s"}
     * @throws IllegalStateException if there is no such command, or it does not start
     */
    public PlumController(String... options) {
        this.options = List.of(options);
        command = command();
        start();
    }

    /**
     * Where a client finds it; stays the same when it is started again.
     *
     * @return such as {@code plum://127.0.0.1:41234}
     */
    public String address() {
        return "plum://" + listen;
    }

    /** Starts it where it listened before; does nothing while it runs. */
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
            atExit = new Thread(started::destroyForcibly);
            Runtime.getRuntime().addShutdownHook(atExit);
            listen = awaitListening(started);
        } catch (IOException error) {
            throw new UncheckedIOException("the command " + command + " could not be started", error);
        } catch (RuntimeException error) {
            kill();
            throw error;
        }
    }

    /** Ends it in good order. */
    public synchronized void stop() {
        end(true);
    }

    /** Ends it as a crash would. */
    public synchronized void kill() {
        end(false);
    }

    /** Kills it and starts it anew, empty, at the same address. */
    public synchronized void restart() {
        kill();
        start();
    }

    @Override
    public void close() {
        stop();
    }

    private void end(boolean inGoodOrder) {
        Process running = process;
        process = null;
        if (running == null) {
            return;
        }
        forgetExit();
        if (inGoodOrder) {
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

    private void forgetExit() {
        Thread hook = atExit;
        atExit = null;
        try {
            if (hook != null) {
                Runtime.getRuntime().removeShutdownHook(hook);
            }
        } catch (IllegalStateException error) {
            // The virtual machine is ending, and runs the hook itself.
        }
    }

    private static String awaitListening(Process started) {
        CompletableFuture<String> first = new CompletableFuture<>();
        Thread reader = new Thread(() -> read(started, first), "plumline-controller-output");
        reader.setDaemon(true);
        reader.start();
        try {
            String line = first.get(STARTS_WITHIN, TimeUnit.SECONDS);
            if (!line.startsWith(LISTENING)) {
                throw new IllegalStateException("the controller did not start; it said: " + line);
            }
            return line.substring(LISTENING.length()).trim();
        } catch (TimeoutException error) {
            throw new IllegalStateException("the controller did not listen within " + STARTS_WITHIN + " s", error);
        } catch (ExecutionException error) {
            throw new IllegalStateException("the controller cannot be read", error.getCause());
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted while the controller started", error);
        }
    }

    /** Hands over the first line, and keeps the pipe from filling up afterwards. */
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
                        "plumline.command or PLUMLINE_COMMAND is " + named + ", which is no program that can be run");
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
        throw new IllegalStateException("the plumline command is not on the PATH; `make build` in Plumline's sources "
                + "makes target/release/plumline: put that on the PATH, or set the property plumline.command or the "
                + "variable PLUMLINE_COMMAND to where it is");
    }

    @Override
    public String toString() {
        return "PlumController[" + address() + "]";
    }
}
