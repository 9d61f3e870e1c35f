//! What one attempt came to.

use crate::membership::Cause;

/// The end of one attempt, as far as trust and repetition care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No connection: refused, unreachable, no name, connect timeout. The request never left.
    Refused,
    /// The connection broke after the request may have been sent.
    Reset,
    /// No answer in time.
    Timeout,
    /// An HTTP answer with this status.
    Status(u16),
    /// An answer that breaks the protocol.
    BadAnswer,
    /// What the user of a `pick()` said of it: whether it went well.
    Reported(bool),
    /// The caller gave up: it says nothing about the endpoint.
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

    /// Whether it speaks for the endpoint.
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

    /// Whether the endpoint answered at all, whatever it said.
    pub const fn is_answer(self) -> bool {
        matches!(self, Outcome::Status(_) | Outcome::BadAnswer | Outcome::Reported(true))
    }

    /// Whether nobody seems to be there: two in a row are enough to stop asking.
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
    fn server_errors_count_as_failures_but_not_missing_features_or_pleas_for_patience() {
        let failing: Vec<u16> = (100..=599).filter(|status| Outcome::Status(*status).is_failure()).collect();
        assert!(failing.iter().all(|status| *status >= 500));
        assert_eq!(failing.len(), 98);
        assert!(!failing.contains(&501) && !failing.contains(&505));
        assert!(Outcome::Status(429).is_success());
    }

    #[test]
    fn a_cancelled_attempt_says_nothing() {
        assert!(!Outcome::Neutral.is_failure() && !Outcome::Neutral.is_success());
    }

    #[test]
    fn what_passes_is_worth_another_try() {
        let passing: Vec<u16> =
            (100..=599).filter(|status| Outcome::Status(*status).is_repeatable()).collect();
        assert_eq!(passing, [408, 429, 502, 503, 504]);
        assert!([Outcome::Refused, Outcome::Reset, Outcome::Timeout].iter().all(|o| o.is_repeatable()));
        assert!(!Outcome::BadAnswer.is_repeatable());
    }
}
