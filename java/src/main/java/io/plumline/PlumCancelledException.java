package io.plumline;

import org.jspecify.annotations.Nullable;

/** The caller ended the wait, or code of the caller's within the call threw: then that is the cause. */
public class PlumCancelledException extends PlumException {
    private static final long serialVersionUID = 1;

    /**
     * For tests of one's own code.
     *
     * @param message one line
     */
    public PlumCancelledException(String message) {
        this(message, Story.NONE, null);
    }

    PlumCancelledException(String message, Story story, @Nullable Throwable cause) {
        super(message, story, cause);
    }

    @Override
    public Kind kind() {
        return Kind.CANCELLED;
    }
}
