//! What is safe to do twice.
//!
//! A method that HTTP defines as idempotent may be sent again after any passing failure. Any other only where
//! the server provably never saw it, or where the caller vouched for it. (That an answer already handed to
//! the caller is never taken back is the call's business.)

use super::Outcome;

/// Whether a request with this method may reach a server twice.
pub fn is_safe(method: &str, idempotent: bool) -> bool {
    idempotent || matches!(method, "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE")
}

/// Whether a request with this method may be sent again after this outcome.
pub fn may_repeat(method: &str, idempotent: bool, outcome: Outcome) -> bool {
    outcome.is_repeatable() && (outcome.never_left() || is_safe(method, idempotent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_is_repeated_only_where_it_never_left() {
        for method in ["POST", "PATCH", "BREW"] {
            assert!(may_repeat(method, false, Outcome::Refused));
            for outcome in [Outcome::Reset, Outcome::Timeout, Outcome::Status(503)] {
                assert!(!may_repeat(method, false, outcome));
                assert!(may_repeat(method, true, outcome));
            }
        }
    }

    #[test]
    fn an_idempotent_method_is_repeated_after_what_passes_only() {
        for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"] {
            assert!(may_repeat(method, false, Outcome::Reset));
            assert!(!may_repeat(method, false, Outcome::Status(500)));
            assert!(!may_repeat(method, true, Outcome::Status(404)));
        }
    }
}
