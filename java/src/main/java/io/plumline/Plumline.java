package io.plumline;

/** What is true of the library as a whole. */
public final class Plumline {
    /** The version, the same in every language. */
    public static final String VERSION = "0.1.0";

    private Plumline() {}
}
