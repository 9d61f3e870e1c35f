package io.plumline;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.plumline.internal.EndpointCache;
import io.plumline.internal.FrameReader;
import io.plumline.internal.FrameWriter;
import io.plumline.internal.HeaderFields;
import java.lang.reflect.Type;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * An HTTP response of any status, with the attempts of the call. Immutable. Responses are equal if status, headers and
 * body are equal; the endpoint does not matter.
 *
 * <p>{@link #of} and {@link #builder} create responses for tests.
 */
public final class PlumResponse {
    static {
        InternalAccess.install();
    }

    // The frame: status u16, attempts u32, elapsed u64, offsets of endpoint, trace and body u32 each; then the headers.
    private static final int ENDPOINT_OFFSET_AT = 14;
    private static final int TRACE_OFFSET_AT = 18;
    private static final int BODY_OFFSET_AT = 22;
    private static final int HEADERS = 26;

    private final String service;
    private final byte[] frame;
    private final int endpointAt;
    private final int traceAt;
    private final int bodyAt;
    private final int status;
    private final int attempts;
    private final long elapsed;
    private @Nullable Endpoint endpoint;
    private @Nullable Map<String, List<String>> headers;

    PlumResponse(String service, byte[] frame) {
        this.service = service;
        this.frame = frame;
        FrameReader head = new FrameReader(frame);
        status = head.u16();
        attempts = head.count();
        elapsed = head.u64();
        endpointAt = head.u32();
        traceAt = head.u32();
        bodyAt = head.u32();
    }

    /**
     * Creates a response without a body, for tests.
     *
     * @param status from 200 to 599
     * @return the response
     * @throws PlumInvalidArgumentException if the status is out of range
     */
    public static PlumResponse of(int status) {
        return builder(status).build();
    }

    /**
     * Creates a response with a text body, for tests.
     *
     * @param status from 200 to 599
     * @param content the body
     * @return the response
     * @throws PlumInvalidArgumentException if the status is out of range
     */
    public static PlumResponse of(int status, String content) {
        return builder(status).content(Objects.requireNonNull(content, "content")).build();
    }

    /**
     * Creates a response with a JSON body, for tests.
     *
     * @param status from 200 to 599
     * @param value a value that the {@link JsonCodec} writes
     * @return the response
     * @throws PlumInvalidArgumentException if the status is out of range
     */
    public static PlumResponse ofJson(int status, @Nullable Object value) {
        return builder(status).json(value).build();
    }

    /**
     * Returns a builder of a response, for tests.
     *
     * @param status from 200 to 599
     * @return the builder
     * @throws PlumInvalidArgumentException if the status is out of range
     */
    public static Builder builder(int status) {
        return new Builder(status);
    }

    /**
     * The status.
     *
     * @return 200 to 599
     */
    public int statusCode() {
        return status;
    }

    /**
     * Whether the status is 2xx.
     *
     * @return true for 200 to 299
     */
    public boolean isSuccess() {
        return status >= 200 && status < 300;
    }

    /**
     * The value of a header; the first one if there are several of that name.
     *
     * @param name the name; upper and lower case do not matter
     * @return the value; empty if there is no such header
     */
    public Optional<String> header(String name) {
        return HeaderFields.find(new FrameReader(frame, HEADERS), Objects.requireNonNull(name, "name"));
    }

    /**
     * All headers.
     *
     * @return each name with its values in order; upper and lower case of names do not matter
     */
    public Map<String, List<String>> headers() {
        Map<String, List<String>> known = headers;
        if (known == null) {
            known = HeaderFields.map(new FrameReader(frame, HEADERS));
            headers = known;
        }
        return known;
    }

    /**
     * The body, decompressed.
     *
     * @return a copy
     */
    public byte[] body() {
        return Arrays.copyOfRange(frame, bodyAt, frame.length);
    }

    /**
     * The body as text. Bytes that are not valid UTF-8 become �.
     *
     * @return the text
     */
    public String text() {
        return new String(frame, bodyAt, frame.length - bodyAt, UTF_8);
    }

    /**
     * Reads the body as JSON.
     *
     * @param <T> the type of the value
     * @param type the type of the value
     * @return the value that the {@link JsonCodec} reads
     * @throws PlumProtocolException if the body is not valid JSON for the type; the cause is the exception of the codec
     * @throws PlumUnsupportedException if there is no codec
     */
    public <T> T json(Class<T> type) {
        @SuppressWarnings("unchecked") // the codec returns a value of the type
        T value = (T) json((Type) type);
        return value;
    }

    /**
     * Reads the body as JSON of a generic type, such as the type that a {@code TypeToken<List<Item>>} of Gson returns.
     *
     * @param type the type of the value
     * @return the value that the {@link JsonCodec} reads
     * @throws PlumProtocolException if the body is not valid JSON for the type; the cause is the exception of the codec
     * @throws PlumUnsupportedException if there is no codec
     */
    public Object json(Type type) {
        return json(type, JsonCodec.standard());
    }

    /**
     * Reads the body as JSON with another codec.
     *
     * @param type the type of the value
     * @param codec the codec
     * @return the value that the codec reads
     * @throws PlumProtocolException if the body is not valid JSON for the type; the cause is the exception of the codec
     */
    public Object json(Type type, JsonCodec codec) {
        Objects.requireNonNull(type, "type");
        try {
            return codec.read(frame, bodyAt, frame.length - bodyAt, type);
        } catch (Exception error) {
            String message = "the body of " + endpoint().address() + " is not valid JSON for the type: "
                    + String.valueOf(error.getMessage()).replaceAll("\\p{Cntrl}", " ");
            throw PlumException.of(Kind.PROTOCOL, message, details(), error);
        }
    }

    /**
     * Throws an exception if the status is 4xx or 5xx.
     *
     * @return this response
     * @throws PlumStatusException if the status is 400 or higher
     */
    public PlumResponse raiseForStatus() {
        if (status < 400) {
            return this;
        }
        String message =
                "\"" + service + "\" answered " + status + " from " + endpoint().address();
        throw PlumException.of(Kind.STATUS, message, details(), null);
    }

    private PlumException.Details details() {
        return new PlumException.Details(service, endpoint(), attempts, trace());
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
     * The endpoint that responded.
     *
     * @return the endpoint
     */
    public Endpoint endpoint() {
        Endpoint known = endpoint;
        if (known == null) {
            known = EndpointCache.read(new FrameReader(frame, endpointAt));
            endpoint = known;
        }
        return known;
    }

    /**
     * How many attempts the call needed.
     *
     * @return the number of attempts
     */
    public int attempts() {
        return attempts;
    }

    /**
     * The result of each attempt, in order. The last one is this response.
     *
     * @return the steps
     */
    public List<TraceStep> trace() {
        return TraceStep.readList(new FrameReader(frame, traceAt), endpoint());
    }

    /**
     * The duration of the whole call.
     *
     * @return the duration
     */
    public Duration elapsed() {
        return Duration.ofNanos(elapsed);
    }

    /** Writes status, headers and body: the response of a transport. */
    void write(FrameWriter out) {
        out.u16(status).raw(frame, HEADERS, endpointAt - HEADERS);
        out.u32(frame.length - bodyAt).raw(frame, bodyAt, frame.length - bodyAt);
    }

    @Override
    public boolean equals(@Nullable Object other) {
        if (!(other instanceof PlumResponse)) {
            return false;
        }
        PlumResponse that = (PlumResponse) other;
        return status == that.status
                && Arrays.equals(frame, bodyAt, frame.length, that.frame, that.bodyAt, that.frame.length)
                && headers().equals(that.headers());
    }

    @Override
    public int hashCode() {
        return 31 * status + (frame.length - bodyAt);
    }

    @Override
    public String toString() {
        return "PlumResponse[" + status + ", " + (frame.length - bodyAt) + " bytes]";
    }

    /** Builds a response, for tests. */
    public static final class Builder {
        private static final Endpoint NO_ENDPOINT = Endpoint.of("", "0.0.0.0", 0);

        private final int status;
        private final FrameWriter fields = new FrameWriter(64);
        private int fieldCount;
        private byte[] content = new byte[0];
        private boolean hasContentType;
        private Endpoint endpoint = NO_ENDPOINT;

        private Builder(int status) {
            if (status < 200 || status > 599) {
                throw new PlumInvalidArgumentException("status_code is " + status + "; it must be from 200 to 599");
            }
            this.status = status;
        }

        /**
         * Adds a header.
         *
         * @param name the name
         * @param value the value
         * @return this
         */
        public Builder header(String name, String value) {
            hasContentType |= name.equalsIgnoreCase("content-type");
            fields.text("a header name", name).text("a header value", Objects.requireNonNull(value, "value"));
            fieldCount++;
            return this;
        }

        /**
         * Sets the body.
         *
         * @param content the bytes; {@link #build} copies them
         * @return this
         */
        public Builder content(byte[] content) {
            this.content = Objects.requireNonNull(content, "content");
            return this;
        }

        /**
         * Sets the body to text, encoded as UTF-8.
         *
         * @param content the text
         * @return this
         */
        public Builder content(String content) {
            return content(FrameWriter.bytesOf("content", content));
        }

        /**
         * Sets the body to JSON, and {@code Content-Type} unless it is set already.
         *
         * @param value a value that the {@link JsonCodec} writes
         * @return this
         */
        public Builder json(@Nullable Object value) {
            if (!hasContentType) {
                header("Content-Type", "application/json");
            }
            return content(JsonCodec.encode(JsonCodec.standard(), value));
        }

        /**
         * Sets the endpoint that responded.
         *
         * @param endpoint the endpoint
         * @return this
         */
        public Builder endpoint(Endpoint endpoint) {
            this.endpoint = Objects.requireNonNull(endpoint, "endpoint");
            return this;
        }

        /**
         * Builds the response.
         *
         * @return the response of a call with one attempt
         */
        public PlumResponse build() {
            byte[] headers = fields.done();
            FrameWriter frame = new FrameWriter(256 + headers.length + content.length);
            frame.u16(status).u32(1).u64(0).u32(0).u32(0).u32(0);
            frame.u32(fieldCount).raw(headers, 0, headers.length);
            frame.u32At(ENDPOINT_OFFSET_AT, frame.length());
            int recordLengthAt = frame.length() + 4;
            endpoint.write(frame.u32(0).u32(0));
            frame.u32At(recordLengthAt, frame.length() - recordLengthAt - 4);
            frame.u32At(TRACE_OFFSET_AT, frame.length()).u32(1).u8(0).u8(0).u16(status).u64(0);
            frame.u32At(BODY_OFFSET_AT, frame.length()).raw(content, 0, content.length);
            return new PlumResponse(endpoint.service(), frame.done());
        }
    }
}
