package io.plumline.internal;

/** A shutdown hook that deregisters all instances still registered. Installed by the first registration. */
final class ExitHook {
    private static boolean installed;

    private ExitHook() {}

    static synchronized void install(NativeLibrary library) {
        if (installed) {
            return;
        }
        installed = true;
        try {
            Runtime.getRuntime().addShutdownHook(new Thread(null, () -> run(library), "plumline-exit", 0, false));
        } catch (IllegalStateException error) {
            // The virtual machine is shutting down: the instance will expire at the registry.
            LogForwarder.log(
                    System.Logger.Level.WARNING,
                    "an instance is registered during shutdown of the virtual machine; it will not be deregistered");
        }
    }

    private static void run(NativeLibrary library) {
        library.atExit();
        LogForwarder.forward(library);
    }
}
