package io.plumline;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.lang.reflect.Type;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * An HTTP answer of any status, and how it was come by. Immutable. Equal are answers with the same status, headers
 * and body, whoever gave them.
 *
 * <p>{@link #of} and {@link #builder} make one for tests.
 */
public final class PlumResponse {
    // status u16, attempts u32, elapsed u64, places of endpoint, trace and body u32; then the headers.
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
     * An answer without a body, for tests.
     *
     * @param status from 200 to 599
     * @return the answer
     * @throws PlumInvalidArgumentException for another status
     */
    public static PlumResponse of(int status) {
        return builder(status).build();
    }

    /**
     * An answer with a text, for tests.
     *
     * @param status from 200 to 599
     * @param content the body
     * @return the answer
     * @throws PlumInvalidArgumentException for another status
     */
    public static PlumResponse of(int status, String content) {
        return builder(status).content(Objects.requireNonNull(content, "content")).build();
    }

    /**
     * An answer with JSON, for tests.
     *
     * @param status from 200 to 599
     * @param value what the {@link JsonCodec} writes
     * @return the answer
     * @throws PlumInvalidArgumentException for another status
     */
    public static PlumResponse ofJson(int status, @Nullable Object value) {
        return builder(status).json(value).build();
    }

    /**
     * Puts an answer together, for tests.
     *
     * @param status from 200 to 599
     * @return a builder
     * @throws PlumInvalidArgumentException for another status
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
     * @return true for a success, false for a redirect or an error
     */
    public boolean isSuccess() {
        return status >= 200 && status < 300;
    }

    /**
     * The first header of that name.
     *
     * @param name its name, without regard to case
     * @return its value; empty if there is none
     */
    public Optional<String> header(String name) {
        return Headers.find(new FrameReader(frame, HEADERS), Objects.requireNonNull(name, "name"));
    }

    /**
     * All headers.
     *
     * @return each name with its values, in their order; names are looked up without regard to case
     */
    public Map<String, List<String>> headers() {
        Map<String, List<String>> known = headers;
        if (known == null) {
            known = Headers.map(new FrameReader(frame, HEADERS));
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
     * The body as text; bytes that are not UTF-8 become �.
     *
     * @return the text
     */
    public String text() {
        return new String(frame, bodyAt, frame.length - bodyAt, UTF_8);
    }

    /**
     * The body read as JSON.
     *
     * @param <T> what it is read as
     * @param type what it is read as
     * @return what the {@link JsonCodec} has read
     * @throws PlumProtocolException if it is no such JSON; the codec's exception is the cause
     * @throws PlumUnsupportedException where there is no codec
     */
    public <T> T json(Class<T> type) {
        @SuppressWarnings("unchecked") // the codec's word
        T value = (T) json((Type) type);
        return value;
    }

    /**
     * The same for a generic type, such as {@code List<Item>} in the codec's own way of saying it.
     *
     * @param type what it is read as
     * @return what the {@link JsonCodec} has read
     * @throws PlumProtocolException if it is no such JSON; the codec's exception is the cause
     * @throws PlumUnsupportedException where there is no codec
     */
    public Object json(Type type) {
        return json(type, JsonCodec.standard());
    }

    /**
     * The same with a codec of one's own.
     *
     * @param type what it is read as
     * @param codec the codec
     * @return what the codec has read
     * @throws PlumProtocolException if it is no such JSON; the codec's exception is the cause
     */
    public Object json(Type type, JsonCodec codec) {
        Objects.requireNonNull(type, "type");
        try {
            return codec.read(frame, bodyAt, frame.length - bodyAt, type);
        } catch (Exception error) {
            String message = "the body of " + endpoint().address() + " is not the JSON expected: "
                    + String.valueOf(error.getMessage()).replaceAll("\\p{Cntrl}", " ");
            throw PlumException.of(Kind.PROTOCOL, message, story(), error);
        }
    }

    /**
     * Itself, or {@link PlumStatusException} for a 4xx or 5xx.
     *
     * @return this
     * @throws PlumStatusException for a status from 400 on
     */
    public PlumResponse raiseForStatus() {
        if (status < 400) {
            return this;
        }
        String message =
                "\"" + service + "\" answered " + status + " from " + endpoint().address();
        throw PlumException.of(Kind.STATUS, message, story(), null);
    }

    private PlumException.Story story() {
        return new PlumException.Story(service, endpoint(), attempts, trace());
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
     * The endpoint that answered.
     *
     * @return the endpoint
     */
    public Endpoint endpoint() {
        Endpoint known = endpoint;
        if (known == null) {
            known = KnownEndpoints.read(new FrameReader(frame, endpointAt));
            endpoint = known;
        }
        return known;
    }

    /**
     * How many attempts it took.
     *
     * @return the number of attempts
     */
    public int attempts() {
        return attempts;
    }

    /**
     * What each attempt came to, in order; the last one is this answer.
     *
     * @return the steps
     */
    public List<TraceStep> trace() {
        return TraceStep.readAll(new FrameReader(frame, traceAt), endpoint());
    }

    /**
     * How long the whole call took.
     *
     * @return the time
     */
    public Duration elapsed() {
        return Duration.ofNanos(elapsed);
    }

    /** As the native library takes it from a transport: status, headers, body. */
    void writeAnswer(FrameWriter answer) {
        answer.u16(status).raw(frame, HEADERS, endpointAt - HEADERS);
        answer.u32(frame.length - bodyAt).raw(frame, bodyAt, frame.length - bodyAt);
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

    /** Puts an answer together, for tests. */
    public static final class Builder {
        private static final Endpoint NOWHERE = Endpoint.of("", "0.0.0.0", 0);

        private final int status;
        private final FrameWriter fields = new FrameWriter(64).u32(0);
        private int count;
        private byte[] content = new byte[0];
        private boolean hasType;
        private Endpoint endpoint = NOWHERE;

        private Builder(int status) {
            if (status < 200 || status > 599) {
                throw new PlumInvalidArgumentException("status_code is " + status + "; it must be from 200 to 599");
            }
            this.status = status;
        }

        /**
         * Adds a header.
         *
         * @param name its name
         * @param value its value
         * @return this
         */
        public Builder header(String name, String value) {
            hasType |= name.equalsIgnoreCase("content-type");
            fields.text("a header name", name).text("a header value", Objects.requireNonNull(value, "value"));
            count++;
            return this;
        }

        /**
         * Sets the body.
         *
         * @param content the bytes; copied by {@link #build}
         * @return this
         */
        public Builder content(byte[] content) {
            this.content = Objects.requireNonNull(content, "content");
            return this;
        }

        /**
         * Sets the body to a text, as UTF-8.
         *
         * @param content the text
         * @return this
         */
        public Builder content(String content) {
            return content(FrameWriter.bytesOf("content", content));
        }

        /**
         * Sets the body to JSON, with a {@code Content-Type} unless one is set already.
         *
         * @param value what the {@link JsonCodec} writes
         * @return this
         */
        public Builder json(@Nullable Object value) {
            if (!hasType) {
                header("Content-Type", "application/json");
            }
            return content(JsonCodec.encode(JsonCodec.standard(), value));
        }

        /**
         * Sets the endpoint that answered.
         *
         * @param endpoint the endpoint
         * @return this
         */
        public Builder endpoint(Endpoint endpoint) {
            this.endpoint = Objects.requireNonNull(endpoint, "endpoint");
            return this;
        }

        /**
         * The answer.
         *
         * @return the answer, as if its endpoint had given it at the first attempt
         */
        public PlumResponse build() {
            byte[] headers = fields.done();
            FrameReader.U32.set(headers, 0, count);
            FrameWriter frame = new FrameWriter(256 + headers.length + content.length);
            frame.u16(status).u32(1).u64(0).u32(0).u32(0).u32(0);
            frame.raw(headers, 0, headers.length);
            frame.u32At(14, frame.length());
            int record = frame.length() + 4;
            endpoint.write(frame.u32(0).u32(0));
            frame.u32At(record, frame.length() - record - 4);
            frame.u32At(18, frame.length()).u32(1).u8(0).u8(0).u16(status).u64(0);
            frame.u32At(22, frame.length()).raw(content, 0, content.length);
            return new PlumResponse(endpoint.service(), frame.done());
        }
    }
}
