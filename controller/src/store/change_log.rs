//! The order of changes: which service changed last, and at which revision.
//!
//! Every change gets the next revision. A watcher that has seen revision R needs the services whose last change is
//! later than R, and finds them here without a look at the others. The revision is assigned under the same lock as its
//! entry, and while the service is locked: a reader that sees revision R also sees every change up to R.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

use super::service::Service;

#[derive(Debug, Default)]
pub(super) struct ChangeLog {
    state: Mutex<RevisionOrder>,
    /// The highest revision up to which some removal is forgotten.
    floor: AtomicU64,
}

#[derive(Debug, Default)]
struct RevisionOrder {
    revision: u64,
    /// Each service once, by the revision of its last change.
    latest: BTreeMap<u64, Arc<Service>>,
}

impl ChangeLog {
    /// Assigns the next revision to the service, which last changed at `previous`.
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

    /// Removals up to this revision are forgotten.
    pub(super) fn raise_floor(&self, revision: u64) {
        self.floor.fetch_max(revision, Relaxed);
    }

    /// From this revision on, every removal of every service is known.
    pub(super) fn floor(&self) -> u64 {
        self.floor.load(Relaxed)
    }

    pub(super) fn revision(&self) -> u64 {
        self.state.lock().revision
    }

    /// The current revision, and the services that changed after `since`.
    pub(super) fn after(&self, since: u64) -> (u64, Vec<Arc<Service>>) {
        let state = self.state.lock();
        let changed = state.latest.range(since.saturating_add(1)..).map(|(_, service)| Arc::clone(service));
        (state.revision, changed.collect())
    }
}
