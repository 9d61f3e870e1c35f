/** Finds services, calls them, survives what fails, and keeps this program registered. */
module io.plumline {
    requires static org.jspecify;
    requires static org.junit.jupiter.api;

    exports io.plumline;
    exports io.plumline.testing;

    uses io.plumline.JsonCodec;
}
