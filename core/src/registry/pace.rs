//! A pace for what is best done at once: a few times in a row without a wait, then at intervals.
//!
//! Where changes are rare each is told as soon as it happens; where they come in a stream, those of one interval are
//! told together.

use std::time::Duration;

use crate::clock::Tick;

/// How many times in a row there is no wait.
const AT_ONCE: u32 = 4;

/// What keeps to it: pure, time comes in as an argument.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    interval: Duration,
    /// By when the next [`AT_ONCE`] are not used up: this much later than now, each interval is one that is.
    until: Tick,
}

impl Pace {
    /// At intervals of this length, after the first few.
    pub(super) const fn new(interval: Duration) -> Pace {
        Pace { interval, until: Tick::ZERO }
    }

    /// It is done once more: how long to wait before it is.
    pub(super) fn next(&mut self, now: Tick) -> Duration {
        let from = self.until.max(now);
        self.until = from.after(self.interval);
        from.since(now).saturating_sub(self.interval * (AT_ONCE - 1))
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
    fn a_few_are_done_at_once_and_then_one_an_interval() {
        let mut pace = Pace::new(INTERVAL);
        let waits: Vec<Duration> = (0..6).map(|_| pace.next(at(0))).collect();
        assert_eq!(waits[..4], [Duration::ZERO; 4]);
        assert_eq!(waits[4..], [INTERVAL, 2 * INTERVAL]);
    }

    #[test]
    fn whoever_was_quiet_may_hurry_again() {
        let mut pace = Pace::new(INTERVAL);
        assert!((0..6).any(|_| pace.next(at(0)) > Duration::ZERO));
        assert_eq!(pace.next(at(1_000)), Duration::ZERO);
    }

    #[test]
    fn in_the_long_run_it_is_one_an_interval() {
        let mut pace = Pace::new(INTERVAL);
        let mut now = at(0);
        for _ in 0..1_000 {
            now = now.after(pace.next(now));
        }
        let expected = INTERVAL * (1_000 - AT_ONCE);
        assert_eq!(now.since(at(0)), expected);
    }
}
