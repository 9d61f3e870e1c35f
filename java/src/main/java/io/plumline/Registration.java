package io.plumline;

import java.time.Duration;
import java.util.Locale;
import java.util.Optional;
import java.util.function.UnaryOperator;

/**
 * Keeps an instance registered until this registration or its client is closed, or the program exits normally. The
 * client owns its registrations: an instance stays registered if this object is collected.
 */
public interface Registration extends AutoCloseable {
    /** The state of a registration. */
    enum State {
        /** Waiting until the port of the instance accepts connections; then it is registered. */
        WAITING_FOR_PORT,
        /** Being registered for the first time. */
        REGISTERING,
        /** Registered at one registry or more. */
        REGISTERED,
        /** No registry responds; the client keeps trying. */
        UNREACHABLE,
        /** The registry refused the registration; the client tries again with every heartbeat. */
        REFUSED,
        /** Closed. */
        CLOSED;

        /**
         * The value used in every language.
         *
         * @return the value, such as {@code waiting_for_port}
         */
        public String value() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /**
     * The present state.
     *
     * @return the state
     */
    State state();

    /**
     * The address under which other programs reach the instance.
     *
     * @return {@code host:port}
     */
    String address();

    /**
     * The service of the instance.
     *
     * @return its name
     */
    String service();

    /**
     * The id of the instance.
     *
     * @return the id
     */
    String instanceId();

    /**
     * The instance as registered, with the values that the client filled in, such as host and id.
     *
     * @return the instance
     */
    Instance instance();

    /**
     * The last error.
     *
     * @return the error; empty once the instance is registered again
     */
    Optional<PlumException> lastError();

    /**
     * Waits at most 10 s until the instance is registered.
     *
     * @throws PlumException the last error, if the instance is not registered in time
     */
    default void await() {
        await(Duration.ofSeconds(10));
    }

    /**
     * Waits until the instance is registered.
     *
     * @param timeout the longest time to wait
     * @throws PlumException the last error, if the instance is not registered in time
     * @throws PlumInterruptedException if the thread is interrupted
     */
    void await(Duration timeout);

    /**
     * Changes the registered instance. The change also survives outages of the registry.
     *
     * <pre>{@code registration.update(instance -> instance.healthy(false))}</pre>
     *
     * @param change returns the new instance, given the registered one
     * @throws PlumInvalidArgumentException if the new instance is invalid
     */
    void update(UnaryOperator<Instance> change);

    /** Deregisters within 2 s, then waits for the configured drain time. Closing again does nothing. */
    @Override
    void close();

    /**
     * Deregisters within 2 s, then waits for calls in flight. Closing again does nothing.
     *
     * @param drain how long to wait; an interrupt ends the wait
     */
    void close(Duration drain);
}
