package io.plumline;

import org.jspecify.annotations.Nullable;

/** The answer broke the protocol, its certificate did not verify, or it was larger than allowed. */
public final class PlumProtocolException extends PlumException {
    private static final long serialVersionUID = 1;

    /**
     * For tests of one's own code.
     *
     * @param message one line
     */
    public PlumProtocolException(String message) {
        this(message, Story.NONE, null);
    }

    PlumProtocolException(String message, Story story, @Nullable Throwable cause) {
        super(message, story, cause);
    }

    @Override
    public Kind kind() {
        return Kind.PROTOCOL;
    }
}
