package io.plumline;

import java.time.Duration;
import java.util.Locale;
import java.util.Optional;
import java.util.function.UnaryOperator;

/**
 * Keeps an instance known until this, or its client, is closed, or the program ends in good order. An object that is
 * merely collected changes nothing: the client owns its registrations.
 */
public interface Registration extends AutoCloseable {
    /** Where a registration stands. */
    enum State {
        /** Its port does not answer yet; it is published once it does. */
        WAITING_FOR_PORT,
        /** On its way to the registry for the first time. */
        REGISTERING,
        /** Known to at least one registry. */
        REGISTERED,
        /** No registry answers; it is registered as soon as one does. */
        UNREACHABLE,
        /** The registry said no; tried again with every beat. */
        REFUSED,
        /** Closed. */
        CLOSED;

        /**
         * Its name, the same in every language.
         *
         * @return the name, such as {@code waiting_for_port}
         */
        public String word() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /**
     * Where it stands.
     *
     * @return the state
     */
    State state();

    /**
     * Where others reach it.
     *
     * @return {@code host:port}
     */
    String address();

    /**
     * The service it offers.
     *
     * @return its name
     */
    String service();

    /**
     * Its id.
     *
     * @return the id
     */
    String instanceId();

    /**
     * The instance as registered, with everything that was found out for it.
     *
     * @return the instance
     */
    Instance instance();

    /**
     * What last went wrong.
     *
     * @return the error; empty once it is registered again
     */
    Optional<PlumException> lastError();

    /**
     * Waits 10 s at most until it is registered.
     *
     * @throws PlumException what last went wrong, if that does not come about in time
     */
    default void await() {
        await(Duration.ofSeconds(10));
    }

    /**
     * Waits until it is registered.
     *
     * @param timeout how long at most
     * @throws PlumException what last went wrong, if that does not come about in time
     * @throws PlumInterruptedException if the thread is interrupted
     */
    void await(Duration timeout);

    /**
     * Changes what is registered, now and after every outage to come.
     *
     * <pre>{@code registration.update(instance -> instance.healthy(false))}</pre>
     *
     * @param change from the instance as registered to the one that shall be
     * @throws PlumInvalidArgumentException for an instance that cannot be
     */
    void update(UnaryOperator<Instance> change);

    /** Deregisters within 2 s, then waits for the drain of the configuration. Again: does nothing. */
    @Override
    void close();

    /**
     * Deregisters within 2 s, then waits for calls still on their way. Again: does nothing.
     *
     * @param drain how long; an interrupt cuts it short
     */
    void close(Duration drain);
}
