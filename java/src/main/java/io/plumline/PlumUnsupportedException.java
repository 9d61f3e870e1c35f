package io.plumline;

import org.jspecify.annotations.Nullable;

/** This registry or endpoint cannot do that. */
public final class PlumUnsupportedException extends PlumException {
    private static final long serialVersionUID = 1;

    /**
     * For tests of one's own code.
     *
     * @param message one line
     */
    public PlumUnsupportedException(String message) {
        this(message, Story.NONE, null);
    }

    PlumUnsupportedException(String message, Story story, @Nullable Throwable cause) {
        super(message, story, cause);
    }

    @Override
    public Kind kind() {
        return Kind.UNSUPPORTED;
    }
}
