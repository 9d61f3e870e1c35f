package io.plumline;

import java.lang.reflect.Type;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;

/** One attempt's request, as it is about to be sent: what hooks and transports see. */
public final class OutgoingRequest {
    private final NativeClient client;
    private final String method;
    private final String service;
    private final String path;
    private final int attempt;
    private final Map<String, List<String>> headers;
    private final byte[] content;
    private final FrameWriter set = new FrameWriter(64);

    OutgoingRequest(NativeClient client, FrameReader frame) {
        this.client = client;
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
     * The service that was asked for.
     *
     * @return its name
     */
    public String service() {
        return service;
    }

    /**
     * Path and query, escaped.
     *
     * @return the path
     */
    public String path() {
        return path;
    }

    /**
     * Which attempt this is.
     *
     * @return from 1
     */
    public int attempt() {
        return attempt;
    }

    /**
     * Every header but Host and Content-Length.
     *
     * @return each name with its values; names are looked up without regard to case
     */
    public Map<String, List<String>> headers() {
        return Collections.unmodifiableMap(headers);
    }

    /**
     * The body.
     *
     * @return a copy; empty where there is none
     */
    public byte[] content() {
        return Arrays.copyOf(content, content.length);
    }

    /**
     * The body read as JSON.
     *
     * @param <T> what it is read as
     * @param type what it is read as
     * @return what the {@link JsonCodec} has read
     * @throws PlumProtocolException if it is no such JSON; the codec's exception is the cause
     */
    public <T> T json(Class<T> type) {
        try {
            @SuppressWarnings("unchecked") // the codec's word
            T value = (T) JsonCodec.standard().read(content, 0, content.length, (Type) type);
            return value;
        } catch (PlumException error) {
            throw error;
        } catch (Exception error) {
            String message = "the content is not the JSON expected: " + error.getMessage();
            throw PlumException.of(Kind.PROTOCOL, message, PlumException.Story.NONE, error);
        }
    }

    /**
     * Sets a header, replacing any of that name. Of use in a {@link RequestHook} only.
     *
     * @param name its name
     * @param value its value
     * @throws PlumInvalidArgumentException for what would break out of its header, or follows from the request
     */
    public void setHeader(String name, String value) {
        Objects.requireNonNull(name, "name");
        Objects.requireNonNull(value, "value");
        client.checkHeader(name, value);
        set.text("a header name", name).text("a header value", value);
        headers.put(name, new ArrayList<>(List.of(value)));
    }

    /** The headers that were set. */
    byte[] changes() {
        return set.done();
    }

    @Override
    public String toString() {
        return "OutgoingRequest[" + method + " \"" + service + "\" " + path + "]";
    }
}
