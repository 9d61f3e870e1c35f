/** Support for tests: a real controller on a free port. */
@NullMarked
package io.plumline.testing;

import org.jspecify.annotations.NullMarked;
