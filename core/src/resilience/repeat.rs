//! What is safe to do twice.
//!
//! A method that HTTP defines as idempotent may be sent again after any passing failure. Any other only where
//! the server provably never saw it, or where the caller vouched for it. (That an answer already handed to
//! the caller is never taken back is the call's business.)

use super::Outcome;

/// Whether a server may see a request with this method twice; what the caller says of it counts first.
pub fn is_safe(method: &str, idempotent: Option<bool>) -> bool {
    idempotent.unwrap_or(matches!(method, "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE"))
}

/// Whether a request may be sent again after this outcome, given whether it is [safe](is_safe) to repeat.
pub fn may_repeat(safe: bool, outcome: Outcome) -> bool {
    outcome.is_repeatable() && (safe || outcome.never_left())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn post_is_repeated_only_if_it_was_not_sent() {
        for method in ["POST", "PATCH", "BREW"] {
            assert!(may_repeat(is_safe(method, None), Outcome::Refused));
            for outcome in [Outcome::Reset, Outcome::Timeout, Outcome::Status(503)] {
                assert!(!may_repeat(is_safe(method, None), outcome));
                assert!(may_repeat(is_safe(method, Some(true)), outcome));
            }
        }
    }

    #[test]
    fn idempotent_method_is_repeated_after_temporary_failures() {
        for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"] {
            assert!(may_repeat(is_safe(method, None), Outcome::Reset));
            assert!(!may_repeat(is_safe(method, None), Outcome::Status(500)));
            assert!(!may_repeat(is_safe(method, Some(true)), Outcome::Status(404)));
        }
    }

    #[test]
    fn caller_can_forbid_repeating_a_get() {
        assert!(!may_repeat(is_safe("GET", Some(false)), Outcome::Reset));
    }
}
