package io.plumline;

import java.time.Duration;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.Executor;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

final class NativeWatch extends Native implements Watch {
    private static final long FOR_EVER = -1;

    /** Kept alive by its watch. */
    private final NativeClient client;

    private final long handle;

    NativeWatch(NativeClient client, long handle) {
        this.client = client;
        this.handle = handle;
        Memory.freeAfter(this, handle);
    }

    @Override
    UserCode userCode() {
        return client.userCode();
    }

    @Override
    public Change next() {
        return Change.read(new FrameReader(Objects.requireNonNull(next(handle, FOR_EVER))));
    }

    @Override
    public Optional<Change> next(Duration timeout) {
        byte[] change = next(handle, Times.nanos("timeout", timeout));
        return change == null ? Optional.empty() : Optional.of(Change.read(new FrameReader(change)));
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
        executor.execute(() -> tell(listener));
        return this;
    }

    private void tell(Consumer<? super Change> listener) {
        try {
            for (Change change : this) {
                tell(listener, change);
            }
        } catch (PlumInterruptedException interrupted) {
            // The executor ends its threads; the flag is set for it to see.
        }
    }

    private static void tell(Consumer<? super Change> listener, Change change) {
        try {
            listener.accept(change);
        } catch (VirtualMachineError error) {
            throw error;
        } catch (RuntimeException | Error error) {
            Logs.log(System.Logger.Level.ERROR, "a listener threw at " + change + ": " + error);
        }
    }

    @Override
    public void close() {
        close(handle);
    }

    private native byte @Nullable [] next(long handle, long timeout);

    private native void close(long handle);
}
