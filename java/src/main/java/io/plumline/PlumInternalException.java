package io.plumline;

import org.jspecify.annotations.Nullable;

/** A defect of Plumline; please report it. */
public final class PlumInternalException extends PlumException {
    private static final long serialVersionUID = 1;

    /**
     * For tests of one's own code.
     *
     * @param message one line
     */
    public PlumInternalException(String message) {
        this(message, Story.NONE, null);
    }

    PlumInternalException(String message, Story story, @Nullable Throwable cause) {
        super(message, story, cause);
    }

    @Override
    public Kind kind() {
        return Kind.INTERNAL;
    }
}
