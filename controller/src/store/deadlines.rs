//! The leases in the order of their deadlines, so that a tick looks only at those that are due.
//!
//! A heartbeat does not change this queue: it moves the deadline inside the lease. When a lease is due and has been
//! renewed meanwhile, it is scheduled again at its new deadline. So each lease has exactly one entry and costs one check
//! per TTL, whatever its heartbeat rate.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::row::Lease;

#[derive(Debug, Default)]
pub(super) struct Deadlines {
    /// By lease time; within one millisecond by the address of the lease in memory.
    schedule: BTreeMap<(u64, usize), Arc<Lease>>,
}

impl Deadlines {
    /// Schedules the lease at `due`; replaces its earlier entry.
    pub(super) fn schedule_lease(&mut self, due: u64, lease: &Arc<Lease>) {
        self.cancel(lease);
        lease.scheduled_for.store(due, Relaxed);
        self.schedule.insert((due, address(lease)), Arc::clone(lease));
    }

    pub(super) fn cancel(&mut self, lease: &Arc<Lease>) {
        self.schedule.remove(&(lease.scheduled_for.load(Relaxed), address(lease)));
    }

    /// Removes and returns the leases that are due.
    pub(super) fn pop_due(&mut self, now: u64) -> Vec<Arc<Lease>> {
        let mut due = Vec::new();
        while let Some(entry) = self.schedule.first_entry() {
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
        self.schedule.len()
    }
}

/// Unique while the queue holds the lease.
fn address(lease: &Arc<Lease>) -> usize {
    Arc::as_ptr(lease).addr()
}
