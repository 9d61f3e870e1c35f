//! The clocks of the controller: one for leases, and one for idle connections.
//!
//! The lease clock advances by ticks. A late tick advances it by 250 ms at most: a process that was stopped for a minute
//! (SIGSTOP, a suspended laptop) received no heartbeat in that minute, and must not expire endpoints for it. All
//! deadlines are lease times, so they move by the length of the gap without being changed.
//! Reading a clock is one atomic load, so a heartbeat makes no system call for the time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::store::Now;

/// How often the clocks advance and due leases are processed.
pub(crate) const TICK: Duration = Duration::from_millis(50);
/// The most milliseconds by which one tick advances the lease clock.
const LONGEST_STEP: u64 = 250;

#[derive(Debug)]
pub(crate) struct LeaseClock {
    start: Instant,
    lease: AtomicU64,
    real: AtomicU64,
}

impl LeaseClock {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), lease: AtomicU64::new(0), real: AtomicU64::new(0) }
    }

    /// The time at which a request is processed.
    pub(crate) fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { lease: self.lease.load(Relaxed), unix: unix.as_secs() as i64 }
    }

    /// Milliseconds from the start to the last tick. Precise enough for idle connections.
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
    fn late_tick_advances_the_lease_clock_by_its_limit() {
        assert_eq!(step(1_000, 1_050), 50);
        assert_eq!(step(1_000, 61_000), LONGEST_STEP);
    }
}
