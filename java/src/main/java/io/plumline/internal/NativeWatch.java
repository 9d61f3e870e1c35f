package io.plumline.internal;

import io.plumline.Change;
import io.plumline.PlumClosedException;
import io.plumline.PlumInterruptedException;
import io.plumline.Watch;
import java.time.Duration;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.Executor;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** A watch: each method calls the native library. */
final class NativeWatch extends Native implements Watch {
    private static final long NO_TIMEOUT = -1;

    /** A watch keeps its client reachable. */
    private final NativeClient client;

    private final long handle;

    NativeWatch(NativeClient client, long handle) {
        this.client = client;
        this.handle = handle;
        NativeMemory.freeWithOwner(this, handle);
    }

    @Override
    Callbacks callbacks() {
        return client.callbacks();
    }

    @Override
    public Change next() {
        return read(Objects.requireNonNull(next(handle, NO_TIMEOUT)));
    }

    @Override
    public Optional<Change> next(Duration timeout) {
        byte[] change = next(handle, Durations.nanos("timeout", timeout));
        return change == null ? Optional.empty() : Optional.of(read(change));
    }

    private static Change read(byte[] change) {
        return ApiAccess.get().readChange(new FrameReader(change));
    }

    @Override
    public Iterator<Change> iterator() {
        return new Iterator<>() {
            private @Nullable Change ahead;

            @Override
            public boolean hasNext() {
                try {
                    ahead = ahead == null ? NativeWatch.this.next() : ahead;
                    return true;
                } catch (PlumClosedException closed) {
                    return false;
                }
            }

            @Override
            public Change next() {
                if (!hasNext()) {
                    throw new NoSuchElementException("the watch is closed");
                }
                Change change = Objects.requireNonNull(ahead);
                ahead = null;
                return change;
            }
        };
    }

    @Override
    public Watch listen(Executor executor, Consumer<? super Change> listener) {
        Objects.requireNonNull(listener, "listener");
        Objects.requireNonNull(executor, "executor");
        executor.execute(() -> deliverAll(listener));
        return this;
    }

    private void deliverAll(Consumer<? super Change> listener) {
        try {
            for (Change change : this) {
                deliver(listener, change);
            }
        } catch (PlumInterruptedException interrupted) {
            // The executor is shutting down. The interrupt flag stays set.
        }
    }

    private static void deliver(Consumer<? super Change> listener, Change change) {
        try {
            listener.accept(change);
        } catch (VirtualMachineError error) {
            throw error;
        } catch (RuntimeException | Error error) {
            LogForwarder.log(System.Logger.Level.ERROR, "a watch listener failed for " + change + ": " + error);
        }
    }

    @Override
    public void close() {
        close(handle);
    }

    private native byte @Nullable [] next(long handle, long timeout);

    private native void close(long handle);
}
