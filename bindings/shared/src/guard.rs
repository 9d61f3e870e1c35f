//! The one way in: no panic crosses into another language.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use plumline::{Error, Kind};

/// Runs an export; a panic in it becomes an ordinary Internal error.
///
/// ```
/// use plumline_bindings::guard::guarded;
/// let answer: Result<u8, plumline::Error> = guarded(|| panic!("too bad"));
/// assert_eq!(answer.unwrap_err().kind(), plumline::Kind::Internal);
/// ```
#[inline]
pub fn guarded<T, E: From<Error>>(export: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(export)).unwrap_or_else(|panic| Err(defect(&*panic).into()))
}

#[cold]
fn defect(panic: &(dyn Any + Send)) -> Error {
    let words =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Error::new(
        Kind::Internal,
        format!("a defect of Plumline, please report it: {}", words.unwrap_or("a panic")),
    )
}
