package io.plumline;

import java.time.Duration;
import java.util.Iterator;
import java.util.Optional;
import java.util.concurrent.Executor;
import java.util.function.Consumer;

/**
 * Delivers the changes of a service. The first change contains its present endpoints. For a slow reader, changes are
 * merged; none is lost.
 *
 * <pre>{@code
 * for (Change change : plum.watch("orders")) {
 *     System.out.println(change.kind() + " " + change.endpoints().size());
 * }
 * }</pre>
 *
 * <p>Each change is delivered once, to one reader: a call of {@link #next}, an iterator or a listener.
 */
public interface Watch extends Iterable<Change>, AutoCloseable {
    /**
     * Waits for the next change.
     *
     * @return the change
     * @throws PlumClosedException if the watch or its client is closed
     * @throws PlumInterruptedException if the thread is interrupted
     */
    Change next();

    /**
     * Waits for the next change, with a timeout.
     *
     * @param timeout the longest time to wait; with zero, returns at once
     * @return the change; empty if there was none in time
     * @throws PlumClosedException if the watch or its client is closed
     * @throws PlumInterruptedException if the thread is interrupted
     */
    Optional<Change> next(Duration timeout);

    /**
     * Waits for each change. The iteration ends when the watch or its client is closed.
     *
     * @return an iterator over the coming changes
     */
    @Override
    Iterator<Change> iterator();

    /**
     * Delivers each change to a listener, until the watch or its client is closed, or the thread is interrupted. Occupies
     * one thread of the executor meanwhile. An exception of the listener is logged; delivery continues with the next
     * change.
     *
     * @param executor runs the listener
     * @param listener receives the changes, one after the other
     * @return this
     */
    Watch listen(Executor executor, Consumer<? super Change> listener);

    /** Ends the watch, and all waits for its next change. Closing again does nothing. */
    @Override
    void close();
}
