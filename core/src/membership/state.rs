//! The cells of one endpoint: what picks, reports and probes have seen of it.
//!
//! Every field is its own atomic, written without a lock. Two that belong together may be read a report
//! apart; the policies are made so that this costs them nothing.

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::sync::Mutex;
use arc_swap::ArcSwapOption;

use super::{Ejection, Recent, RotationStatus};
use crate::clock::Tick;

/// So many calls in flight make a crowd: fewer that hang may be slow, a crowd that hangs is stalled.
pub const CROWD: u32 = 3;

/// An `f64` in an atomic.
#[derive(Debug, Default)]
pub struct AtomicF64(AtomicU64);

impl AtomicF64 {
    /// Its value.
    #[inline]
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }

    /// Sets it.
    #[inline]
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }
}

/// A value and the moment it was last written; what it is worth later is for the reader to project.
#[derive(Debug, Default)]
pub struct Decaying {
    value: AtomicF64,
    at: AtomicU64,
}

impl Decaying {
    /// The value as written and when; `None` before the first.
    #[inline]
    pub fn get(&self) -> Option<(f64, Tick)> {
        let at = self.at.load(Relaxed);
        (at != 0).then(|| (self.value.get(), Tick::from_nanos(at)))
    }

    /// Writes it.
    #[inline]
    pub fn set(&self, value: f64, now: Tick) {
        self.value.set(value);
        self.at.store(now.nanos(), Relaxed);
    }

    /// As if nothing had ever been written.
    fn clear(&self) {
        self.at.store(0, Relaxed);
    }
}

/// How long a crowd may hang before the endpoint is suspect.
#[derive(Debug, Default)]
pub struct StallTimeout(AtomicU64);

impl StallTimeout {
    /// `None` until it has been worked out.
    #[inline]
    pub fn get(&self) -> Option<Duration> {
        let nanos = self.0.load(Relaxed);
        (nanos != 0).then(|| Duration::from_nanos(nanos))
    }

    /// Sets it.
    pub fn set(&self, stall_timeout: Duration) {
        self.0.store(stall_timeout.as_nanos() as u64, Relaxed);
    }

    /// As if it had never been worked out.
    pub fn clear(&self) {
        self.0.store(0, Relaxed);
    }
}

/// What has been seen of one endpoint. The first cells are those that every pick reads: one cache line.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct EndpointState {
    /// EWMA of the latency, nanoseconds.
    pub latency: Decaying,
    /// EWMA of success, 0 to 1.
    pub success: Decaying,
    /// When `in_flight` last became a crowd, moved on by each answer.
    crowded_since: AtomicU64,
    /// How long its crowd may hang; unknown while it has answered too little.
    pub stall_timeout: StallTimeout,
    /// Uses that have begun, and those that have ended: in flight is the difference.
    begun: AtomicU64,
    ended: AtomicU64,
    /// How many had begun when the last answer came.
    begun_at_answer: AtomicU64,
    /// Failures in a row.
    pub streak: FailureStreak,
    standing: AtomicU8,
    looked_at: AtomicBool,
    answers: Recent,
    returned_at: AtomicU64,
    /// The multiplier of the next ejection, and since when no failure has been seen.
    pub penalty: Decaying,
    failures: AtomicU64,
    ejection: Mutex<Option<Ejection>>,
    /// What a transport keeps for this endpoint, such as its open connections; dropped with the endpoint,
    /// or when it is reached by other names than before.
    pub connections: ArcSwapOption<Connections>,
}

/// Something of a transport's.
pub struct Connections(pub Box<dyn Any + Send + Sync>);

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connections")
    }
}

impl EndpointState {
    /// A call sets out. Every `begin` has its [`end`](State::end).
    #[inline]
    pub fn begin(&self, now: Tick) {
        let begun = self.begun.fetch_add(1, Relaxed) + 1;
        if begun.wrapping_sub(self.ended.load(Relaxed)) == u64::from(CROWD) {
            self.crowded_since.store(now.nanos(), Relaxed);
        }
    }

    /// A call has ended, however it ended.
    #[inline]
    pub fn end(&self) {
        self.ended.fetch_add(1, Relaxed);
    }

    /// An answer came, whatever it says: the endpoint lives.
    #[inline]
    pub fn answered(&self, now: Tick) {
        self.begun_at_answer.store(self.begun.load(Relaxed), Relaxed);
        if self.in_flight() >= CROWD {
            self.crowded_since.store(now.nanos(), Relaxed);
        }
    }

    /// Calls that have begun and not ended.
    #[inline]
    pub fn in_flight(&self) -> u32 {
        // In this order: one that ends in between must not be missing from those that began.
        let ended = self.ended.load(Relaxed);
        self.begun.load(Relaxed).saturating_sub(ended) as u32
    }

    /// Whether the caller is the one to look at it: one looks at a time, until [`end_look`](State::end_look).
    pub fn begin_look(&self) -> bool {
        !self.looked_at.swap(true, Relaxed)
    }

    /// The look is over.
    pub fn end_look(&self) {
        self.looked_at.store(false, Relaxed);
    }

    /// Another process stands behind the address: what was seen of the one before says nothing about it. Whether
    /// it is in rotation, a probe will tell.
    pub(super) fn begin_anew(&self) {
        self.latency.clear();
        self.success.clear();
        self.streak.clear();
    }

