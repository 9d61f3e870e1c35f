package io.plumline;

import org.jspecify.annotations.Nullable;

/** The key asked for does not exist. */
public final class PlumNotFoundException extends PlumException {
    private static final long serialVersionUID = 1;

    /**
     * For tests of one's own code.
     *
     * @param message one line
     */
    public PlumNotFoundException(String message) {
        this(message, Story.NONE, null);
    }

    PlumNotFoundException(String message, Story story, @Nullable Throwable cause) {
        super(message, story, cause);
    }

    @Override
    public Kind kind() {
        return Kind.NOT_FOUND;
    }
}
