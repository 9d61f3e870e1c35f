package io.plumline;

import org.jspecify.annotations.Nullable;

/** The client was closed. */
public final class PlumClosedException extends PlumException {
    private static final long serialVersionUID = 1;

    /**
     * For tests of one's own code.
     *
     * @param message one line
     */
    public PlumClosedException(String message) {
        this(message, Story.NONE, null);
    }

    PlumClosedException(String message, Story story, @Nullable Throwable cause) {
        super(message, story, cause);
    }

    @Override
    public Kind kind() {
        return Kind.CLOSED;
    }
}
