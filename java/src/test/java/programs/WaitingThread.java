package programs;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * A thread that can be seen waiting in the native library: whoever waits there asks about every 100 ms whether the
 * thread was interrupted, and this one notices a question that comes a while after the one before.
 */
public final class WaitingThread extends Thread {
    private static final long BETWEEN_SLICES = 50_000_000;

    private final CountDownLatch waits = new CountDownLatch(1);
    private long asked;

    /** One that is not started yet, and keeps no program from ending. */
    public WaitingThread(Runnable work) {
        super(work, "waiting");
        setDaemon(true);
    }

    @Override
    public boolean isInterrupted() {
        if (currentThread() == this) {
            long now = System.nanoTime();
            if (asked != 0 && now - asked >= BETWEEN_SLICES) {
                waits.countDown();
            }
            asked = now;
        }
        return super.isInterrupted();
    }

    /** Waits until it waits. */
    public void awaitWaiting() throws InterruptedException {
        if (!waits.await(10, TimeUnit.SECONDS)) {
            throw new AssertionError("it does not wait");
        }
    }
}
