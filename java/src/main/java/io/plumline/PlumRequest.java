package io.plumline;

import io.plumline.internal.Durations;
import io.plumline.internal.FrameWriter;
import java.time.Duration;
import java.util.Arrays;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * A request to a service by name. Immutable: each setter returns a new request, and a request can be sent many times.
 *
 * <pre>{@code
 * plum.call(PlumRequest.post("orders", "/items").json(item).idempotent(true).timeout(Duration.ofMillis(800)));
 * }</pre>
 *
 * <p>The path begins with {@code /} and is expected in escaped form: {@code %XX} is kept. Spaces and non-ASCII characters
 * are escaped. An invalid request, such as one with a line break in a header, is rejected when it is sent, with a
 * {@link PlumInvalidArgumentException}.
 */
public final class PlumRequest {
    private final String method;
    private final String service;
    private final String path;
    private final byte[] frame;
    private final boolean filtered;
    private final boolean hasBody;

    private PlumRequest(String method, String service, String path, byte[] frame, boolean filtered, boolean hasBody) {
        this.method = method;
        this.service = service;
        this.path = path;
        this.frame = frame;
        this.filtered = filtered;
        this.hasBody = hasBody;
    }

    /**
     * Creates a request with any method.
     *
     * @param method the method, such as {@code GET}
     * @param service the name of the service
     * @param path the path, with a leading {@code /}
     * @return the request
     */
    public static PlumRequest of(String method, String service, String path) {
        Objects.requireNonNull(method, "method");
        Objects.requireNonNull(service, "service");
        Objects.requireNonNull(path, "path");
        int size = 16 + method.length() + service.length() + path.length();
        FrameWriter frame = new FrameWriter(size).text("method", method).text("service", service);
        return new PlumRequest(method, service, path, frame.text("path", path).done(), false, false);
    }

    /**
     * Creates a GET request.
     *
     * @param service the name of the service
     * @param path the path, with a leading {@code /}
     * @return the request
     */
    public static PlumRequest get(String service, String path) {
        return of("GET", service, path);
    }

    /**
     * Creates a POST request.
     *
     * @param service the name of the service
     * @param path the path, with a leading {@code /}
     * @return the request
     */
    public static PlumRequest post(String service, String path) {
        return of("POST", service, path);
    }

    /**
     * Creates a PUT request.
     *
     * @param service the name of the service
     * @param path the path, with a leading {@code /}
     * @return the request
     */
    public static PlumRequest put(String service, String path) {
        return of("PUT", service, path);
    }

    /**
     * Creates a PATCH request.
     *
     * @param service the name of the service
     * @param path the path, with a leading {@code /}
     * @return the request
     */
    public static PlumRequest patch(String service, String path) {
        return of("PATCH", service, path);
    }

    /**
     * Creates a DELETE request.
     *
     * @param service the name of the service
     * @param path the path, with a leading {@code /}
     * @return the request
     */
    public static PlumRequest delete(String service, String path) {
        return of("DELETE", service, path);
    }

    /**
     * Creates a HEAD request.
     *
     * @param service the name of the service
     * @param path the path, with a leading {@code /}
     * @return the request
     */
    public static PlumRequest head(String service, String path) {
        return of("HEAD", service, path);
    }

    /**
     * Creates an OPTIONS request.
     *
     * @param service the name of the service
     * @param path the path, with a leading {@code /}
     * @return the request
     */
    public static PlumRequest options(String service, String path) {
        return of("OPTIONS", service, path);
    }

    /**
     * Adds a query parameter. The client escapes it. Parameters of the same name are all sent.
     *
     * @param name the name
     * @param value the value, converted by {@link String#valueOf(Object)}
     * @return a new request
     */
    public PlumRequest param(String name, Object value) {
        Objects.requireNonNull(name, "name");
        Objects.requireNonNull(value, "value");
        return with(append(64).u8(1).text("params", name).text("params", value.toString()));
    }

