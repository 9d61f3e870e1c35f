package io.plumline.testing;

import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ExtensionContext.Namespace;
import org.junit.jupiter.api.extension.ExtensionContext.Store;
import org.junit.jupiter.api.extension.ParameterContext;
import org.junit.jupiter.api.extension.ParameterResolver;

/**
 * Gives a JUnit test a real controller: one for each test that asks for it, or for all of a class whose constructor or
 * {@code @BeforeAll} method does.
 *
 * <pre>{@code
 * @ExtendWith(PlumControllerExtension.class)
 * class OrdersTest {
 *     @Test
 *     void findsOrders(PlumController controller) {
 *         try (PlumClient plum = PlumClient.create(controller.address())) { … }
 *     }
 * }
 * }</pre>
 */
public final class PlumControllerExtension implements ParameterResolver {
    private static final Namespace OURS = Namespace.create(PlumControllerExtension.class);

    /** Made by JUnit. */
    public PlumControllerExtension() {}

    @Override
    public boolean supportsParameter(ParameterContext parameter, ExtensionContext context) {
        return parameter.getParameter().getType() == PlumController.class;
    }

    @Override
    public Object resolveParameter(ParameterContext parameter, ExtensionContext context) {
        Store store = context.getStore(OURS);
        return store.getOrComputeIfAbsent(PlumController.class, ours -> new Running(), Running.class).controller;
    }

    /** Ends with its test or class. */
    @SuppressWarnings("deprecation") // JUnit closes what is AutoCloseable from 5.13 on only
    private static final class Running implements Store.CloseableResource, AutoCloseable {
        private final PlumController controller = new PlumController();

        @Override
        public void close() {
            controller.close();
        }
    }
}
