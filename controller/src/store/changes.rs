//! The order of events: which service changed last, and when.
//!
//! Every change gets the next revision. A watcher that has seen revision R is owed the services whose last
//! change is later than R, and finds them here without looking at the others.
//! The revision is handed out under the same lock as the entry it belongs to, and while the service itself is
//! locked: whoever reads revision R therefore also finds everything that led to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

use super::service::Service;

#[derive(Debug, Default)]
pub(super) struct Changes {
    state: Mutex<State>,
    /// The highest revision up to which some departure is forgotten.
    floor: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    revision: u64,
    /// Each service once, under the revision of its last change.
    latest: BTreeMap<u64, Arc<Service>>,
}

impl Changes {
    /// Moves the service, last changed at `previous`, to the front.
    pub(super) fn record(&self, service: &Arc<Service>, previous: u64) -> u64 {
        let mut state = self.state.lock();
        state.revision += 1;
        let revision = state.revision;
        state.latest.remove(&previous);
        state.latest.insert(revision, Arc::clone(service));
        revision
    }

    pub(super) fn forget(&self, changed_at: u64) {
        self.state.lock().latest.remove(&changed_at);
    }

    /// A departure of this revision can no longer be told.
    pub(super) fn raise_floor(&self, revision: u64) {
        self.floor.fetch_max(revision, Relaxed);
    }

    /// From this revision on every departure of every service is known.
    pub(super) fn floor(&self) -> u64 {
        self.floor.load(Relaxed)
    }

    pub(super) fn revision(&self) -> u64 {
        self.state.lock().revision
    }

    /// The present revision, and the services that changed after `since`.
    pub(super) fn after(&self, since: u64) -> (u64, Vec<Arc<Service>>) {
        let state = self.state.lock();
        let changed = state.latest.range(since.saturating_add(1)..).map(|(_, service)| Arc::clone(service));
        (state.revision, changed.collect())
    }
}