    /**
     * Adds query parameters. The client escapes them. An iterable value adds one parameter for each element.
     *
     * @param params names and values
     * @return a new request
     */
    public PlumRequest params(Map<String, ?> params) {
        PlumRequest request = this;
        for (Map.Entry<String, ?> entry : params.entrySet()) {
            Object value = Objects.requireNonNull(entry.getValue(), entry.getKey());
            if (value.getClass().isArray()) {
                throw new PlumInvalidArgumentException("the parameter " + entry.getKey() + " is an array; pass a list");
            }
            for (Object one : value instanceof Iterable ? (Iterable<?>) value : Arrays.asList(value)) {
                request = request.param(entry.getKey(), one);
            }
        }
        return request;
    }

    /**
     * Adds a header. Headers of the same name are all sent.
     *
     * @param name the name
     * @param value the value
     * @return a new request
     */
    public PlumRequest header(String name, String value) {
        Objects.requireNonNull(name, "name");
        Objects.requireNonNull(value, "value");
        return with(append(64).u8(2).text("headers", name).text("headers", value));
    }

    /**
     * Adds headers.
     *
     * @param headers names and values
     * @return a new request
     */
    public PlumRequest headers(Map<String, String> headers) {
        PlumRequest request = this;
        for (Map.Entry<String, String> entry : headers.entrySet()) {
            request = request.header(entry.getKey(), entry.getValue());
        }
        return request;
    }

    /**
     * Sets the body to a value as JSON, with {@code Content-Type: application/json} unless that header is set.
     *
     * @param value a value that the {@link JsonCodec} writes
     * @return a new request
     * @throws PlumUnsupportedException if there is no codec
     * @throws PlumInvalidArgumentException if the value cannot be written, or a body is set already
     */
    public PlumRequest json(@Nullable Object value) {
        return json(value, JsonCodec.standard());
    }

    /**
     * Sets the body to a value as JSON, written by another codec.
     *
     * @param value a value that the codec writes
     * @param codec the codec
     * @return a new request
     * @throws PlumInvalidArgumentException if the value cannot be written, or a body is set already
     */
    public PlumRequest json(@Nullable Object value, JsonCodec codec) {
        return body(4, JsonCodec.encode(codec, value));
    }

    /**
     * Sets the body.
     *
     * @param content the body; it is copied
     * @return a new request
     * @throws PlumInvalidArgumentException if a body is set already
     */
    public PlumRequest content(byte[] content) {
        return body(3, Objects.requireNonNull(content, "content"));
    }

    /**
     * Sets the body to text, encoded as UTF-8.
     *
     * @param content the body
     * @return a new request
     * @throws PlumInvalidArgumentException if a body is set already
     */
    public PlumRequest content(String content) {
        return body(3, FrameWriter.bytesOf("content", Objects.requireNonNull(content, "content")));
    }

    /**
     * Sets the body to a form, encoded as {@code application/x-www-form-urlencoded}. An iterable value adds one field for
     * each element.
     *
     * @param fields names and values
     * @return a new request
     * @throws PlumInvalidArgumentException if a body is set already
     */
    public PlumRequest form(Map<String, ?> fields) {
        return form(fields.entrySet());
    }

    /**
     * Sets the body to a form with fields in this order. A name may occur several times.
     *
     * @param fields names and values
     * @return a new request
     * @throws PlumInvalidArgumentException if a body is set already
     */
    public PlumRequest form(Iterable<? extends Map.Entry<String, ?>> fields) {
        FrameWriter form = new FrameWriter(256);
        int count = 0;
        for (Map.Entry<String, ?> entry : fields) {
            Object value = Objects.requireNonNull(entry.getValue(), entry.getKey());
            for (Object one : value instanceof Iterable ? (Iterable<?>) value : Arrays.asList(value)) {
                form.text("form", entry.getKey()).text("form", one.toString());
                count++;
            }
        }
        requireNoBody();
        FrameWriter more = append(8 + form.length()).u8(5).u32(count).raw(form.done(), 0, form.length());
        return new PlumRequest(method, service, path, more.done(), filtered, true);
    }

    /**
     * Sets the timeout of the whole call.
     *
     * @param timeout must be greater than 0
     * @return a new request
     */
    public PlumRequest timeout(Duration timeout) {
        return with(append(16).u8(6).u64(Durations.nanos("timeout", timeout)));
    }

