//! What a function returns: the kinds of error, by the numbers that they have in every language.
#![allow(dead_code, reason = "most are read from the header only; a test compares them with the core's")]

use super::boundary::Kind;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_kinds_match_core_numbers() {
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
