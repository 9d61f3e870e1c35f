package io.plumline.internal;

import io.plumline.Instance;
import io.plumline.PlumException;
import io.plumline.Registration;
import java.time.Duration;
import java.util.Locale;
import java.util.Optional;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;

/** A registration: each method calls the native library. */
final class NativeRegistration extends Native implements Registration {
    /** Stands for the drain time of the configuration. */
    private static final long CONFIGURED_DRAIN = -1;

    private final long handle;

    NativeRegistration(long handle) {
        this.handle = handle;
        NativeMemory.freeWithOwner(this, handle);
    }

    /** The registration at one moment. */
    private static final class Status {
        final State state;
        final String address;
        final @Nullable PlumException lastError;
        final Instance instance;

        Status(FrameReader frame) {
            state = State.valueOf(frame.text().toUpperCase(Locale.ROOT));
            address = frame.text();
            lastError = frame.u8() != 0 ? ApiAccess.get().readException(frame) : null;
            instance = ApiAccess.get().toInstance(frame.text());
        }
    }

    private Status status() {
        return new Status(new FrameReader(status(handle)));
    }

    @Override
    public State state() {
        return status().state;
    }

    @Override
    public String address() {
        return status().address;
    }

    @Override
    public String service() {
        return status().instance.service();
    }

    @Override
    public String instanceId() {
        return status().instance.instanceId();
    }

    @Override
    public Instance instance() {
        return status().instance;
    }

    @Override
    public Optional<PlumException> lastError() {
        return Optional.ofNullable(status().lastError);
    }

    @Override
    public void await(Duration timeout) {
        waitFor(handle, Durations.nanos("timeout", timeout));
    }

    @Override
    public void update(UnaryOperator<Instance> change) {
        Instance changed = change.apply(instance());
        update(handle, FrameWriter.bytesOf("the instance", ApiAccess.get().toJson(changed)));
    }

    @Override
    public void close() {
        close(handle, CONFIGURED_DRAIN);
    }

    @Override
    public void close(Duration drain) {
        close(handle, Durations.nanos("drain", drain));
    }

    @Override
    public String toString() {
        Status status = status();
        return "Registration[" + status.address + " of \"" + status.instance.service() + "\", " + status.state.value()
                + "]";
    }

    private native byte[] status(long handle);

    private native void waitFor(long handle, long timeout);

    private native void update(long handle, byte[] instance);

    private native void close(long handle, long drain);
}
