package io.plumline.internal;

import java.util.Map;

/**
 * Forwards the core's log records to {@code System.getLogger("plumline")}. No native thread calls Java: a daemon thread
 * waits for records while a client is open.
 */
final class LogForwarder {
    private static final System.Logger LOGGER = System.getLogger("plumline");
    private static final Map<String, System.Logger.Level> LEVELS = Map.of(
            "ERROR", System.Logger.Level.ERROR,
            "WARN", System.Logger.Level.WARNING,
            "INFO", System.Logger.Level.INFO,
            "DEBUG", System.Logger.Level.DEBUG);
    private static final Object LOCK = new Object();

    /** Whether the thread is running. */
    private static boolean running;

    /** Whether a client was opened since the thread last checked. */
    private static boolean neededAgain;

    private LogForwarder() {}

    /** Starts the thread unless it is running. */
    static void clientOpened(NativeLibrary library) {
        if (!library.needsLogThread()) {
            return;
        }
        synchronized (LOCK) {
            if (running) {
                neededAgain = true;
                return;
            }
            running = true;
        }
        Thread thread = new Thread(null, () -> forwardWhileOpen(library), "plumline-logs", 0, false);
        thread.setDaemon(true);
        thread.setContextClassLoader(null);
        thread.start();
    }

    private static void forwardWhileOpen(NativeLibrary library) {
        while (true) {
            boolean open = library.waitForLogs();
            forward(library);
            synchronized (LOCK) {
                if (!open && !neededAgain) {
                    running = false;
                    return;
                }
                neededAgain = false;
            }
        }
    }

    /** Forwards all pending records. */
    static void forward(NativeLibrary library) {
        byte[] records = library.takeLogs();
        if (records == null) {
            return;
        }
        FrameReader frame = new FrameReader(records);
        for (int count = frame.u32(); count > 0; count--) {
            log(LEVELS.getOrDefault(frame.text(), System.Logger.Level.DEBUG), frame.text());
        }
    }

    static void log(System.Logger.Level level, String message) {
        try {
            LOGGER.log(level, message);
        } catch (RuntimeException error) {
            error.printStackTrace(); // a log handler of the program failed, so it cannot be logged
        }
    }
}
