package io.plumline;

import java.time.Duration;
import java.util.Objects;

/** Durations as they cross: nanoseconds that fit, or text that the configuration reads. */
final class Times {
    private static final Duration LONGEST = Duration.ofNanos(Long.MAX_VALUE);

    private Times() {}

    /** From 0 on; what is longer than 292 years is 292 years. */
    static long nanos(String name, Duration duration) {
        check(name, duration);
        return duration.compareTo(LONGEST) > 0 ? Long.MAX_VALUE : duration.toNanos();
    }

    static String text(String name, Duration duration) {
        check(name, duration);
        return duration.getNano() == 0
                ? duration.getSeconds() + "s"
                : duration.getSeconds() + "s" + duration.getNano() + "ns";
    }

    private static void check(String name, Duration duration) {
        if (Objects.requireNonNull(duration, name).isNegative()) {
            throw new PlumInvalidArgumentException(name + " is " + duration + "; it must be from 0 on");
        }
    }
}
