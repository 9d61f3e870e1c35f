package io.plumline;

import org.jspecify.annotations.Nullable;

/** No endpoint could be chosen; the message says why. */
public final class PlumNoEndpointException extends PlumException {
    private static final long serialVersionUID = 1;

    /**
     * For tests of one's own code.
     *
     * @param message one line
     */
    public PlumNoEndpointException(String message) {
        this(message, Story.NONE, null);
    }

    PlumNoEndpointException(String message, Story story, @Nullable Throwable cause) {
        super(message, story, cause);
    }

    @Override
    public Kind kind() {
        return Kind.NO_ENDPOINT;
    }
}
