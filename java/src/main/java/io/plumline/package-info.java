/**
 * Finds services, calls them, survives what fails, and keeps this program registered.
 *
 * <p>Begin with {@link io.plumline.PlumClient}.
 */
@NullMarked
package io.plumline;

import org.jspecify.annotations.NullMarked;
