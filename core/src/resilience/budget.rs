//! What a client may spend on retries: a fifth of its calls, so that a dying service is not pushed over.
//!
//! ```text
//!   call ──▶ +0.2 ──▶ ( tokens, at most max(100, calls of the last 10 s) ) ──▶ −1 per retry, or refused
//!              starts at 10
//! ```
//!
//! Time alone fills nothing: a client that makes no calls earns no retries. No lock; each cell is an atomic.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::clock::Tick;
use crate::config::RetryConfig;

/// One token in the cell's units: decimal, so that five fifths make one.
const TOKEN: u64 = 1_000_000;
const LEAST_CAP: u64 = 100;
const WINDOW: usize = 10;
const SECOND: u64 = 1_000_000_000;

/// The retry budget of one service.
#[derive(Debug)]
pub struct Budget {
    tokens: AtomicU64,
    per_call: u64,
    /// Calls per second: the second they belong to in the upper half, their number in the lower.
    calls: [AtomicU64; WINDOW],
}

impl Budget {
    /// A budget that holds `initial` retries and gets `ratio` of one per call.
    pub fn new(initial: f64, ratio: f64) -> Budget {
        let units = |tokens: f64| (tokens.max(0.0) * TOKEN as f64).round() as u64;
        Budget { tokens: AtomicU64::new(units(initial)), per_call: units(ratio), calls: Default::default() }
    }

    /// A call is being made (not a retry of one): pays in.
    pub fn deposit(&self, now: Tick) {
        self.count(now);
        let grown = self.tokens.fetch_add(self.per_call, Relaxed) + self.per_call;
        if grown > LEAST_CAP * TOKEN {
            self.trim(now);
        }
    }

    /// Takes one for a retry, or refuses.
    pub fn take(&self, now: Tick) -> bool {
        self.trim(now);
        let spend = |tokens: u64| tokens.checked_sub(TOKEN);
        self.tokens.fetch_update(Relaxed, Relaxed, spend).is_ok()
    }

    /// How many retries it holds.
    pub fn available(&self, now: Tick) -> f64 {
        self.tokens.load(Relaxed).min(self.cap(now)) as f64 / TOKEN as f64
    }

    fn count(&self, now: Tick) {
        let second = now.nanos() / SECOND;
        let cell = &self.calls[second as usize % WINDOW];
        let seen = cell.load(Relaxed);
        if seen >> 32 == second & u64::from(u32::MAX) {
            cell.fetch_add(1, Relaxed);
        } else {
            // Where two threads begin a second at once, the loser's call goes uncounted: one in a second.
            let _ = cell.compare_exchange(seen, second << 32 | 1, Relaxed, Relaxed);
        }
    }

    fn trim(&self, now: Tick) {
        if self.tokens.load(Relaxed) > LEAST_CAP * TOKEN {
            self.tokens.fetch_min(self.cap(now), Relaxed);
        }
    }

    fn cap(&self, now: Tick) -> u64 {
        let second = now.nanos() / SECOND;
        let recent = |cell: &AtomicU64| {
            let seen = cell.load(Relaxed);
            let age = (second as u32).wrapping_sub((seen >> 32) as u32);
            if (age as usize) < WINDOW { seen & u64::from(u32::MAX) } else { 0 }
        };
        self.calls.iter().map(recent).sum::<u64>().max(LEAST_CAP) * TOKEN
    }
}

impl From<&RetryConfig> for Budget {
    fn from(config: &RetryConfig) -> Budget {
        Budget::new(config.budget, config.budget_ratio)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;
    use std::time::Duration;

    fn default() -> Budget {
        Budget::from(&RetryConfig::default())
    }

    fn at(seconds: f64) -> Tick {
        Tick::ZERO.after(Duration::from_secs_f64(seconds))
    }

    fn take_all(budget: &Budget, now: Tick) -> u32 {
        (0..20_000).take_while(|_| budget.take(now)).count() as u32
    }

    #[test]
    fn starts_with_10_and_earns_one_per_5_calls() {
        let budget = default();
        assert_eq!(take_all(&budget, at(1.0)), 10);
        (0..500).for_each(|_| budget.deposit(at(1.0)));
        assert_eq!(take_all(&budget, at(1.0)), 100);
    }

    #[test]
    fn time_alone_earns_no_retries() {
        let budget = default();
        take_all(&budget, at(1.0));
        assert!(!budget.take(at(1e6)));
    }

    #[test]
    fn balance_is_capped_at_the_calls_of_10_s() {
        let busy = default();
        (0..20_000u32).for_each(|n| busy.deposit(at(f64::from(n) / 1000.0)));
        assert!(busy.available(at(20.0)) > 3000.0 && busy.available(at(20.0)) < 10_001.0);
        assert_eq!(busy.available(at(40.0)), 100.0, "nothing was called for ten seconds");
        assert_eq!(take_all(&busy, at(40.0)), 100);
    }

    #[test]
    fn idle_time_does_not_fund_a_retry_storm() {
        let budget = default();
        (0..10_000u32).for_each(|second| budget.deposit(at(f64::from(second))));
        (0..1000).for_each(|_| budget.deposit(at(10_000.0)));
        assert!(take_all(&budget, at(10_000.0)) <= 300, "a hundred kept, and a fifth of the last thousand");
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

        #[test]
        fn retries_never_exceed_ten_and_a_fifth_of_the_calls(
            steps in prop::collection::vec((0..3u8, 0.0..4.0f64), 1..400),
        ) {
            let (budget, mut now, mut calls, mut retries) = (default(), 1.0, 0u32, 0u32);
            for (step, wait) in steps {
                now += wait;
                if step == 0 {
                    budget.deposit(at(now));
                    calls += 1;
                } else {
                    retries += u32::from(budget.take(at(now)));
                }
            }
            prop_assert!(f64::from(retries) <= 10.0 + 0.2 * f64::from(calls) + 1e-3);
        }
    }

    #[test]
    fn threads_share_one_budget() {
        let budget = default();
        let taken: u32 = std::thread::scope(|scope| {
            let thread = || {
                (0..1000)
                    .map(|_| {
                        budget.deposit(at(1.0));
                        u32::from(budget.take(at(1.0)))
                    })
                    .sum::<u32>()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(thread)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert!(taken == 810, "{taken}");
    }
}
