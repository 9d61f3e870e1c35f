/**
 * The implementation: classes that call the native library, and the encoding of values for it. The module does not
 * export this package.
 */
@NullMarked
package io.plumline.internal;

import org.jspecify.annotations.NullMarked;
