//! One controller: its address, its kind, its TTL.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use crate::sync::Mutex;

use super::wire::epoch_of;
use crate::registry::http_host::HttpHost;
use crate::registry::types::DEFAULT_TTL;
use crate::transport::Answer;

const UNKNOWN: u8 = 0;
const ORIGINAL: u8 = 1;
const PLUMLINE: u8 = 2;

/// One controller.
pub(super) struct PlumController {
    pub(super) host: HttpHost,
    kind: AtomicU8,
    ttl_ms: AtomicU64,
    /// The state of the first list that was read. A watch that starts there misses no removal.
    first_since: Mutex<String>,
}

impl PlumController {
    pub(super) fn new(host: HttpHost) -> PlumController {
        PlumController {
            host,
            kind: AtomicU8::new(UNKNOWN),
            ttl_ms: AtomicU64::new(DEFAULT_TTL.as_millis() as u64),
            first_since: Mutex::default(),
        }
    }

    /// The name of the controller in messages.
    pub(super) fn label(&self) -> String {
        self.host.label()
    }

    /// Learns the kind of the controller from a response. An error may come from a proxy, so it counts only with the header.
    pub(super) fn learn_kind(&self, response: &Answer) {
        if response.headers.get("plum-features").is_some() {
            self.kind.store(PLUMLINE, Ordering::Relaxed);
        } else if matches!(response.status, 200..=299 | 404 | 405) {
            self.kind.store(ORIGINAL, Ordering::Relaxed);
        }
        let seconds = response.headers.get("plum-service-ttl").and_then(|ttl| ttl.trim().parse::<f64>().ok());
        if let Some(seconds) = seconds.filter(|seconds| (0.1..1e6).contains(seconds)) {
            self.ttl_ms.store((seconds * 1e3) as u64, Ordering::Relaxed);
        }
    }

    /// Records the state of a list that was read.
    pub(super) fn record_since(&self, since: &str) {
        let mut first = self.first_since.lock();
        if epoch_of(&first) != epoch_of(since) {
            since.clone_into(&mut first);
        }
    }

    /// The state at which a watch starts.
    pub(super) fn first_since(&self) -> String {
        self.first_since.lock().clone()
    }

    pub(super) fn is_original(&self) -> bool {
        self.kind.load(Ordering::Relaxed) == ORIGINAL
    }

    pub(super) fn is_known(&self) -> bool {
        self.kind.load(Ordering::Relaxed) != UNKNOWN
    }

    pub(super) fn is_plumline(&self) -> bool {
        self.kind.load(Ordering::Relaxed) == PLUMLINE
    }

    /// Marks the controller as an original, because it does not support a request of Plumline controllers.
    pub(super) fn set_original(&self) {
        self.kind.store(ORIGINAL, Ordering::Relaxed);
    }

    pub(super) fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl_ms.load(Ordering::Relaxed))
    }
}
