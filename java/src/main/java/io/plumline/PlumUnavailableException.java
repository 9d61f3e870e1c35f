package io.plumline;

import org.jspecify.annotations.Nullable;

/** No connection, or one that broke. */
public final class PlumUnavailableException extends PlumException {
    private static final long serialVersionUID = 1;

    /**
     * For tests of one's own code.
     *
     * @param message one line
     */
    public PlumUnavailableException(String message) {
        this(message, Story.NONE, null);
    }

    PlumUnavailableException(String message, Story story, @Nullable Throwable cause) {
        super(message, story, cause);
    }

    @Override
    public Kind kind() {
        return Kind.UNAVAILABLE;
    }
}
