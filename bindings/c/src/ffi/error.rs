//! Errors, and what a function returns.

use std::ffi::c_char;
use std::sync::OnceLock;

use plumline::Error;

use super::boundary::{Kind, free, look, say};
use super::endpoint::Endpoint;
use super::input::text;
use super::kinds::PLUMLINE_OK;
use super::text::Str;
use super::trace::{Story, TraceStep};
use crate::shelf::Shelf;

/// Why a function did not succeed. Yours to free with `plumline_error_free()`.
pub struct ErrorHandle {
    pub(crate) inner: Error,
    words: Shelf,
    endpoint: OnceLock<Option<Endpoint>>,
    story: OnceLock<Story>,
}

impl From<Error> for ErrorHandle {
    fn from(inner: Error) -> ErrorHandle {
        let words = Shelf::of([inner.message(), inner.service().unwrap_or_default()]);
        ErrorHandle { inner, words, endpoint: OnceLock::new(), story: OnceLock::new() }
    }
}

/// Makes an error, for a callback to fail with. `kind` is one of the numbers above; another one, and
/// `PLUMLINE_OK`, becomes `PLUMLINE_CANCELLED`. A message that is not valid UTF-8 is replaced by one that says so.
/// Never NULL, short of a defect. Yours to free, unless you hand it over through a callback's `error`.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_error_new(kind: Kind, message: Str) -> Option<Box<ErrorHandle>> {
    say(None, || {
        let known = plumline::Kind::ALL.into_iter().find(|known| i32::from(known.number()) == kind);
        let kind = known.unwrap_or(plumline::Kind::Cancelled);
        let error = text("message", &message).map_or_else(|wrong| wrong, |words| Error::new(kind, words));
        Some(Box::new(error.into()))
    })
}

/// Its kind, one of the numbers above; `PLUMLINE_OK` for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_error_kind(error: Option<&ErrorHandle>) -> Kind {
    look(error, PLUMLINE_OK, |error| i32::from(error.inner.kind().number()))
}

/// Its one line, ended by a NUL, without line breaks; an empty string for NULL. Valid until the error is freed.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_error_message(error: Option<&ErrorHandle>) -> *const c_char {
    look(error, c"".as_ptr(), |error| Str::lent_if(error.words.get(0)).data)
}

/// The service that was asked for; none if none was.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_error_service(error: Option<&ErrorHandle>) -> Str {
    let service = |error: &ErrorHandle| error.inner.service().and_then(|_| error.words.get(1)).map(Str::lent);
    look(error, None, service).unwrap_or(Str::NONE)
}

/// The endpoint of the last attempt, or NULL. It belongs to the error.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_error_endpoint(error: Option<&ErrorHandle>) -> Option<&Endpoint> {
    let endpoint = |error: &ErrorHandle| error.inner.endpoint().cloned().map(Endpoint::from);
    error.and_then(|error| {
        look(Some(error), None, |error| error.endpoint.get_or_init(|| endpoint(error)).as_ref())
    })
}

/// How many attempts were made before giving up.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_error_attempts(error: Option<&ErrorHandle>) -> u32 {
    look(error, 0, |error| error.inner.attempts())
}

/// Whether the same call could succeed if it were made again, later or elsewhere.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_error_is_retryable(error: Option<&ErrorHandle>) -> bool {
    look(error, false, |error| error.inner.is_retryable())
}

/// How many steps its story has: one for each attempt.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_error_trace_count(error: Option<&ErrorHandle>) -> usize {
    look(error, 0, |error| error.inner.trace().len())
}

/// What an attempt came to, in order from 0; NULL past the end. It belongs to the error.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_error_trace_at(error: Option<&ErrorHandle>, index: usize) -> Option<&TraceStep> {
    look(error, None, |error| error.story.get_or_init(|| Story::of(error.inner.trace())).get(index))
}

/// Frees an error and everything that was borrowed from it. NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_error_free(error: Option<Box<ErrorHandle>>) {
    free(error);
}
