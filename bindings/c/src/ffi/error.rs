//! Errors, and what a function returns.

use std::ffi::c_char;
use std::sync::OnceLock;

use plumline::Error;

use super::boundary::{Kind, free, look};
use super::endpoint::Endpoint;
use super::input::text;
use super::text::Str;
use super::trace::{Story, TraceStep};
use crate::shelf::Shelf;

/// All went well.
pub const PLUMLINE_OK: Kind = 0;
/// The caller passed something that cannot be right; the message names it and what would be.
pub const PLUMLINE_INVALID_ARGUMENT: Kind = 1;
/// The key asked for does not exist (key-value only).
pub const PLUMLINE_NOT_FOUND: Kind = 2;
/// No endpoint could be chosen; the message says why.
pub const PLUMLINE_NO_ENDPOINT: Kind = 3;
/// The deadline of the call, or of its last attempt, passed.
pub const PLUMLINE_TIMEOUT: Kind = 4;
/// No connection, or one that broke.
pub const PLUMLINE_UNAVAILABLE: Kind = 5;
/// The service's circuit breaker is open.
pub const PLUMLINE_CIRCUIT_OPEN: Kind = 6;
/// A local limit refused the call.
pub const PLUMLINE_OVERLOADED: Kind = 7;
/// The other side wants to know who asks.
pub const PLUMLINE_UNAUTHENTICATED: Kind = 8;
/// The other side knows who asks, and says no.
pub const PLUMLINE_PERMISSION_DENIED: Kind = 9;
/// The answer broke the protocol, its certificate did not verify, or it was larger than `max_body`.
pub const PLUMLINE_PROTOCOL: Kind = 10;
/// The caller ended the wait, or one of its callbacks the call.
pub const PLUMLINE_CANCELLED: Kind = 11;
/// The client was closed.
pub const PLUMLINE_CLOSED: Kind = 12;
/// This registry or endpoint cannot do that.
pub const PLUMLINE_UNSUPPORTED: Kind = 13;
/// `plumline_response_raise_for_status()` met a 4xx or 5xx answer.
pub const PLUMLINE_STATUS: Kind = 14;
/// A defect of Plumline; please report it.
pub const PLUMLINE_INTERNAL: Kind = 99;

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
/// `PLUMLINE_OK`, becomes `PLUMLINE_CANCELLED`. A message that is no UTF-8 is replaced by one that says so.
/// Never NULL. Yours to free, unless you hand it over through a callback's `error`.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_error_new(kind: Kind, message: Str) -> Option<Box<ErrorHandle>> {
    let known = plumline::Kind::ALL.into_iter().find(|known| i32::from(known.number()) == kind);
    let kind = known.unwrap_or(plumline::Kind::Cancelled);
    let error = text("message", &message).map_or_else(|wrong| wrong, |words| Error::new(kind, words));
    Some(Box::new(error.into()))
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
    error.and_then(|error| look(Some(error), None, |error| error.endpoint.get_or_init(|| endpoint(error)).as_ref()))
}

/// How many attempts were made before giving up.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_error_attempts(error: Option<&ErrorHandle>) -> u32 {
    look(error, 0, |error| error.inner.attempts())
}

/// Whether the same call could succeed if it were made again, later or elsewhere: 1 or 0.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_error_is_retryable(error: Option<&ErrorHandle>) -> i32 {
    look(error, 0, |error| i32::from(error.inner.is_retryable()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_every_language() {
        let ours = [
            PLUMLINE_INVALID_ARGUMENT,
            PLUMLINE_NOT_FOUND,
            PLUMLINE_NO_ENDPOINT,
            PLUMLINE_TIMEOUT,
            PLUMLINE_UNAVAILABLE,
            PLUMLINE_CIRCUIT_OPEN,
            PLUMLINE_OVERLOADED,
            PLUMLINE_UNAUTHENTICATED,
            PLUMLINE_PERMISSION_DENIED,
            PLUMLINE_PROTOCOL,
            PLUMLINE_CANCELLED,
            PLUMLINE_CLOSED,
            PLUMLINE_UNSUPPORTED,
            PLUMLINE_STATUS,
            PLUMLINE_INTERNAL,
        ];
        assert_eq!(ours, plumline::Kind::ALL.map(|kind| i32::from(kind.number())));
    }
}
