/**
 * Service discovery, calls and registration.
 *
 * <p>Start with {@link io.plumline.PlumClient}.
 */
@NullMarked
package io.plumline;

import org.jspecify.annotations.NullMarked;
