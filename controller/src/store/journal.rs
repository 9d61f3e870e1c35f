//! The rows that are still to be written to disk, each in its latest state.
//!
//! Registrations are soft state, so they are written behind: a change records its row here, and the writer takes all
//! recorded rows at once. A row that changes ten times in between is written once, which also bounds the journal by the
//! number of rows. With the memory store nothing is recorded.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::row::{Identity, Row};

/// The rows to write; `None` means delete.
pub(crate) type PendingRows = HashMap<Arc<Identity>, Option<Arc<Row>>>;

/// Records changes for the disk; does nothing with the memory store.
#[derive(Clone, Default)]
pub(crate) struct Journal {
    target: Option<Arc<JournalTarget>>,
}

struct JournalTarget {
    pending: Mutex<PendingRows>,
    /// Called when the journal is no longer empty.
    wake: Box<dyn Fn() + Send + Sync>,
}

impl Journal {
    pub(crate) fn new(wake: Box<dyn Fn() + Send + Sync>) -> Self {
        Self { target: Some(Arc::new(JournalTarget { pending: Mutex::default(), wake })) }
    }

    /// Must be called while the row's service is locked, so that changes are recorded in their order.
    pub(super) fn put(&self, row: &Arc<Row>) {
        self.record(row.identity(), Some(row));
    }

    pub(super) fn delete(&self, identity: &Arc<Identity>) {
        self.record(identity, None);
    }

    pub(crate) fn take(&self) -> PendingRows {
        self.target
            .as_ref()
            .map_or_else(PendingRows::default, |target| std::mem::take(&mut *target.pending.lock()))
    }

    /// Returns rows that could not be written, except those that were recorded again meanwhile.
    pub(crate) fn put_back(&self, rows: PendingRows) {
        let Some(target) = &self.target else { return };
        let mut pending = target.pending.lock();
        for (identity, row) in rows {
            pending.entry(identity).or_insert(row);
        }
    }

    fn record(&self, identity: &Arc<Identity>, row: Option<&Arc<Row>>) {
        let Some(target) = &self.target else { return };
        let mut pending = target.pending.lock();
        let was_empty = pending.is_empty();
        pending.insert(Arc::clone(identity), row.map(Arc::clone));
        drop(pending);
        if was_empty {
            (target.wake)();
        }
    }
}
