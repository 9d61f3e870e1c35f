package io.plumline;

import org.jspecify.annotations.Nullable;

/** The other side knows who asks, and says no. */
public final class PlumPermissionDeniedException extends PlumException {
    private static final long serialVersionUID = 1;

    /**
     * For tests of one's own code.
     *
     * @param message one line
     */
    public PlumPermissionDeniedException(String message) {
        this(message, Story.NONE, null);
    }

    PlumPermissionDeniedException(String message, Story story, @Nullable Throwable cause) {
        super(message, story, cause);
    }

    @Override
    public Kind kind() {
        return Kind.PERMISSION_DENIED;
    }
}
