package io.plumline;

import org.jspecify.annotations.Nullable;

/** A local limit refused the call. */
public final class PlumOverloadedException extends PlumException {
    private static final long serialVersionUID = 1;

    /**
     * For tests of one's own code.
     *
     * @param message one line
     */
    public PlumOverloadedException(String message) {
        this(message, Story.NONE, null);
    }

    PlumOverloadedException(String message, Story story, @Nullable Throwable cause) {
        super(message, story, cause);
    }

    @Override
    public Kind kind() {
        return Kind.OVERLOADED;
    }
}
