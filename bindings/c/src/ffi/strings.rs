//! A list of strings.

use super::boundary::{free, look};
use super::text::Str;
use crate::shelf::Shelf;

/// A list of strings. Yours to free with `plumline_strings_free()`.
pub struct Strings(pub(crate) Shelf);

/// How many there are.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_strings_count(strings: Option<&Strings>) -> usize {
    look(strings, 0, |strings| strings.0.len())
}

/// The string at this index, from 0; none past the end. Valid until the list is freed.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_strings_at(strings: Option<&Strings>, index: usize) -> Str {
    look(strings, Str::NONE, |strings| Str::lent_if(strings.0.get(index)))
}

/// Frees a list and its strings. NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_strings_free(strings: Option<Box<Strings>>) {
    free(strings);
}