    /**
     * Sets the timeout of one attempt.
     *
     * @param timeout must be greater than 0
     * @return a new request
     */
    public PlumRequest attemptTimeout(Duration timeout) {
        return with(append(16).u8(7).u64(Durations.nanos("attempt_timeout", timeout)));
    }

    /**
     * Sets the maximum number of attempts, including the first.
     *
     * @param attempts at least 1
     * @return a new request
     * @throws PlumInvalidArgumentException if the number is negative
     */
    public PlumRequest attempts(int attempts) {
        if (attempts < 0) {
            throw new PlumInvalidArgumentException("attempts is " + attempts + "; it must not be negative");
        }
        return with(append(8).u8(8).u32(attempts));
    }

    /**
     * Sets whether the request may be sent more than once. The default is true for GET, HEAD, OPTIONS, PUT and DELETE.
     *
     * @param idempotent true if sending it twice does no harm
     * @return a new request
     */
    public PlumRequest idempotent(boolean idempotent) {
        return with(append(8).u8(9).u8(idempotent ? 1 : 0));
    }

    /**
     * Sets the maximum size of the response body, after decompression.
     *
     * @param bytes the size in bytes
     * @return a new request
     * @throws PlumInvalidArgumentException if the number is negative
     */
    public PlumRequest maxBody(long bytes) {
        if (bytes < 0) {
            throw new PlumInvalidArgumentException("max_body is " + bytes + "; it must not be negative");
        }
        return with(append(16).u8(10).u64(bytes));
    }

    /**
     * Limits the request to endpoints of this version.
     *
     * @param version the version
     * @return a new request
     */
    public PlumRequest version(String version) {
        Objects.requireNonNull(version, "version");
        return filtered(append(64).u8(11).text("version", version));
    }

    /**
     * Limits the request to endpoints with this label.
     *
     * @param name the name of the label
     * @param value the value of the label
     * @return a new request
     */
    public PlumRequest label(String name, String value) {
        Objects.requireNonNull(name, "name");
        Objects.requireNonNull(value, "value");
        return filtered(append(64).u8(12).text("labels", name).text("labels", value));
    }

    /**
     * Limits the request to endpoints with these labels.
     *
     * @param labels names and values
     * @return a new request
     */
    public PlumRequest labels(Map<String, String> labels) {
        PlumRequest request = this;
        for (Map.Entry<String, String> entry : labels.entrySet()) {
            request = request.label(entry.getKey(), entry.getValue());
        }
        return request;
    }

    /**
     * The method.
     *
     * @return the method, such as {@code GET}
     */
    public String method() {
        return method;
    }

    /**
     * The service.
     *
     * @return its name
     */
    public String service() {
        return service;
    }

    /**
     * The path.
     *
     * @return the path, without parameters added by {@link #param}
     */
    public String path() {
        return path;
    }

    private FrameWriter append(int size) {
        return new FrameWriter(frame, size);
    }

    private PlumRequest with(FrameWriter frame) {
        return new PlumRequest(method, service, path, frame.done(), filtered, hasBody);
    }

    private PlumRequest filtered(FrameWriter frame) {
        return new PlumRequest(method, service, path, frame.done(), true, hasBody);
    }

    private PlumRequest body(int tag, byte[] content) {
        requireNoBody();
        FrameWriter more = append(8 + Math.min(content.length, Integer.MAX_VALUE - 64 - frame.length));
        return new PlumRequest(
                method, service, path, more.u8(tag).bytes(content).done(), filtered, true);
    }

    private void requireNoBody() {
        if (hasBody) {
            throw new PlumInvalidArgumentException("pass only one of json, content and form");
        }
    }

    byte[] frame() {
        return frame;
    }

    /** Whether it is limited to some endpoints of its service. */
    boolean isFiltered() {
        return filtered;
    }

    @Override
    public boolean equals(@Nullable Object other) {
        return other instanceof PlumRequest && Arrays.equals(frame, ((PlumRequest) other).frame);
    }

    @Override
    public int hashCode() {
        return Arrays.hashCode(frame);
    }

    @Override
    public String toString() {
        return "PlumRequest[" + method + " \"" + service + "\" " + path + "]";
    }
}
