package io.plumline;

/** Information about the library. */
public final class Plumline {
    /** The version; the same in every language. */
    public static final String VERSION = "0.1.0";

    private Plumline() {}
}
