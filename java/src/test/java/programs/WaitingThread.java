package programs;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * A thread that detects that it is waiting in the native library. A waiting native method checks about every 100 ms
 * whether the thread was interrupted; two checks with a pause between them mean that it waiting.
 */
public final class WaitingThread extends Thread {
    private static final long MIN_PAUSE_NANOS = 50_000_000;

    private final CountDownLatch waiting = new CountDownLatch(1);
    private long lastCheck;

    /** Creates a daemon thread, not started yet. */
    public WaitingThread(Runnable work) {
        super(work, "waiting");
        setDaemon(true);
    }

    @Override
    public boolean isInterrupted() {
        if (currentThread() == this) {
            long now = System.nanoTime();
            if (lastCheck != 0 && now - lastCheck >= MIN_PAUSE_NANOS) {
                waiting.countDown();
            }
            lastCheck = now;
        }
        return super.isInterrupted();
    }

    /** Blocks until this thread is waiting in the native library. */
    public void awaitWaiting() throws InterruptedException {
        if (!waiting.await(10, TimeUnit.SECONDS)) {
            throw new AssertionError("the thread does not wait");
        }
    }
}
