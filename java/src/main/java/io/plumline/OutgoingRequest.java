package io.plumline;

import io.plumline.internal.FrameReader;
import io.plumline.internal.FrameWriter;
import io.plumline.internal.NativeLibrary;
import java.lang.reflect.Type;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;

/** The request of one attempt, as hooks and transports receive it. */
public final class OutgoingRequest {
    private final String method;
    private final String service;
    private final String path;
    private final int attempt;
    private final Map<String, List<String>> headers;
    private final byte[] content;
    private final FrameWriter headersSet = new FrameWriter(64);

    OutgoingRequest(FrameReader frame) {
        method = frame.text();
        service = frame.text();
        path = frame.text();
        attempt = frame.count();
        headers = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
        int count = frame.u32();
        for (int n = 0; n < count; n++) {
            headers.computeIfAbsent(frame.text(), name -> new ArrayList<>(1)).add(frame.text());
        }
        content = frame.bytes();
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
     * The service of the call.
     *
     * @return its name
     */
    public String service() {
        return service;
    }

    /**
     * Path and query string, escaped.
     *
     * @return the path
     */
    public String path() {
        return path;
    }

    /**
     * The number of the attempt.
     *
     * @return 1 for the first attempt
     */
    public int attempt() {
        return attempt;
    }

    /**
     * All headers except Host and Content-Length.
     *
     * @return each name with its values; upper and lower case of names do not matter
     */
    public Map<String, List<String>> headers() {
        return Collections.unmodifiableMap(headers);
    }

    /**
     * The body.
     *
     * @return a copy; empty if there is no body
     */
    public byte[] content() {
        return Arrays.copyOf(content, content.length);
    }

    /**
     * Reads the body as JSON.
     *
     * @param <T> the type of the value
     * @param type the type of the value
     * @return the value that the {@link JsonCodec} reads
     * @throws PlumProtocolException if the body is not valid JSON for the type; the cause is the exception of the codec
     */
    public <T> T json(Class<T> type) {
        try {
            @SuppressWarnings("unchecked") // the codec returns a value of the type
            T value = (T) JsonCodec.standard().read(content, 0, content.length, (Type) type);
            return value;
        } catch (PlumException error) {
            throw error;
        } catch (Exception error) {
            String message = "the content is not valid JSON for the type: " + error.getMessage();
            throw PlumException.of(Kind.PROTOCOL, message, PlumException.Details.NONE, error);
        }
    }

    /**
     * Sets a header, replacing all headers of that name. Has an effect in a {@link RequestHook} only.
     *
     * @param name the name
     * @param value the value
     * @throws PlumInvalidArgumentException if name or value contain invalid characters, or if the client computes this header
     */
    public void setHeader(String name, String value) {
        Objects.requireNonNull(name, "name");
        Objects.requireNonNull(value, "value");
        NativeLibrary.get().checkHeader(name, value);
        headersSet.text("a header name", name).text("a header value", value);
        headers.put(name, new ArrayList<>(List.of(value)));
    }

    /** Names and values passed to {@link #setHeader}. */
    byte[] headersSet() {
        return headersSet.done();
    }

    @Override
    public String toString() {
        return "OutgoingRequest[" + method + " \"" + service + "\" " + path + "]";
    }
}
