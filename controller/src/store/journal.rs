//! What is still to be written to disk: the latest state of each row that changed.
//!
//! Registrations are soft state, so they are written behind: a change only notes its row here, and the writer
//! takes all of them at once. A row that changes ten times in between is written once, which also bounds
//! the list by the number of rows. With the memory store nothing is noted.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::row::{Identity, Row};

/// The rows to write; `None` for one to delete.
pub(crate) type Pending = HashMap<Arc<Identity>, Option<Arc<Row>>>;

/// Where changes are noted for the disk, if there is one.
#[derive(Clone, Default)]
pub(crate) struct Journal {
    target: Option<Arc<Target>>,
}

struct Target {
    pending: Mutex<Pending>,
    /// Called when the list stops being empty.
    wake: Box<dyn Fn() + Send + Sync>,
}

impl Journal {
    pub(crate) fn new(wake: Box<dyn Fn() + Send + Sync>) -> Self {
        Self { target: Some(Arc::new(Target { pending: Mutex::default(), wake })) }
    }

    /// To be called while the row's service is locked, so that the order here is the order there.
    pub(super) fn put(&self, row: &Arc<Row>) {
        self.note(row.identity(), Some(row));
    }

    pub(super) fn delete(&self, identity: &Arc<Identity>) {
        self.note(identity, None);
    }

    pub(crate) fn take(&self) -> Pending {
        self.target
            .as_ref()
            .map_or_else(Pending::default, |target| std::mem::take(&mut *target.pending.lock()))
    }

    /// Gives back what could not be written, except where something newer was noted meanwhile.
    pub(crate) fn give_back(&self, unwritten: Pending) {
        let Some(target) = &self.target else { return };
        let mut pending = target.pending.lock();
        for (identity, row) in unwritten {
            pending.entry(identity).or_insert(row);
        }
    }

    fn note(&self, identity: &Arc<Identity>, row: Option<&Arc<Row>>) {
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
