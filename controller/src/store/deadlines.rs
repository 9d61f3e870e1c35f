//! What is due when: an ordered agenda, so that the tick looks only at what is due.
//!
//! A heartbeat does not touch the agenda: it moves the deadline inside the lease. When a lease comes up and
//! turns out to have been touched meanwhile, it is entered again at its new deadline. Each lease thus costs one
//! look per TTL, whatever its rate of beats, and has exactly one entry, so that nothing piles up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::row::Lease;

#[derive(Debug, Default)]
pub(super) struct Deadlines {
    /// By lease time and, for those of one millisecond, by the lease's address.
    agenda: BTreeMap<(u64, usize), Arc<Lease>>,
}

impl Deadlines {
    /// Enters the lease at `due`; an entry it already has moves there.
    pub(super) fn enter(&mut self, due: u64, lease: &Arc<Lease>) {
        self.cancel(lease);
        lease.place.store(due, Relaxed);
        self.agenda.insert((due, address(lease)), Arc::clone(lease));
    }

    pub(super) fn cancel(&mut self, lease: &Arc<Lease>) {
        self.agenda.remove(&(lease.place.load(Relaxed), address(lease)));
    }

    /// Takes out all that is due.
    pub(super) fn pop_due(&mut self, now: u64) -> Vec<Arc<Lease>> {
        let mut due = Vec::new();
        while let Some(entry) = self.agenda.first_entry() {
            if entry.key().0 > now {
                break;
            }
            due.push(entry.remove());
        }
        due
    }
}

#[cfg(test)]
impl Deadlines {
    pub(super) fn len(&self) -> usize {
        self.agenda.len()
    }
}

/// Unique while the agenda holds the lease alive.
fn address(lease: &Arc<Lease>) -> usize {
    Arc::as_ptr(lease).addr()
}
