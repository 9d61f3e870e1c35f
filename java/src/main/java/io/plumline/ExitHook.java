package io.plumline;

/** Deregisters at the virtual machine's exit what is still registered: one hook, from the first registration on. */
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
            // The virtual machine ends already; what is registered now expires by itself.
            Logs.log(System.Logger.Level.WARNING, "registered while the virtual machine ends: it will not deregister");
        }
    }

    private static void run(NativeLibrary library) {
        library.atExit();
        Logs.drain(library);
    }
}
