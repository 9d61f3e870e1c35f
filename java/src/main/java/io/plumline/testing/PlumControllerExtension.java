package io.plumline.testing;

import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ExtensionContext.Namespace;
import org.junit.jupiter.api.extension.ExtensionContext.Store;
import org.junit.jupiter.api.extension.ParameterContext;
import org.junit.jupiter.api.extension.ParameterResolver;

/**
 * Provides a real controller to a JUnit test that has a {@link PlumController} parameter. A parameter of a test method
 * gets a controller of its own; a parameter of a constructor or a {@code @BeforeAll} method, one for the whole class.
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
    private static final Namespace NAMESPACE = Namespace.create(PlumControllerExtension.class);

    /** Called by JUnit. */
    public PlumControllerExtension() {}

    @Override
    public boolean supportsParameter(ParameterContext parameter, ExtensionContext context) {
        return parameter.getParameter().getType() == PlumController.class;
    }

    @Override
    public Object resolveParameter(ParameterContext parameter, ExtensionContext context) {
        Store store = context.getStore(NAMESPACE);
        return store.getOrComputeIfAbsent(PlumController.class, type -> new Running(), Running.class).controller;
    }

    /** JUnit closes it at the end of the test or class. */
    @SuppressWarnings("deprecation") // before version 5.13, JUnit closes no AutoCloseable
    private static final class Running implements Store.CloseableResource, AutoCloseable {
        private final PlumController controller = new PlumController();

        @Override
        public void close() {
            controller.close();
        }
    }
}
