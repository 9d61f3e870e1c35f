//! What a connection did last, so that slow and idle connections can be closed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::config::Limits;

/// The last activity of a connection, in milliseconds of the coarse clock.
#[derive(Debug, Default)]
pub(crate) struct ConnectionActivity {
    last_byte: AtomicU64,
    /// When the headers that are being read began, plus one; zero while none are being read.
    headers_began: AtomicU64,
    /// A request is in flight.
    in_flight: AtomicBool,
    watch_responded: Mutex<Option<Instant>>,
}

impl ConnectionActivity {
    pub(super) fn request_started(&self) {
        self.in_flight.store(true, Relaxed);
        self.headers_began.store(0, Relaxed);
    }

    pub(super) fn request_finished(&self, now: u64) {
        self.last_byte.store(now, Relaxed);
        self.in_flight.store(false, Relaxed);
    }

    pub(super) fn last_watch_response(&self) -> Option<Instant> {
        *self.watch_responded.lock()
    }

    pub(super) fn watch_responded(&self, at: Instant) {
        *self.watch_responded.lock() = Some(at);
    }

    pub(super) fn received(&self, now: u64) {
        self.last_byte.store(now, Relaxed);
        if !self.in_flight.load(Relaxed) && self.headers_began.load(Relaxed) == 0 {
            self.headers_began.store(now + 1, Relaxed);
        }
    }

    pub(super) fn sent(&self, now: u64) {
        self.last_byte.store(now, Relaxed);
    }

    pub(super) fn is_overdue(&self, now: u64, limits: &Limits) -> bool {
        let longer_than = |since: u64, limit: Duration| now.saturating_sub(since) >= limit.as_millis() as u64;
        let headers_began = self.headers_began.load(Relaxed);
        let headers_are_slow = headers_began > 0 && longer_than(headers_began - 1, limits.headers);
        let is_idle = !self.in_flight.load(Relaxed) && longer_than(self.last_byte.load(Relaxed), limits.idle);
        headers_are_slow || is_idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        body: 0,
        headers: Duration::from_secs(10),
        body_time: Duration::ZERO,
        idle: Duration::from_secs(75),
        connections: 1,
    };

    #[test]
    fn slow_headers_are_overdue_after_their_limit() {
        let activity = ConnectionActivity::default();
        activity.received(0);
        activity.received(9_000);
        assert!(!activity.is_overdue(9_999, &LIMITS));
        assert!(activity.is_overdue(10_000, &LIMITS));
    }

    #[test]
    fn request_in_flight_is_never_overdue() {
        let activity = ConnectionActivity::default();
        activity.received(0);
        activity.request_started();
        assert!(!activity.is_overdue(1_000_000, &LIMITS));
    }

    #[test]
    fn idle_connection_is_overdue_after_the_idle_limit() {
        let activity = ConnectionActivity::default();
        activity.request_started();
        activity.request_finished(1_000);
        assert!(!activity.is_overdue(75_999, &LIMITS));
        assert!(activity.is_overdue(76_000, &LIMITS));
    }
}
