package io.plumline;

import org.jspecify.annotations.Nullable;

/** The caller passed something that cannot be right; the message names it and what would be. */
public final class PlumInvalidArgumentException extends PlumException {
    private static final long serialVersionUID = 1;

    /**
     * For tests of one's own code.
     *
     * @param message one line
     */
    public PlumInvalidArgumentException(String message) {
        this(message, Story.NONE, null);
    }

    PlumInvalidArgumentException(String message, Story story, @Nullable Throwable cause) {
        super(message, story, cause);
    }

    @Override
    public Kind kind() {
        return Kind.INVALID_ARGUMENT;
    }
}
