package io.plumline;

import java.time.Duration;
import java.util.Arrays;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * A request to a service by name. Immutable: every method returns another one, and one may be sent many times.
 *
 * <pre>{@code
 * plum.call(PlumRequest.post("orders", "/items").json(item).idempotent(true).timeout(Duration.ofMillis(800)));
 * }</pre>
 *
 * <p>The path begins with {@code /} and is escaped already; spaces and non-ASCII characters are escaped, {@code %XX}
 * is kept. What is wrong with a request (a header with a line break, say) is said when it is sent, as
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
     * A request with any method.
     *
     * @param method the method, such as {@code GET}
     * @param service the service's name
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
     * A GET request.
     *
     * @param service the service's name
     * @param path the path, with a leading {@code /}
     * @return the request
     */
    public static PlumRequest get(String service, String path) {
        return of("GET", service, path);
    }

    /**
     * A POST request.
     *
     * @param service the service's name
     * @param path the path, with a leading {@code /}
     * @return the request
     */
    public static PlumRequest post(String service, String path) {
        return of("POST", service, path);
    }

    /**
     * A PUT request.
     *
     * @param service the service's name
     * @param path the path, with a leading {@code /}
     * @return the request
     */
    public static PlumRequest put(String service, String path) {
        return of("PUT", service, path);
    }

    /**
     * A PATCH request.
     *
     * @param service the service's name
     * @param path the path, with a leading {@code /}
     * @return the request
     */
    public static PlumRequest patch(String service, String path) {
        return of("PATCH", service, path);
    }

    /**
     * A DELETE request.
     *
     * @param service the service's name
     * @param path the path, with a leading {@code /}
     * @return the request
     */
    public static PlumRequest delete(String service, String path) {
        return of("DELETE", service, path);
    }

    /**
     * A HEAD request.
     *
     * @param service the service's name
     * @param path the path, with a leading {@code /}
     * @return the request
     */
    public static PlumRequest head(String service, String path) {
        return of("HEAD", service, path);
    }

    /**
     * An OPTIONS request.
     *
     * @param service the service's name
     * @param path the path, with a leading {@code /}
     * @return the request
     */
    public static PlumRequest options(String service, String path) {
        return of("OPTIONS", service, path);
    }

    /**
     * Adds a query parameter, escaped; several of the same name are all sent.
     *
     * @param name its name
     * @param value its value, as {@link String#valueOf(Object)} writes it
     * @return another request
     */
    public PlumRequest param(String name, Object value) {
        Objects.requireNonNull(name, "name");
        Objects.requireNonNull(value, "value");
        return with(more(64).u8(1).text("params", name).text("params", value.toString()));
    }

    /**
     * Adds query parameters, escaped. A value that is iterable stands for its name several times.
     *
     * @param params names and values
     * @return another request
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
     * Adds a header; several of the same name are all sent.
     *
     * @param name its name
     * @param value its value
     * @return another request
     */
    public PlumRequest header(String name, String value) {
        Objects.requireNonNull(name, "name");
        Objects.requireNonNull(value, "value");
        return with(more(64).u8(2).text("headers", name).text("headers", value));
    }

    /**
     * Adds headers.
     *
     * @param headers names and values
     * @return another request
     */
    public PlumRequest headers(Map<String, String> headers) {
        PlumRequest request = this;
        for (Map.Entry<String, String> entry : headers.entrySet()) {
            request = request.header(entry.getKey(), entry.getValue());
        }
        return request;
    }

    /**
     * Sends a value as JSON, with {@code Content-Type: application/json} unless a header says otherwise.
     *
     * @param value what the {@link JsonCodec} writes
     * @return another request
     * @throws PlumUnsupportedException where there is no codec
     * @throws PlumInvalidArgumentException for a value that cannot be written, or a second body
     */
    public PlumRequest json(@Nullable Object value) {
        return json(value, JsonCodec.standard());
    }

    /**
     * The same with a codec of one's own.
     *
     * @param value what the codec writes
     * @param codec the codec
     * @return another request
     * @throws PlumInvalidArgumentException for a value that cannot be written, or a second body
     */
    public PlumRequest json(@Nullable Object value, JsonCodec codec) {
        return body(4, JsonCodec.encode(codec, value));
    }

    /**
     * Sends these bytes.
     *
     * @param content the body; copied
     * @return another request
     * @throws PlumInvalidArgumentException for a second body
     */
    public PlumRequest content(byte[] content) {
        return body(3, Objects.requireNonNull(content, "content"));
    }

    /**
     * Sends this text as UTF-8.
     *
     * @param content the body
     * @return another request
     * @throws PlumInvalidArgumentException for a second body
     */
    public PlumRequest content(String content) {
        return body(3, FrameWriter.bytesOf("content", Objects.requireNonNull(content, "content")));
    }

    /**
     * Sends a form, as {@code application/x-www-form-urlencoded}. A value that is iterable stands for its name several
     * times.
     *
     * @param fields names and values
     * @return another request
     * @throws PlumInvalidArgumentException for a second body
     */
    public PlumRequest form(Map<String, ?> fields) {
        return form(fields.entrySet());
    }

    /**
     * The same in an order of one's own; names may come several times.
     *
     * @param fields names and values
     * @return another request
     * @throws PlumInvalidArgumentException for a second body
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
        onlyBody();
        FrameWriter more = more(8 + form.length()).u8(5).u32(count).raw(form.done(), 0, form.length());
        return new PlumRequest(method, service, path, more.done(), filtered, true);
    }

    /**
     * Sets how long the whole call may take.
     *
     * @param timeout longer than nothing
     * @return another request
     */
    public PlumRequest timeout(Duration timeout) {
        return with(more(16).u8(6).u64(Times.nanos("timeout", timeout)));
    }

    /**
     * Sets how long one attempt may take.
     *
     * @param timeout longer than nothing
     * @return another request
     */
    public PlumRequest attemptTimeout(Duration timeout) {
        return with(more(16).u8(7).u64(Times.nanos("attempt_timeout", timeout)));
    }

    /**
     * Sets how many attempts are made at most, the first included.
     *
     * @param attempts at least 1
     * @return another request
     * @throws PlumInvalidArgumentException for a negative number
     */
    public PlumRequest attempts(int attempts) {
        if (attempts < 0) {
            throw new PlumInvalidArgumentException("attempts is " + attempts + "; it must be a count");
        }
        return with(more(8).u8(8).u32(attempts));
    }

    /**
     * Says whether the service may see it twice; by default only for GET, HEAD, OPTIONS, PUT and DELETE.
     *
     * @param idempotent whether it may
     * @return another request
     */
    public PlumRequest idempotent(boolean idempotent) {
        return with(more(8).u8(9).u8(idempotent ? 1 : 0));
    }

    /**
     * Sets the largest response body taken, after decompression.
     *
     * @param bytes a number of bytes
     * @return another request
     * @throws PlumInvalidArgumentException for a negative number
     */
    public PlumRequest maxBody(long bytes) {
        if (bytes < 0) {
            throw new PlumInvalidArgumentException("max_body is " + bytes + "; it must be a count");
        }
        return with(more(16).u8(10).u64(bytes));
    }

    /**
     * Narrows it to endpoints of this version.
     *
     * @param version the version
     * @return another request
     */
    public PlumRequest version(String version) {
        Objects.requireNonNull(version, "version");
        return filtered(more(64).u8(11).text("version", version));
    }

    /**
     * Narrows it to endpoints with this label.
     *
     * @param name the label's name
     * @param value the label's value
     * @return another request
     */
    public PlumRequest label(String name, String value) {
        Objects.requireNonNull(name, "name");
        Objects.requireNonNull(value, "value");
        return filtered(more(64).u8(12).text("labels", name).text("labels", value));
    }

    /**
     * Narrows it to endpoints with these labels.
     *
     * @param labels names and values
     * @return another request
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
     * The service it goes to.
     *
     * @return its name
     */
    public String service() {
        return service;
    }

    /**
     * The path it was made with.
     *
     * @return the path, without what {@link #param} has added
     */
    public String path() {
        return path;
    }

    private FrameWriter more(int size) {
        return new FrameWriter(frame, size);
    }

    private PlumRequest with(FrameWriter more) {
        return new PlumRequest(method, service, path, more.done(), filtered, hasBody);
    }

    private PlumRequest filtered(FrameWriter more) {
        return new PlumRequest(method, service, path, more.done(), true, hasBody);
    }

    private PlumRequest body(int tag, byte[] content) {
        onlyBody();
        FrameWriter more = more(8 + Math.min(content.length, Integer.MAX_VALUE - 64 - frame.length));
        return new PlumRequest(
                method, service, path, more.u8(tag).bytes(content).done(), filtered, true);
    }

    private void onlyBody() {
        if (hasBody) {
            throw new PlumInvalidArgumentException("pass only one of json, content and form");
        }
    }

    byte[] frame() {
        return frame;
    }

    /** Whether it asks for some endpoints only. */
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
