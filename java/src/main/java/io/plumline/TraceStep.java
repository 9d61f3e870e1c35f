package io.plumline;

import io.plumline.internal.FrameReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;

/**
 * The result of one attempt of a call: a status or a failure. Immutable; steps are equal if all their parts are equal.
 */
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
     * Creates the step of an attempt with a response.
     *
     * @param endpoint the endpoint of the attempt
     * @param status the status of the response
     * @param elapsed the duration of the attempt
     * @return the step
     */
    public static TraceStep answered(Endpoint endpoint, int status, Duration elapsed) {
        return new TraceStep(endpoint, status, null, null, elapsed);
    }

    /**
     * Creates the step of an attempt that failed.
     *
     * @param endpoint the endpoint of the attempt
     * @param kind the kind of failure
     * @param error the error message
     * @param elapsed the duration of the attempt
     * @return the step
     */
    public static TraceStep failed(Endpoint endpoint, Kind kind, String error, Duration elapsed) {
        return new TraceStep(
                endpoint, 0, Objects.requireNonNull(kind, "kind"), Objects.requireNonNull(error, "error"), elapsed);
    }

    /**
     * The endpoint of the attempt.
     *
     * @return the endpoint
     */
    public Endpoint endpoint() {
        return endpoint;
    }

    /**
     * The status of the response.
     *
     * @return the status; empty if the attempt failed
     */
    public OptionalInt status() {
        return kind == null ? OptionalInt.of(status) : OptionalInt.empty();
    }

    /**
     * The kind of failure.
     *
     * @return the kind; empty if there was a response
     */
    public Optional<Kind> kind() {
        return Optional.ofNullable(kind);
    }

    /**
     * The error message.
     *
     * @return one line; empty if there was a response
     */
    public Optional<String> error() {
        return Optional.ofNullable(error);
    }

    /**
     * The duration of the attempt.
     *
     * @return the duration
     */
    public Duration elapsed() {
        return elapsed;
    }

    /** Reads a list of steps. A step without an endpoint has the endpoint {@code known}. */
    static List<TraceStep> readList(FrameReader frame, @Nullable Endpoint known) {
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
