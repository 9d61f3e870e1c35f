/** Finds services, calls them with retries and failover, and keeps this program registered. */
module io.plumline {
    requires static org.jspecify;
    requires static org.junit.jupiter.api;

    exports io.plumline;
    exports io.plumline.testing;

    uses io.plumline.JsonCodec;
}
