package io.plumline;

import org.jspecify.annotations.Nullable;

/** A handle of a service, or of some of its endpoints. Many calls or picks are faster through a handle. */
public interface PlumService {
    /**
     * The name of the service.
     *
     * @return the name
     */
    String name();

    /**
     * Chooses an endpoint for one use with any protocol. The caller reports the outcome to the pick.
     *
     * @return the pick
     * @throws PlumNoEndpointException if there is no endpoint; the message says why
     * @throws PlumClosedException if the client is closed
     */
    Pick pick();

    /**
     * Makes a call.
     *
     * @param request a request to this service, without version and labels; set those in the {@link Query} of the handle
     * @return the response, of any status
     * @throws PlumException if there was no response; there is one subclass for each kind of failure
     */
    PlumResponse call(PlumRequest request);

    /**
     * Sends a GET.
     *
     * @param path the path, with a leading {@code /}
     * @return the response, of any status
     * @throws PlumException see {@link #call}
     */
    default PlumResponse get(String path) {
        return call(PlumRequest.get(name(), path));
    }

    /**
     * Sends a POST without a body.
     *
     * @param path the path, with a leading {@code /}
     * @return the response, of any status
     * @throws PlumException see {@link #call}
     */
    default PlumResponse post(String path) {
        return call(PlumRequest.post(name(), path));
    }

    /**
     * Sends a POST with JSON.
     *
     * @param path the path, with a leading {@code /}
     * @param json a value that the {@link JsonCodec} writes
     * @return the response, of any status
     * @throws PlumException see {@link #call}
     */
    default PlumResponse post(String path, @Nullable Object json) {
        return call(PlumRequest.post(name(), path).json(json));
    }

    /**
     * Sends a PUT without a body.
     *
     * @param path the path, with a leading {@code /}
     * @return the response, of any status
     * @throws PlumException see {@link #call}
     */
    default PlumResponse put(String path) {
        return call(PlumRequest.put(name(), path));
    }

    /**
     * Sends a PUT with JSON.
     *
     * @param path the path, with a leading {@code /}
     * @param json a value that the {@link JsonCodec} writes
     * @return the response, of any status
     * @throws PlumException see {@link #call}
     */
    default PlumResponse put(String path, @Nullable Object json) {
        return call(PlumRequest.put(name(), path).json(json));
    }

    /**
     * Sends a PATCH without a body.
     *
     * @param path the path, with a leading {@code /}
     * @return the response, of any status
     * @throws PlumException see {@link #call}
     */
    default PlumResponse patch(String path) {
        return call(PlumRequest.patch(name(), path));
    }

    /**
     * Sends a PATCH with JSON.
     *
     * @param path the path, with a leading {@code /}
     * @param json a value that the {@link JsonCodec} writes
     * @return the response, of any status
     * @throws PlumException see {@link #call}
     */
    default PlumResponse patch(String path, @Nullable Object json) {
        return call(PlumRequest.patch(name(), path).json(json));
    }

    /**
     * Sends a DELETE.
     *
     * @param path the path, with a leading {@code /}
     * @return the response, of any status
     * @throws PlumException see {@link #call}
     */
    default PlumResponse delete(String path) {
        return call(PlumRequest.delete(name(), path));
    }

    /**
     * Sends a HEAD.
     *
     * @param path the path, with a leading {@code /}
     * @return the response, of any status
     * @throws PlumException see {@link #call}
     */
    default PlumResponse head(String path) {
        return call(PlumRequest.head(name(), path));
    }

    /**
     * Sends an OPTIONS.
     *
     * @param path the path, with a leading {@code /}
     * @return the response, of any status
     * @throws PlumException see {@link #call}
     */
    default PlumResponse options(String path) {
        return call(PlumRequest.options(name(), path));
    }
}
