//! One controller: where it is, what it can do, how long it keeps an instance.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use crate::sync::Mutex;

use super::wire::epoch_of;
use crate::registry::DEFAULT_TTL;
use crate::registry::web::Host;
use crate::transport::Answer;

const UNKNOWN: u8 = 0;
const ORIGINAL: u8 = 1;
const OURS: u8 = 2;

/// One controller.
pub(super) struct Site {
    pub(super) host: Host,
    kind: AtomicU8,
    ttl_ms: AtomicU64,
    /// The state of the first list read from ours: a watch that begins there misses no departure.
    first_since: Mutex<String>,
}

impl Site {
    pub(super) fn new(host: Host) -> Site {
        Site {
            host,
            kind: AtomicU8::new(UNKNOWN),
            ttl_ms: AtomicU64::new(DEFAULT_TTL.as_millis() as u64),
            first_since: Mutex::default(),
        }
    }

    /// For messages.
    pub(super) fn label(&self) -> String {
        self.host.label()
    }

    /// Learns from an answer what it is. An error may be a proxy's: it says nothing unless it says so.
    pub(super) fn learn(&self, answer: &Answer) {
        if answer.headers.get(plumline_wire::FEATURES_HEADER).is_some() {
            self.kind.store(OURS, Ordering::Relaxed);
        } else if matches!(answer.status, 200..=299 | 404 | 405) {
            self.kind.store(ORIGINAL, Ordering::Relaxed);
        }
        let seconds = answer
            .headers
            .get(plumline_wire::SERVICE_TTL_HEADER)
            .and_then(|ttl| ttl.trim().parse::<f64>().ok());
        if let Some(seconds) = seconds.filter(|seconds| (0.1..1e6).contains(seconds)) {
            self.ttl_ms.store((seconds * 1e3) as u64, Ordering::Relaxed);
        }
    }

    /// A list was read as of this state.
    pub(super) fn note_since(&self, since: &str) {
        let mut first = self.first_since.lock();
        if epoch_of(&first) != epoch_of(since) {
            since.clone_into(&mut first);
        }
    }

    /// Where a watch is to begin.
    pub(super) fn first_since(&self) -> String {
        self.first_since.lock().clone()
    }

    pub(super) fn is_original(&self) -> bool {
        self.kind.load(Ordering::Relaxed) == ORIGINAL
    }

    pub(super) fn is_known(&self) -> bool {
        self.kind.load(Ordering::Relaxed) != UNKNOWN
    }

    pub(super) fn is_ours(&self) -> bool {
        self.kind.load(Ordering::Relaxed) == OURS
    }

    /// It was ours, and does not know what ours knows.
    pub(super) fn is_the_original(&self) {
        self.kind.store(ORIGINAL, Ordering::Relaxed);
    }

    pub(super) fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl_ms.load(Ordering::Relaxed))
    }
}
