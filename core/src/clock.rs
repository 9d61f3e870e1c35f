//! Time as the policies see it: a monotonic count of nanoseconds, passed in as an argument.
//!
//! No decision depends on the wall clock, so that a jump of the date has no effect. A [`Tick`] is eight bytes, so that atomics can hold one.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A moment: nanoseconds since this process first read the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(u64);

impl Tick {
    /// The beginning of time, earlier than every moment that [`now`] returns.
    pub const ZERO: Tick = Tick(0);
    /// A moment that never comes.
    pub const NEVER: Tick = Tick(u64::MAX);

    /// The moment so many nanoseconds after the beginning.
    pub const fn from_nanos(nanos: u64) -> Tick {
        Tick(nanos)
    }

    /// Nanoseconds since the beginning.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// The moment `wait` later; [`Tick::NEVER`] on overflow.
    pub fn after(self, wait: Duration) -> Tick {
        let wait = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        Tick(self.0.saturating_add(wait))
    }

    /// How long ago `earlier` was; zero if it is still to come.
    pub const fn since(self, earlier: Tick) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// How long it is until this moment; zero if it has passed.
    pub const fn remaining(self, now: Tick) -> Duration {
        now_to(now, self)
    }
}

const fn now_to(now: Tick, then: Tick) -> Duration {
    Duration::from_nanos(then.0.saturating_sub(now.0))
}

/// The present moment. One clock read, about 25 ns.
pub fn now() -> Tick {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    // One past zero, so that zero can stand for "never happened" in an atomic cell.
    let since = ORIGIN.get_or_init(Instant::now).elapsed();
    Tick((since.as_nanos() as u64).saturating_add(1))
}

/// The moment by which a call must have ended. It can only come nearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Tick);

impl Deadline {
    /// The deadline `timeout` from `now`.
    pub fn new(now: Tick, timeout: Duration) -> Deadline {
        Deadline(now.after(timeout))
    }

    /// The same deadline, or `other` if that comes earlier.
    #[must_use]
    pub fn tightened(self, other: Tick) -> Deadline {
        Deadline(self.0.min(other))
    }

    /// The moment itself.
    pub const fn at(self) -> Tick {
        self.0
    }

    /// What is left of it; zero once it has passed.
    pub const fn left(self, now: Tick) -> Duration {
        self.0.remaining(now)
    }

    /// Whether it has passed.
    pub fn passed(self, now: Tick) -> bool {
        now >= self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadline_only_gets_earlier() {
        let deadline = Deadline::new(Tick::from_nanos(0), Duration::from_secs(1));
        assert_eq!(deadline.tightened(Tick::NEVER), deadline);
        assert_eq!(deadline.tightened(Tick::from_nanos(5)).at(), Tick::from_nanos(5));
    }

    #[test]
    fn time_saturates_instead_of_wrapping() {
        assert_eq!(Tick::from_nanos(7).after(Duration::MAX), Tick::NEVER);
        assert_eq!(Tick::from_nanos(3).since(Tick::from_nanos(9)), Duration::ZERO);
        assert!(now() > Tick::ZERO);
    }
}
