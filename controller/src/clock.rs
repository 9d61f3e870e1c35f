//! The lease clock: time as endpoints experience it.
//!
//! It advances by ticks, and by a late tick only a little: a process that was stopped for a minute (SIGSTOP, a
//! suspended laptop) has heard no heartbeat in that minute, and must not hold that against anybody. All deadlines
//! move by the gap because none of them moves: the clock they are written in stood still.
//! Reading it is one atomic load, so a heartbeat does not ask the operating system for the time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::store::Now;

/// How often the controller looks for what is due.
pub(crate) const TICK: Duration = Duration::from_millis(50);
/// The most that one tick may advance the clock; what is beyond is a gap.
const LONGEST_STEP: u64 = 250;

#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    lease: AtomicU64,
    real: AtomicU64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), lease: AtomicU64::new(0), real: AtomicU64::new(0) }
    }

    /// The time of a request.
    pub(crate) fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { lease: self.lease.load(Relaxed), unix: unix.as_secs() as i64 }
    }

    /// Milliseconds since the start at the last tick: precise enough for idle connections.
    pub(crate) fn coarse(&self) -> u64 {
        self.real.load(Relaxed)
    }

    /// Advances both clocks.
    pub(crate) fn tick(&self) -> Now {
        let real = self.start.elapsed().as_millis() as u64;
        let before = self.real.swap(real, Relaxed);
        self.lease.fetch_add(step(before, real), Relaxed);
        self.now()
    }
}

fn step(before: u64, real: u64) -> u64 {
    real.saturating_sub(before).min(LONGEST_STEP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_tick_is_a_gap_that_nobody_pays_for() {
        assert_eq!(step(1_000, 1_050), 50);
        assert_eq!(step(1_000, 61_000), LONGEST_STEP);
    }
}
