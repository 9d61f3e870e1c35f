//! The cells of one endpoint: what picks, reports and probes have seen of it.
//!
//! Every field is its own atomic, written without a lock. Two that belong together may be read a report
//! apart; the policies are made so that this costs them nothing.

use std::any::Any;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::clock::Tick;

/// An `f64` in an atomic.
#[derive(Debug, Default)]
pub struct Cell(AtomicU64);

impl Cell {
    /// Its value.
    #[inline]
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }

    /// Sets it.
    #[inline]
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }
}

/// A value and the moment it was last written; what it is worth later is for the reader to project.
#[derive(Debug, Default)]
pub struct Decaying {
    value: Cell,
    at: AtomicU64,
}

impl Decaying {
    /// The value as written and when; `None` before the first.
    #[inline]
    pub fn get(&self) -> Option<(f64, Tick)> {
        let at = self.at.load(Ordering::Relaxed);
        (at != 0).then(|| (self.value.get(), Tick::from_nanos(at)))
    }

    /// Writes it.
    #[inline]
    pub fn set(&self, value: f64, now: Tick) {
        self.value.set(value);
        self.at.store(now.nanos(), Ordering::Relaxed);
    }
}

/// What has been seen of one endpoint. The first cells are those that every pick reads: one cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct State {
    /// Calls that have begun and not ended.
    pub in_flight: AtomicU32,
    ejected: AtomicBool,
    /// When `in_flight` last reached three, moved on by each answer.
    pub crowded_since: AtomicU64,
    /// EWMA of the latency, nanoseconds.
    pub latency: Decaying,
    /// EWMA of success, 0 to 1.
    pub success: Decaying,
    /// What a transport keeps for this endpoint, such as its open connections; dropped with the endpoint.
    pub connections: OnceLock<Connections>,
}

/// Something of a transport's.
pub struct Connections(pub Box<dyn Any + Send + Sync>);

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connections")
    }
}

impl State {
    /// Whether it is out of rotation.
    #[inline]
    pub fn is_ejected(&self) -> bool {
        self.ejected.load(Ordering::Relaxed)
    }
}
