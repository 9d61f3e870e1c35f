package io.plumline;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;

/** What one attempt of a call came to: a status, or a failure. Immutable; equal when all of its parts are. */
public final class TraceStep {
    private final Endpoint endpoint;
    private final int status;
    private final @Nullable Kind kind;
    private final @Nullable String error;
    private final Duration elapsed;

    private TraceStep(Endpoint endpoint, int status, @Nullable Kind kind, @Nullable String error, Duration elapsed) {
        this.endpoint = Objects.requireNonNull(endpoint, "endpoint");
        this.status = status;
        this.kind = kind;
        this.error = error;
        this.elapsed = Objects.requireNonNull(elapsed, "elapsed");
    }

    /**
     * An attempt that was answered.
     *
     * @param endpoint where it went
     * @param status the status that came back
     * @param elapsed how long it took
     * @return the step
     */
    public static TraceStep answered(Endpoint endpoint, int status, Duration elapsed) {
        return new TraceStep(endpoint, status, null, null, elapsed);
    }

    /**
     * An attempt that failed.
     *
     * @param endpoint where it went
     * @param kind what kind of failure it was
     * @param error the failure in words
     * @param elapsed how long it took
     * @return the step
     */
    public static TraceStep failed(Endpoint endpoint, Kind kind, String error, Duration elapsed) {
        return new TraceStep(
                endpoint, 0, Objects.requireNonNull(kind, "kind"), Objects.requireNonNull(error, "error"), elapsed);
    }

    /**
     * Where it went.
     *
     * @return the endpoint
     */
    public Endpoint endpoint() {
        return endpoint;
    }

    /**
     * The status that came back.
     *
     * @return the status; empty where none did
     */
    public OptionalInt status() {
        return kind == null ? OptionalInt.of(status) : OptionalInt.empty();
    }

    /**
     * What kind of failure it was.
     *
     * @return the kind; empty where a status came back
     */
    public Optional<Kind> kind() {
        return Optional.ofNullable(kind);
    }

    /**
     * The failure in words.
     *
     * @return one line; empty where a status came back
     */
    public Optional<String> error() {
        return Optional.ofNullable(error);
    }

    /**
     * How long the attempt took.
     *
     * @return the time
     */
    public Duration elapsed() {
        return elapsed;
    }

    /** Steps whose endpoint is left out are at the one that is known already. */
    static List<TraceStep> readAll(FrameReader frame, @Nullable Endpoint known) {
        int count = frame.u32();
        List<TraceStep> steps = new ArrayList<>(count);
        for (int n = 0; n < count; n++) {
            Endpoint endpoint = frame.u8() != 0 ? Endpoint.read(frame) : known;
            int kind = frame.u8();
            if (kind == 0) {
                steps.add(answered(endpoint, frame.u16(), Duration.ofNanos(frame.u64())));
            } else {
                steps.add(failed(endpoint, Kind.of(kind), frame.text(), Duration.ofNanos(frame.u64())));
            }
        }
        return Collections.unmodifiableList(steps);
    }

    @Override
    public boolean equals(@Nullable Object other) {
        if (!(other instanceof TraceStep)) {
            return false;
        }
        TraceStep that = (TraceStep) other;
        return endpoint.equals(that.endpoint)
                && status == that.status
                && kind == that.kind
                && Objects.equals(error, that.error)
                && elapsed.equals(that.elapsed);
    }

    @Override
    public int hashCode() {
        return Objects.hash(endpoint, status, kind, error, elapsed);
    }

    @Override
    public String toString() {
        return endpoint.address() + ": " + (kind == null ? String.valueOf(status) : error) + " after "
                + elapsed.toNanos() / 100_000 / 10.0 + " ms";
    }
}
