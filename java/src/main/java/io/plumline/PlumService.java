package io.plumline;

import org.jspecify.annotations.Nullable;

/** A service, or some of its endpoints, of a client, looked up once: the fast path of many calls and picks. */
public interface PlumService {
    /**
     * The service.
     *
     * @return its name
     */
    String name();

    /**
     * Chooses an endpoint for one use of any protocol, to be reported on.
     *
     * @return the pick
     * @throws PlumNoEndpointException where there is none; the message says why
     * @throws PlumClosedException once the client is closed
     */
    Pick pick();

    /**
     * Makes a call.
     *
     * @param request a request to this service, without version and labels: those are said when the handle is made
     * @return the answer, of any status
     * @throws PlumException if there was none: one subclass for each kind of failure
     */
    PlumResponse call(PlumRequest request);

    /**
     * Sends a GET.
     *
     * @param path the path, with a leading {@code /}
     * @return the answer, of any status
     * @throws PlumException as {@link #call}
     */
    default PlumResponse get(String path) {
        return call(PlumRequest.get(name(), path));
    }

    /**
     * Sends a POST without a body.
     *
     * @param path the path, with a leading {@code /}
     * @return the answer, of any status
     * @throws PlumException as {@link #call}
     */
    default PlumResponse post(String path) {
        return call(PlumRequest.post(name(), path));
    }

    /**
     * Sends a POST with JSON.
     *
     * @param path the path, with a leading {@code /}
     * @param json what the {@link JsonCodec} writes
     * @return the answer, of any status
     * @throws PlumException as {@link #call}
     */
    default PlumResponse post(String path, @Nullable Object json) {
        return call(PlumRequest.post(name(), path).json(json));
    }

    /**
     * Sends a PUT without a body.
     *
     * @param path the path, with a leading {@code /}
     * @return the answer, of any status
     * @throws PlumException as {@link #call}
     */
    default PlumResponse put(String path) {
        return call(PlumRequest.put(name(), path));
    }

    /**
     * Sends a PUT with JSON.
     *
     * @param path the path, with a leading {@code /}
     * @param json what the {@link JsonCodec} writes
     * @return the answer, of any status
     * @throws PlumException as {@link #call}
     */
    default PlumResponse put(String path, @Nullable Object json) {
        return call(PlumRequest.put(name(), path).json(json));
    }

    /**
     * Sends a PATCH without a body.
     *
     * @param path the path, with a leading {@code /}
     * @return the answer, of any status
     * @throws PlumException as {@link #call}
     */
    default PlumResponse patch(String path) {
        return call(PlumRequest.patch(name(), path));
    }

    /**
     * Sends a PATCH with JSON.
     *
     * @param path the path, with a leading {@code /}
     * @param json what the {@link JsonCodec} writes
     * @return the answer, of any status
     * @throws PlumException as {@link #call}
     */
    default PlumResponse patch(String path, @Nullable Object json) {
        return call(PlumRequest.patch(name(), path).json(json));
    }

    /**
     * Sends a DELETE.
     *
     * @param path the path, with a leading {@code /}
     * @return the answer, of any status
     * @throws PlumException as {@link #call}
     */
    default PlumResponse delete(String path) {
        return call(PlumRequest.delete(name(), path));
    }

    /**
     * Sends a HEAD.
     *
     * @param path the path, with a leading {@code /}
     * @return the answer, of any status
     * @throws PlumException as {@link #call}
     */
    default PlumResponse head(String path) {
        return call(PlumRequest.head(name(), path));
    }

    /**
     * Sends an OPTIONS.
     *
     * @param path the path, with a leading {@code /}
     * @return the answer, of any status
     * @throws PlumException as {@link #call}
     */
    default PlumResponse options(String path) {
        return call(PlumRequest.options(name(), path));
    }
}
