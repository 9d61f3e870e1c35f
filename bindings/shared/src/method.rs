//! The verbs of HTTP, as a request takes them.

use std::borrow::Cow;

const USUAL: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/// A method by its name: those that everybody uses need no string of their own.
///
/// ```
/// use plumline_bindings::method;
/// assert!(matches!(method::named("GET"), std::borrow::Cow::Borrowed("GET")));
/// assert!(matches!(method::named("PROPFIND"), std::borrow::Cow::Owned(_)));
/// ```
pub fn named(name: &str) -> Cow<'static, str> {
    match USUAL.into_iter().find(|usual| *usual == name) {
        Some(usual) => Cow::Borrowed(usual),
        None => Cow::Owned(name.to_owned()),
    }
}
