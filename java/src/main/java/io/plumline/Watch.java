package io.plumline;

import java.time.Duration;
import java.util.Iterator;
import java.util.Optional;
import java.util.concurrent.Executor;
import java.util.function.Consumer;

/**
 * Tells of every change, beginning with what is there. A slow reader gets changes merged, never a gap.
 *
 * <pre>{@code
 * for (Change change : plum.watch("orders")) {
 *     System.out.println(change.kind() + " " + change.endpoints().size());
 * }
 * }</pre>
 *
 * <p>Each change is told once: to whoever asks first, be it by {@link #next}, an iterator or a listener.
 */
public interface Watch extends Iterable<Change>, AutoCloseable {
    /**
     * The next change. Waits for it.
     *
     * @return the change
     * @throws PlumClosedException once the watch or its client is closed
     * @throws PlumInterruptedException if the thread is interrupted
     */
    Change next();

    /**
     * The next change, if one comes in time.
     *
     * @param timeout how long to wait for it; zero: not at all
     * @return the change; empty when the time has passed without one
     * @throws PlumClosedException once the watch or its client is closed
     * @throws PlumInterruptedException if the thread is interrupted
     */
    Optional<Change> next(Duration timeout);

    /**
     * Waits for each change; ends when the watch or its client is closed.
     *
     * @return an iterator over the changes to come
     */
    @Override
    Iterator<Change> iterator();

    /**
     * Hands each change to a listener, until the watch or its client is closed. Takes one thread of the executor for as
     * long. What the listener throws is logged, and the next change is told all the same; interrupting the thread ends
     * it.
     *
     * @param executor runs the listener
     * @param listener gets the changes, one after the other
     * @return this
     */
    Watch listen(Executor executor, Consumer<? super Change> listener);

    /** Ends it, in whichever thread it is waited for. Again: does nothing. */
    @Override
    void close();
}
