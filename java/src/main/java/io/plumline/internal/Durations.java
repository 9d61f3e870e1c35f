package io.plumline.internal;

import io.plumline.PlumInvalidArgumentException;
import java.time.Duration;
import java.util.Objects;

/** Durations as the native library reads them: nanoseconds in a long, or text of the configuration. */
public final class Durations {
    private static final Duration MAX = Duration.ofNanos(Long.MAX_VALUE);

    private Durations() {}

    /** At most {@link Long#MAX_VALUE}, which is 292 years. */
    public static long nanos(String name, Duration duration) {
        check(name, duration);
        return duration.compareTo(MAX) > 0 ? Long.MAX_VALUE : duration.toNanos();
    }

    public static String text(String name, Duration duration) {
        check(name, duration);
        return duration.getNano() == 0
                ? duration.getSeconds() + "s"
                : duration.getSeconds() + "s" + duration.getNano() + "ns";
    }

    private static void check(String name, Duration duration) {
        if (Objects.requireNonNull(duration, name).isNegative()) {
            throw new PlumInvalidArgumentException(name + " is " + duration + "; it must not be negative");
        }
    }
}
