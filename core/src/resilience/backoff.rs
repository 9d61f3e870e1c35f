//! How long to wait before going back to an endpoint that was tried already.
//!
//! The jitter comes after the cap: a crowd that has reached the cap is still spread over the whole of it,
//! instead of meeting again at its end.

use std::time::Duration;

use crate::config::{BackoffKind, RetryConfig};

/// The waits between returns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    kind: BackoffKind,
    base: Duration,
    cap: Duration,
}

impl Backoff {
    /// Waits of this kind from `base` up to `cap`.
    pub fn new(kind: BackoffKind, base: Duration, cap: Duration) -> Backoff {
        Backoff { kind, base: base.min(cap), cap }
    }

    /// The wait before return number `returns` (from 0), given the wait before that one and a random number
    /// from [0, 1).
    pub fn wait(&self, returns: u32, previous: Duration, random: f64) -> Duration {
        let spread = |from: Duration, to: Duration| from + to.saturating_sub(from).mul_f64(random);
        let capped = |factor: u32| self.base.saturating_mul(factor).min(self.cap);
        match self.kind {
            BackoffKind::FullJitter => {
                spread(Duration::ZERO, capped(1u32.checked_shl(returns).unwrap_or(u32::MAX)))
            }
            BackoffKind::Decorrelated => {
                spread(self.base, previous.max(self.base).saturating_mul(3).min(self.cap))
            }
            BackoffKind::Linear => spread(Duration::ZERO, capped(returns.saturating_add(1))),
            BackoffKind::Fixed => spread(Duration::ZERO, self.base),
        }
    }
}

impl From<&RetryConfig> for Backoff {
    fn from(config: &RetryConfig) -> Backoff {
        Backoff::new(config.backoff, config.base, config.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    const KINDS: [BackoffKind; 4] =
        [BackoffKind::FullJitter, BackoffKind::Decorrelated, BackoffKind::Linear, BackoffKind::Fixed];

    fn default(kind: BackoffKind) -> Backoff {
        Backoff::from(&RetryConfig { backoff: kind, ..RetryConfig::default() })
    }

    fn longest(kind: BackoffKind, returns: u32) -> Duration {
        default(kind).wait(returns, Duration::from_millis(200), 1.0)
    }

    #[test]
    fn each_kind_grows_as_named() {
        let millis = |kind| [0, 1, 2, 6, 7, 40].map(|n| longest(kind, n).as_millis());
        assert_eq!(millis(BackoffKind::FullJitter), [50, 100, 200, 3200, 5000, 5000]);
        assert_eq!(millis(BackoffKind::Linear), [50, 100, 150, 350, 400, 2050]);
        assert_eq!(millis(BackoffKind::Fixed), [50; 6]);
        assert_eq!(millis(BackoffKind::Decorrelated), [600; 6]);
    }

    #[test]
    fn jitter_spreads_waits_at_the_cap() {
        let quarter = default(BackoffKind::FullJitter).wait(30, Duration::ZERO, 0.25);
        assert_eq!(quarter, Duration::from_millis(1250));
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

        #[test]
        fn no_wait_is_beyond_the_cap(
            kind in 0..4usize, returns: u32, previous: u32, random in 0.0..1.0f64, base: u32, cap: u32,
        ) {
            let (base, cap) = (Duration::from_micros(base.into()), Duration::from_micros(cap.into()));
            let wait = Backoff::new(KINDS[kind], base, cap)
                .wait(returns, Duration::from_micros(previous.into()), random);
            prop_assert!(wait <= cap);
        }
    }
}
