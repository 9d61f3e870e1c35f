package io.plumline;

import java.time.Duration;
import java.util.Collection;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Finds services, calls them with retries and failover, and keeps this program registered. Thread-safe.
 *
 * <pre>{@code
 * try (PlumClient plum = PlumClient.create("plum://127.0.0.1:8080");
 *      Registration me = plum.register(Instance.of("orders", 8080).version("v2"))) {
 *     Item item = plum.get("orders", "/items/7").raiseForStatus().json(Item.class);
 * }
 * }</pre>
 *
 * <p>A blocking method ends within 0.2 s of an interrupt: it throws {@link PlumInterruptedException}, and the interrupt
 * flag stays set. A client that is collected without {@link #close()} frees its memory; its registrations stay until the
 * program ends.
 */
public interface PlumClient extends AutoCloseable {
    /**
     * Creates a client of the registry in the environment variable {@code PLUMLINE_REGISTRY}.
     *
     * @return the client
     * @throws PlumInvalidArgumentException if a setting is invalid; the message names it
     */
    static PlumClient create() {
        return builder().build();
    }

    /**
     * Creates a client of the registry at this address. Checks the address but opens no connection, so an unreachable
     * registry is no error.
     *
     * @param address such as {@code plum://127.0.0.1:8080}; if empty, the environment variable
     * @return the client
     * @throws PlumInvalidArgumentException if the address is invalid; the message names it
     */
    static PlumClient create(String address) {
        return builder().registry(address).build();
    }

    /**
     * Creates a client with this configuration.
     *
     * @param config the configuration
     * @return the client
     * @throws PlumInvalidArgumentException if a setting is invalid; the message names it
     */
    static PlumClient create(PlumConfig config) {
        return builder().config(config).build();
    }

    /**
     * Returns a builder, which also accepts hooks, balancers and a transport.
     *
     * @return the builder
     */
    static PlumClientBuilder builder() {
        return new PlumClientBuilder();
    }

    /**
     * Finds the healthy endpoints of a service.
     *
     * @param service its name
     * @return the endpoints; empty if the service is unknown
     * @throws PlumException if no registry has responded yet
     */
    default List<Endpoint> discover(String service) {
        return discover(Query.of(service));
    }

    /**
     * Finds the healthy endpoints that match a query.
     *
     * @param query the service and its filters
     * @return the endpoints; empty if the service is unknown
     * @throws PlumException if no registry has responded yet
     */
    List<Endpoint> discover(Query query);

    /**
     * Chooses an endpoint for one use with any protocol. The caller reports the outcome to the pick.
     *
     * @param service the name of the service
     * @return the pick
     * @throws PlumNoEndpointException if there is no endpoint; the message says why
     */
    Pick pick(String service);

    /**
     * Chooses an endpoint that matches a query.
     *
     * @param query the service and its filters
     * @return the pick
     * @throws PlumNoEndpointException if there is no endpoint; the message says why
     */
    Pick pick(Query query);

    /**
     * Makes a call: chooses an endpoint, sends the request, and retries at other endpoints where that is safe. A
     * response of any status is returned; see {@link PlumResponse#raiseForStatus()}.
     *
     * @param request the request
     * @return the response, of any status
     * @throws PlumException if there was no response; there is one subclass for each kind of failure
     */
    PlumResponse call(PlumRequest request);

    /**
     * Sends a GET.
     *
     * @param service the name of the service
     * @param path the path, with a leading {@code /}
     * @return the response, of any status
     * @throws PlumException see {@link #call}
     */
    default PlumResponse get(String service, String path) {
        return call(PlumRequest.get(service, path));
    }

    /**
     * Sends a POST without a body.
     *
     * @param service the name of the service
     * @param path the path, with a leading {@code /}
     * @return the response, of any status
     * @throws PlumException see {@link #call}
     */
    default PlumResponse post(String service, String path) {
        return call(PlumRequest.post(service, path));
    }

    /**
     * Sends a POST with JSON.
     *
     * @param service the name of the service
     * @param path the path, with a leading {@code /}
     * @param json a value that the {@link JsonCodec} writes
     * @return the response, of any status
     * @throws PlumException see {@link #call}
     */
    default PlumResponse post(String service, String path, @Nullable Object json) {
        return call(PlumRequest.post(service, path).json(json));
    }

    /**
     * Sends a PUT without a body.
     *
     * @param service the name of the service
     * @param path the path, with a leading {@code /}
     * @return the response, of any status
     * @throws PlumException see {@link #call}
     */
    default PlumResponse put(String service, String path) {
        return call(PlumRequest.put(service, path));
    }

    /**
     * Sends a PUT with JSON.
     *
     * @param service the name of the service
     * @param path the path, with a leading {@code /}
     * @param json a value that the {@link JsonCodec} writes
     * @return the response, of any status
     * @throws PlumException see {@link #call}
     */
    default PlumResponse put(String service, String path, @Nullable Object json) {
        return call(PlumRequest.put(service, path).json(json));
    }

    /**
     * Sends a PATCH without a body.
     *
     * @param service the name of the service
     * @param path the path, with a leading {@code /}
     * @return the response, of any status
     * @throws PlumException see {@link #call}
     */
    default PlumResponse patch(String service, String path) {
        return call(PlumRequest.patch(service, path));
    }

    /**
     * Sends a PATCH with JSON.
     *
     * @param service the name of the service
     * @param path the path, with a leading {@code /}
     * @param json a value that the {@link JsonCodec} writes
     * @return the response, of any status
     * @throws PlumException see {@link #call}
     */
    default PlumResponse patch(String service, String path, @Nullable Object json) {
        return call(PlumRequest.patch(service, path).json(json));
    }

    /**
     * Sends a DELETE.
     *
     * @param service the name of the service
     * @param path the path, with a leading {@code /}
     * @return the response, of any status
     * @throws PlumException see {@link #call}
     */
    default PlumResponse delete(String service, String path) {
        return call(PlumRequest.delete(service, path));
    }

    /**
     * Sends a HEAD.
     *
     * @param service the name of the service
     * @param path the path, with a leading {@code /}
     * @return the response, of any status
     * @throws PlumException see {@link #call}
     */
    default PlumResponse head(String service, String path) {
        return call(PlumRequest.head(service, path));
    }

    /**
     * Sends an OPTIONS.
     *
     * @param service the name of the service
     * @param path the path, with a leading {@code /}
     * @return the response, of any status
     * @throws PlumException see {@link #call}
     */
    default PlumResponse options(String service, String path) {
        return call(PlumRequest.options(service, path));
    }

    /**
     * Returns a handle of a service. Many calls or picks are faster through a handle.
     *
     * @param service its name
     * @return the handle
     */
    default PlumService service(String service) {
        return service(Query.of(service));
    }

    /**
     * Returns a handle of the endpoints that match a query.
     *
     * @param query the service and its filters
     * @return the handle
     */
    PlumService service(Query query);

    /**
     * Registers this program, and keeps it registered until the registration or the client is closed, or the program
     * exits normally.
     *
     * <p>If the port does not accept connections yet, this method returns at once. Otherwise it waits at most 2 s for
     * the registry's response. If the registry is unreachable, the client keeps trying in the background.
     *
     * @param instance the instance to register
     * @return the registration; the client holds it, so the program need not
     * @throws PlumInvalidArgumentException if the instance is invalid
     * @throws PlumUnsupportedException if the registry is read-only
     * @throws PlumUnauthenticatedException if credentials are missing or invalid
     * @throws PlumPermissionDeniedException if the registry denies permission
     */
    Registration register(Instance instance);

    /**
     * Watches a service. The first change contains its present endpoints.
     *
     * @param service its name
     * @return the watch
     */
    Watch watch(String service);

    /**
     * Watches all services, including those that appear later.
     *
     * @return the watch
     */
    Watch watchAll();

    /**
     * Waits until a service has an endpoint.
     *
     * @param service its name
     * @param timeout the longest time to wait
     * @throws PlumTimeoutException if there is no endpoint in time; the message says what is missing
     */
    default void waitFor(String service, Duration timeout) {
        waitFor(Query.of(service), timeout);
    }

    /**
     * Waits until there is an endpoint that matches a query.
     *
     * @param query the service and its filters
     * @param timeout the longest time to wait
     * @throws PlumTimeoutException if there is no endpoint in time; the message says what is missing
     */
    void waitFor(Query query, Duration timeout);

    /**
     * Explains for each endpoint of a service whether it would be called, and why not.
     *
     * @param service its name
     * @return the explanation; {@code toString()} returns a table
     */
    default Explanation explain(String service) {
        return explain(Query.of(service));
    }

    /**
     * Explains for each endpoint of a service whether it matches a query and would be called, and why not.
     *
     * @param query the service and its filters
     * @return the explanation; {@code toString()} returns a table
     */
    Explanation explain(Query query);

    /**
     * Lists all services.
     *
     * @return their names, sorted
     * @throws PlumException if no registry responds
     */
    List<String> services();

    /**
     * Returns the statistics of this client.
     *
     * @return the present statistics
     */
    Stats stats();

    /**
     * Sets endpoints of a service in addition to those from the registries, for a registry that Plumline does not support.
     *
     * @param service its name
     * @param endpoints all published endpoints of the service; they replace those published before
     */
    void publish(String service, Collection<Endpoint> endpoints);

    /** Requests each endpoint list again before its next use. If that fails, the old list is used. */
    void clearCache();

    /**
     * Changes settings of the running client.
     *
     * @param changes the settings to change
     * @throws PlumInvalidArgumentException if a setting is invalid or cannot be changed
     */
    void configure(PlumConfig changes);

    /**
     * Deregisters all instances, ends watches and calls in flight, waits for the configured drain time, and frees threads
     * and connections. Later calls throw {@link PlumClosedException}; closing again does nothing.
     */
    @Override
    void close();

    /**
     * Closes the client with another drain time than the configured one.
     *
     * @param drain how long to wait for calls in flight; an interrupt ends the wait
     */
    void close(Duration drain);

    /**
     * Whether the client is closed.
     *
     * @return true after {@link #close()}
     */
    boolean isClosed();
}
