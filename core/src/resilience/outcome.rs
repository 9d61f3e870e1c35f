//! The outcome of one attempt.

use crate::membership::Cause;

/// The outcome of one attempt, as ejection and retries see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No connection: refused, unreachable, no name, connect timeout. The request never left.
    Refused,
    /// The connection broke after the request may have been sent.
    Reset,
    /// No response in time.
    Timeout,
    /// An HTTP response with this status.
    Status(u16),
    /// A response that violates the protocol.
    BadAnswer,
    /// The report of a pick: whether it succeeded.
    Reported(bool),
    /// The caller gave up; it says nothing about the endpoint.
    Neutral,
}

impl Outcome {
    /// Whether it speaks against the endpoint. A server that lacks a feature (501, 505) or asks for patience
    /// (429) is in order.
    pub const fn is_failure(self) -> bool {
        match self {
            Outcome::Refused | Outcome::Reset | Outcome::Timeout | Outcome::BadAnswer => true,
            Outcome::Status(status) => status >= 500 && status <= 599 && status != 501 && status != 505,
            Outcome::Reported(well) => !well,
            Outcome::Neutral => false,
        }
    }

    /// Whether it counts as a success.
    pub const fn is_success(self) -> bool {
        !self.is_failure() && !matches!(self, Outcome::Neutral)
    }

    /// Whether the server provably never saw the request.
    pub const fn never_left(self) -> bool {
        matches!(self, Outcome::Refused)
    }

    /// Whether trying again may help; whether it is allowed, [`may_repeat`](super::may_repeat) says.
    pub const fn is_repeatable(self) -> bool {
        match self {
            Outcome::Refused | Outcome::Reset | Outcome::Timeout => true,
            Outcome::Status(status) => matches!(status, 408 | 429 | 502 | 503 | 504),
            Outcome::BadAnswer | Outcome::Reported(_) | Outcome::Neutral => false,
        }
    }

    /// Whether the endpoint sent a response of any status.
    pub const fn is_answer(self) -> bool {
        matches!(self, Outcome::Status(_) | Outcome::BadAnswer | Outcome::Reported(true))
    }

    /// Whether the endpoint seems unreachable: two in a row eject it.
    pub const fn is_unreachable(self) -> bool {
        matches!(self, Outcome::Refused | Outcome::Timeout)
    }

    /// What an ejection for it is called.
    pub(super) const fn cause(self) -> Cause {
        match self {
            Outcome::Refused => Cause::Connect,
            Outcome::Timeout => Cause::Timeout,
            Outcome::Reported(_) => Cause::Reported,
            Outcome::Reset | Outcome::Status(_) | Outcome::BadAnswer | Outcome::Neutral => Cause::Answers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_errors_are_failures_except_501_505_and_429() {
        let failing: Vec<u16> = (100..=599).filter(|status| Outcome::Status(*status).is_failure()).collect();
        assert!(failing.iter().all(|status| *status >= 500));
        assert_eq!(failing.len(), 98);
        assert!(!failing.contains(&501) && !failing.contains(&505));
        assert!(Outcome::Status(429).is_success());
    }

    #[test]
    fn cancelled_attempt_is_neutral() {
        assert!(!Outcome::Neutral.is_failure() && !Outcome::Neutral.is_success());
    }

    #[test]
    fn temporary_failures_are_repeatable() {
        let passing: Vec<u16> =
            (100..=599).filter(|status| Outcome::Status(*status).is_repeatable()).collect();
        assert_eq!(passing, [408, 429, 502, 503, 504]);
        assert!([Outcome::Refused, Outcome::Reset, Outcome::Timeout].iter().all(|o| o.is_repeatable()));
        assert!(!Outcome::BadAnswer.is_repeatable());
    }
}
