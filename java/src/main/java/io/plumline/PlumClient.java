package io.plumline;

import java.time.Duration;
import java.util.Collection;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Finds services, calls them, survives what fails, and keeps this program registered. Used by many threads at once.
 *
 * <pre>{@code
 * try (PlumClient plum = PlumClient.create("plum://127.0.0.1:8080");
 *      Registration me = plum.register(Instance.of("orders", 8080).version("v2"))) {
 *     Item item = plum.get("orders", "/items/7").raiseForStatus().json(Item.class);
 * }
 * }</pre>
 *
 * <p>What blocks ends within 0.2 s of an interrupt, with {@link PlumInterruptedException} and the thread's flag set. A
 * client that is dropped without {@link #close()} leaks nothing; what it has registered stays registered until the
 * program ends.
 */
public interface PlumClient extends AutoCloseable {
    /**
     * A client of the registry that the environment names ({@code PLUMLINE_REGISTRY}).
     *
     * @return the client
     * @throws PlumInvalidArgumentException for a wrong setting, which it names
     */
    static PlumClient create() {
        return builder().build();
    }

    /**
     * A client of the registry at this address. Checks it, opens nothing, and never fails because a registry is away.
     *
     * @param address such as {@code plum://127.0.0.1:8080}; empty: that of the environment
     * @return the client
     * @throws PlumInvalidArgumentException for a wrong address, which it names
     */
    static PlumClient create(String address) {
        return builder().registry(address).build();
    }

    /**
     * A client with this configuration.
     *
     * @param config the configuration
     * @return the client
     * @throws PlumInvalidArgumentException for a wrong setting, which it names
     */
    static PlumClient create(PlumConfig config) {
        return builder().config(config).build();
    }

    /**
     * For hooks, balancers and transports of one's own.
     *
     * @return a builder
     */
    static PlumClientBuilder builder() {
        return new PlumClientBuilder();
    }

    /**
     * The endpoints of a service that are there and healthy.
     *
     * @param service its name
     * @return the endpoints; none for a service that nobody knows
     * @throws PlumException if no registry has ever been heard
     */
    default List<Endpoint> discover(String service) {
        return discover(Query.of(service));
    }

    /**
     * The endpoints that are meant, there and healthy.
     *
     * @param query which are meant
     * @return the endpoints; none for a service that nobody knows
     * @throws PlumException if no registry has ever been heard
     */
    List<Endpoint> discover(Query query);

    /**
     * Chooses an endpoint for one use of any protocol, to be reported on.
     *
     * @param service the service's name
     * @return the pick
     * @throws PlumNoEndpointException where there is none; the message says why
     */
    Pick pick(String service);

    /**
     * Chooses among the endpoints that are meant.
     *
     * @param query which are meant
     * @return the pick
     * @throws PlumNoEndpointException where there is none; the message says why
     */
    Pick pick(Query query);

    /**
     * Makes a call: picks, sends, goes elsewhere if need be, reports. An answer of any status is a response; see
     * {@link PlumResponse#raiseForStatus()}.
     *
     * @param request the request
     * @return the answer, of any status
     * @throws PlumException if there was none: one subclass for each kind of failure
     */
    PlumResponse call(PlumRequest request);

    /**
     * Sends a GET.
     *
     * @param service the service's name
     * @param path the path, with a leading {@code /}
     * @return the answer, of any status
     * @throws PlumException as {@link #call}
     */
    default PlumResponse get(String service, String path) {
        return call(PlumRequest.get(service, path));
    }

    /**
     * Sends a POST without a body.
     *
     * @param service the service's name
     * @param path the path, with a leading {@code /}
     * @return the answer, of any status
     * @throws PlumException as {@link #call}
     */
    default PlumResponse post(String service, String path) {
        return call(PlumRequest.post(service, path));
    }

    /**
     * Sends a POST with JSON.
     *
     * @param service the service's name
     * @param path the path, with a leading {@code /}
     * @param json what the {@link JsonCodec} writes
     * @return the answer, of any status
     * @throws PlumException as {@link #call}
     */
    default PlumResponse post(String service, String path, @Nullable Object json) {
        return call(PlumRequest.post(service, path).json(json));
    }

    /**
     * Sends a PUT without a body.
     *
     * @param service the service's name
     * @param path the path, with a leading {@code /}
     * @return the answer, of any status
     * @throws PlumException as {@link #call}
     */
    default PlumResponse put(String service, String path) {
        return call(PlumRequest.put(service, path));
    }

    /**
     * Sends a PUT with JSON.
     *
     * @param service the service's name
     * @param path the path, with a leading {@code /}
     * @param json what the {@link JsonCodec} writes
     * @return the answer, of any status
     * @throws PlumException as {@link #call}
     */
    default PlumResponse put(String service, String path, @Nullable Object json) {
        return call(PlumRequest.put(service, path).json(json));
    }

    /**
     * Sends a PATCH without a body.
     *
     * @param service the service's name
     * @param path the path, with a leading {@code /}
     * @return the answer, of any status
     * @throws PlumException as {@link #call}
     */
    default PlumResponse patch(String service, String path) {
        return call(PlumRequest.patch(service, path));
    }

    /**
     * Sends a PATCH with JSON.
     *
     * @param service the service's name
     * @param path the path, with a leading {@code /}
     * @param json what the {@link JsonCodec} writes
     * @return the answer, of any status
     * @throws PlumException as {@link #call}
     */
    default PlumResponse patch(String service, String path, @Nullable Object json) {
        return call(PlumRequest.patch(service, path).json(json));
    }

    /**
     * Sends a DELETE.
     *
     * @param service the service's name
     * @param path the path, with a leading {@code /}
     * @return the answer, of any status
     * @throws PlumException as {@link #call}
     */
    default PlumResponse delete(String service, String path) {
        return call(PlumRequest.delete(service, path));
    }

    /**
     * Sends a HEAD.
     *
     * @param service the service's name
     * @param path the path, with a leading {@code /}
     * @return the answer, of any status
     * @throws PlumException as {@link #call}
     */
    default PlumResponse head(String service, String path) {
        return call(PlumRequest.head(service, path));
    }

    /**
     * Sends an OPTIONS.
     *
     * @param service the service's name
     * @param path the path, with a leading {@code /}
     * @return the answer, of any status
     * @throws PlumException as {@link #call}
     */
    default PlumResponse options(String service, String path) {
        return call(PlumRequest.options(service, path));
    }

    /**
     * A handle bound to a service: the fast path of many calls and picks.
     *
     * @param service its name
     * @return the handle
     */
    default PlumService service(String service) {
        return service(Query.of(service));
    }

    /**
     * A handle bound to the endpoints that are meant.
     *
     * @param query which are meant
     * @return the handle
     */
    PlumService service(Query query);

    /**
     * Registers this program, and keeps it registered until the registration or the client is closed, or the program
     * ends in good order.
     *
     * <p>Returns at once while the port does not answer yet, and waits at most 2 s for the registry's word when it
     * does; with the registry away it keeps trying.
     *
     * @param instance what is registered
     * @return the registration; it need not be kept
     * @throws PlumInvalidArgumentException for an instance that cannot be
     * @throws PlumUnsupportedException for a registry that is only read
     * @throws PlumUnauthenticatedException if the registry wants to know who asks
     * @throws PlumPermissionDeniedException if the registry says no
     */
    Registration register(Instance instance);

    /**
     * Tells of every change of a service, beginning with what is there.
     *
     * @param service its name
     * @return the watch
     */
    Watch watch(String service);

    /**
     * Tells of every change of every service, those included that appear later.
     *
     * @return the watch
     */
    Watch watchAll();

    /**
     * Waits until a service has an endpoint: for those who want to start only when it is there.
     *
     * @param service its name
     * @param timeout how long at most
     * @throws PlumTimeoutException when the time has passed; the message says what is missing
     */
    default void waitFor(String service, Duration timeout) {
        waitFor(Query.of(service), timeout);
    }

    /**
     * Waits until one of the endpoints that are meant is there.
     *
     * @param query which are meant
     * @param timeout how long at most
     * @throws PlumTimeoutException when the time has passed; the message says what is missing
     */
    void waitFor(Query query, Duration timeout);

    /**
     * Says for each endpoint of a service whether it would be called, and why not.
     *
     * @param service its name
     * @return the explanation; as a string, a table
     */
    default Explanation explain(String service) {
        return explain(Query.of(service));
    }

    /**
     * Says for each endpoint of a service whether it is meant and would be called, and why not.
     *
     * @param query which are meant
     * @return the explanation; as a string, a table
     */
    Explanation explain(Query query);

    /**
     * The names of every service there is.
     *
     * @return the names, sorted
     * @throws PlumException if the registries cannot be asked
     */
    List<String> services();

    /**
     * Everything that is counted.
     *
     * @return the figures of this moment
     */
    Stats stats();

    /**
     * Says what exists of a service, beside what the registries say: a registry of one's own.
     *
     * @param service its name
     * @param endpoints all there are; none: nothing any more
     */
    void publish(String service, Collection<Endpoint> endpoints);

    /** Has every list asked for anew before it is used again; if that fails, the old one still serves. */
    void clearCache();

    /**
     * Changes settings while the client lives.
     *
     * @param changes what is to be different
     * @throws PlumInvalidArgumentException for a wrong setting, or one that cannot be changed
     */
    void configure(PlumConfig changes);

    /**
     * Deregisters what is registered, ends watches and calls in flight, waits for the configured drain and gives back
     * threads and connections. Everything afterwards throws {@link PlumClosedException}; closing again does nothing.
     */
    @Override
    void close();

    /**
     * The same with another drain than the configured one.
     *
     * @param drain how long to wait for calls still on their way; an interrupt cuts it short
     */
    void close(Duration drain);

    /**
     * Whether it was closed.
     *
     * @return whether it was
     */
    boolean isClosed();
}
