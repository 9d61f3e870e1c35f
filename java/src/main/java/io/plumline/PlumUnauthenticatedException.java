package io.plumline;

import org.jspecify.annotations.Nullable;

/** The other side wants to know who asks. */
public final class PlumUnauthenticatedException extends PlumException {
    private static final long serialVersionUID = 1;

    /**
     * For tests of one's own code.
     *
     * @param message one line
     */
    public PlumUnauthenticatedException(String message) {
        this(message, Story.NONE, null);
    }

    PlumUnauthenticatedException(String message, Story story, @Nullable Throwable cause) {
        super(message, story, cause);
    }

    @Override
    public Kind kind() {
        return Kind.UNAUTHENTICATED;
    }
}
