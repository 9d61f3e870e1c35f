package io.plumline;

import java.util.Map;

/**
 * The core's records, on their way to {@code System.getLogger("plumline")}. No native thread ever calls Java: a daemon
 * thread waits for records while a client is open.
 */
final class Logs {
    private static final System.Logger LOGGER = System.getLogger("plumline");
    private static final Map<String, System.Logger.Level> LEVELS = Map.of(
            "ERROR", System.Logger.Level.ERROR,
            "WARN", System.Logger.Level.WARNING,
            "INFO", System.Logger.Level.INFO,
            "DEBUG", System.Logger.Level.DEBUG);
    private static final Object LOCK = new Object();

    /** Whether there is a drainer, and whether it was wanted again since it last looked. */
    private static boolean running;

    private static boolean again;

    private Logs() {}

    /** A client was opened. */
    static void listen(NativeLibrary library) {
        if (!library.wantsDrainer()) {
            return;
        }
        synchronized (LOCK) {
            if (running) {
                again = true;
                return;
            }
            running = true;
        }
        Thread drainer = new Thread(null, () -> drainWhileOpen(library), "plumline-logs", 0, false);
        drainer.setDaemon(true);
        drainer.setContextClassLoader(null);
        drainer.start();
    }

    private static void drainWhileOpen(NativeLibrary library) {
        while (true) {
            boolean open = library.waitForLogs();
            drain(library);
            synchronized (LOCK) {
                if (!open && !again) {
                    running = false;
                    return;
                }
                again = false;
            }
        }
    }

    /** Hands over what waits. */
    static void drain(NativeLibrary library) {
        byte[] lines = library.takeLogs();
        if (lines == null) {
            return;
        }
        FrameReader frame = new FrameReader(lines);
        for (int count = frame.u32(); count > 0; count--) {
            log(LEVELS.getOrDefault(frame.text(), System.Logger.Level.DEBUG), frame.text());
        }
    }

    static void log(System.Logger.Level level, String message) {
        try {
            LOGGER.log(level, message);
        } catch (RuntimeException own) {
            // What a user's handler throws is the handler's affair: there is nowhere left to tell it.
            own.printStackTrace();
        }
    }
}
