package io.plumline;

import java.time.Duration;
import java.util.Locale;
import java.util.Optional;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;

final class NativeRegistration extends Native implements Registration {
    private static final long AS_CONFIGURED = -1;

    private final long handle;

    NativeRegistration(long handle) {
        this.handle = handle;
        Memory.freeAfter(this, handle);
    }

    /** What it looks like at one moment. */
    private static final class Look {
        final State state;
        final String address;
        final @Nullable PlumException lastError;
        final Instance instance;

        Look(FrameReader frame) {
            state = State.valueOf(frame.text().toUpperCase(Locale.ROOT));
            address = frame.text();
            lastError = frame.u8() != 0 ? PlumException.read(frame, null) : null;
            instance = Instance.fromJson(frame.text());
        }
    }

    private Look look() {
        return new Look(new FrameReader(look(handle)));
    }

    @Override
    public State state() {
        return look().state;
    }

    @Override
    public String address() {
        return look().address;
    }

    @Override
    public String service() {
        return look().instance.service();
    }

    @Override
    public String instanceId() {
        return look().instance.instanceId();
    }

    @Override
    public Instance instance() {
        return look().instance;
    }

    @Override
    public Optional<PlumException> lastError() {
        return Optional.ofNullable(look().lastError);
    }

    @Override
    public void await(Duration timeout) {
        waitFor(handle, Times.nanos("timeout", timeout));
    }

    @Override
    public void update(UnaryOperator<Instance> change) {
        Instance changed = change.apply(instance());
        update(handle, FrameWriter.bytesOf("the instance", changed.toJson()));
    }

    @Override
    public void close() {
        close(handle, AS_CONFIGURED);
    }

    @Override
    public void close(Duration drain) {
        close(handle, Times.nanos("drain", drain));
    }

    @Override
    public String toString() {
        Look look = look();
        return "Registration[" + look.address + " of \"" + look.instance.service() + "\", " + look.state.word() + "]";
    }

    private native byte[] look(long handle);

    private native void waitFor(long handle, long timeout);

    private native void update(long handle, byte[] instance);

    private native void close(long handle, long drain);
}
