//! A rate limiter with a burst: the first few actions run at once, then one per interval.
//!
//! Where changes are rare, each is reported as soon as it happens. Where they are frequent, the changes of one interval
//! are reported together.

use std::time::Duration;

use crate::clock::Tick;

/// How many actions in a row run without a wait.
const BURST: u32 = 4;

/// The limiter. It is pure: the time is an argument.
#[derive(Clone, Copy, Debug)]
pub(super) struct RateLimiter {
    interval: Duration,
    /// When the whole burst is available again. Each interval between now and then stands for one used action.
    full_at: Tick,
}

impl RateLimiter {
    /// A limiter of one action per interval, after the burst.
    pub(super) const fn new(interval: Duration) -> RateLimiter {
        RateLimiter { interval, full_at: Tick::ZERO }
    }

    /// Uses one action, and returns how long to wait before it.
    pub(super) fn next_wait(&mut self, now: Tick) -> Duration {
        let from = self.full_at.max(now);
        self.full_at = from.after(self.interval);
        from.since(now).saturating_sub(self.interval * (BURST - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(20);

    fn at(millis: u64) -> Tick {
        Tick::from_nanos(1).after(Duration::from_millis(millis))
    }

    #[test]
    fn allows_a_burst_and_then_one_action_per_interval() {
        let mut limiter = RateLimiter::new(INTERVAL);
        let waits: Vec<Duration> = (0..6).map(|_| limiter.next_wait(at(0))).collect();
        assert_eq!(waits[..4], [Duration::ZERO; 4]);
        assert_eq!(waits[4..], [INTERVAL, 2 * INTERVAL]);
    }

    #[test]
    fn refills_the_burst_after_a_quiet_time() {
        let mut limiter = RateLimiter::new(INTERVAL);
        assert!((0..6).any(|_| limiter.next_wait(at(0)) > Duration::ZERO));
        assert_eq!(limiter.next_wait(at(1_000)), Duration::ZERO);
    }

    #[test]
    fn allows_one_action_per_interval_in_the_long_run() {
        let mut limiter = RateLimiter::new(INTERVAL);
        let mut now = at(0);
        for _ in 0..1_000 {
            now = now.after(limiter.next_wait(now));
        }
        let expected = INTERVAL * (1_000 - BURST);
        assert_eq!(now.since(at(0)), expected);
    }
}