    /// Uses that have ended.
    pub fn attempts(&self) -> u64 {
        self.ended.load(Relaxed)
    }

    /// One of them failed.
    pub fn count_failure(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    /// How many failed.
    pub fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    /// How long its crowd has waited for any answer; `None` while there is no crowd.
    #[inline]
    pub fn hanging(&self, now: Tick) -> Option<Duration> {
        (self.in_flight() >= CROWD).then(|| now.since(Tick::from_nanos(self.crowded_since.load(Relaxed))))
    }

    /// The same of a crowd that has begun since its last answer: calls that are meant to be long, and wait beside
    /// others that are answered, do not count.
    #[inline]
    pub fn unanswered(&self, now: Tick) -> Option<Duration> {
        let hanging = self.hanging(now)?;
        let begun = self.begun.load(Relaxed).saturating_sub(self.begun_at_answer.load(Relaxed));
        (begun >= u64::from(CROWD)).then_some(hanging)
    }

    /// The latencies of its recent answers.
    pub fn answers(&self) -> &Recent {
        &self.answers
    }

    /// What it is trusted with.
    #[inline]
    pub fn standing(&self) -> RotationStatus {
        RotationStatus::from_number(self.standing.load(Relaxed))
    }

    /// Whether it is out of rotation.
    #[inline]
    pub fn is_ejected(&self) -> bool {
        self.standing() == RotationStatus::Ejected
    }

    /// A success while on trial clears it.
    pub fn acquit(&self) {
        let (trial, trusted) = (RotationStatus::OnTrial as u8, RotationStatus::Trusted as u8);
        // Whoever changed it first is right: a failure seen at the same moment has ejected it.
        let _ = self.standing.compare_exchange(trial, trusted, Relaxed, Relaxed);
    }

    /// Its ejection, while it is out of rotation.
    pub fn ejection(&self) -> Option<Ejection> {
        *self.ejection.lock()
    }

    /// When it last came back into rotation; what began before says nothing about it now.
    pub fn returned_at(&self) -> Tick {
        Tick::from_nanos(self.returned_at.load(Relaxed))
    }

    /// Under the service's writer lock only, like every change between in and out of rotation.
    pub(super) fn set_ejected(&self, ejection: Ejection) {
        *self.ejection.lock() = Some(ejection);
        self.standing.store(RotationStatus::Ejected as u8, Relaxed);
    }

    pub(super) fn set_returned(&self, at: Tick) {
        *self.ejection.lock() = None;
        self.returned_at.store(at.nanos(), Relaxed);
        // What hangs since before says nothing about it now.
        self.answered(at);
        self.standing.store(RotationStatus::OnTrial as u8, Relaxed);
    }

    pub(super) fn change_ejection(&self, change: impl FnOnce(&mut Ejection)) {
        if let Some(ejection) = self.ejection.lock().as_mut() {
            change(ejection);
        }
    }
}

/// Failures in a row: of any kind, and how many of them at the end were connect errors or timeouts.
#[derive(Debug, Default)]
pub struct FailureStreak(AtomicU32);

impl FailureStreak {
    /// One more; returns (of any kind, connect errors and timeouts), this one included.
    pub fn grow(&self, unreachable: bool) -> (u32, u32) {
        let grown = |packed: u32| {
            let (any, far) = (packed & 0xffff, packed >> 16);
            let far = if unreachable { (far + 1).min(0xffff) } else { 0 };
            far << 16 | (any + 1).min(0xffff)
        };
        let before =
            self.0.fetch_update(Relaxed, Relaxed, |packed| Some(grown(packed))).unwrap_or_else(|p| p);
        let after = grown(before);
        (after & 0xffff, after >> 16)
    }

    /// How many connect errors and timeouts stand at its end.
    pub fn unreachable(&self) -> u32 {
        self.0.load(Relaxed) >> 16
    }

    /// A success ends it.
    #[inline]
    pub fn clear(&self) {
        if self.0.load(Relaxed) != 0 {
            self.0.store(0, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pick_reads_one_cache_line() {
        assert!(std::mem::offset_of!(EndpointState, ended) < 64);
    }

    #[test]
    fn hanging_starts_with_3_calls_and_restarts_on_response() {
        let (state, at) = (EndpointState::default(), |second: u64| Tick::from_nanos(second * 1_000_000_000));
        state.begin(at(1));
        state.begin(at(2));
        assert_eq!(state.hanging(at(9)), None);
        state.begin(at(3));
        state.begin(at(4));
        assert_eq!(state.hanging(at(9)), Some(Duration::from_secs(6)));
        state.answered(at(8));
        assert_eq!(state.hanging(at(9)), Some(Duration::from_secs(1)));
        state.end();
        state.end();
        assert_eq!(state.hanging(at(9)), None);
    }

    #[test]
    fn other_failure_breaks_a_row_of_connect_errors() {
        let streak = FailureStreak::default();
        assert_eq!(streak.grow(true), (1, 1));
        assert_eq!(streak.grow(false), (2, 0));
        assert_eq!(streak.grow(true), (3, 1));
        streak.clear();
        assert_eq!(streak.grow(true), (1, 1));
    }
}
