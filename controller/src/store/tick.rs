//! What time does by itself: endpoints expire, the long expired are forgotten, and so are old departures.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::Now;
use super::instances::Shard;
use super::row::{Lease, Row};
use super::service::{Service, Why};
use super::services::Services;

/// Lease milliseconds from expiry until a row is forgotten: 24 h.
pub(crate) const FORGET_AFTER: u64 = 24 * 60 * 60 * 1_000;
/// Lease milliseconds for which a departure is told to watchers who missed it.
const REMEMBER_DEPARTURES_FOR: u64 = 10 * 60 * 1_000;
/// Departures remembered over all services.
const MOST_DEPARTURES: usize = 65_536;

/// Every departure still remembered, oldest first.
#[derive(Debug, Default)]
pub(super) struct Graveyard {
    departures: VecDeque<(u64, Arc<Service>, u64)>,
}

impl Graveyard {
    pub(super) fn add(&mut self, now: u64, service: &Arc<Service>, revision: u64) {
        self.departures.push_back((now, Arc::clone(service), revision));
    }

    /// Takes out what is too old or too much.
    fn pop_old(&mut self, now: u64) -> Vec<(Arc<Service>, u64)> {
        let too_much = self.departures.len().saturating_sub(MOST_DEPARTURES);
        let too_old = self.departures.partition_point(|(at, ..)| at + REMEMBER_DEPARTURES_FOR <= now);
        let out = self.departures.drain(..too_much.max(too_old));
        out.map(|(_, service, revision)| (service, revision)).collect()
    }
}

impl Services {
    /// Does what is due. Costs nothing for what is not.
    pub(crate) fn tick(&self, now: Now) {
        let due = self.deadlines.lock().pop_due(now.lease);
        for lease in due {
            self.attend(&lease, now);
        }
        self.refused.lock().drop_ended(now.lease);
        let old = self.graveyard.lock().pop_old(now.lease);
        for (service, revision) in old {
            self.bury(&service, revision);
        }
    }

    /// A lease whose turn has come: touched meanwhile, now expired, or expired so long that it is forgotten.
    fn attend(&self, lease: &Arc<Lease>, now: Now) {
        let mut shard = self.instances.shard(&lease.identity.instance);
        let Some(instance) = shard.get_mut(&lease.identity.instance) else { return };
        let Some(row) = instance.rows.iter().find(|row| Arc::ptr_eq(&row.lease, lease)).map(Arc::clone)
        else {
            return;
        };
        if lease.is_expired() {
            // A heartbeat that brought it back between the agenda and here has cleared the mark.
            self.forget(&mut shard, &row);
        } else if lease.deadline() > now.lease {
            self.deadlines.lock().enter(lease.deadline(), lease);
            self.journal.put(&row);
        } else {
            self.alter(&lease.identity.service, |service, state| {
                lease.set_expired(true);
                let revision = state.change(service, &self.changes);
                state.note_removed(&lease.identity, Why::Expired);
                self.journal.put(&row);
                self.graveyard.lock().add(now.lease, service, revision);
            });
            instance.liveness_changed();
            self.deadlines.lock().enter(now.lease + FORGET_AFTER, lease);
            self.ring();
        }
    }

    /// Takes out an expired row without a word: watchers were told when it expired.
    fn forget(&self, shard: &mut Shard, row: &Arc<Row>) {
        let identity = row.identity();
        let emptied = self.alter(&identity.service, |service, state| {
            state.rows.remove(identity);
            self.journal.delete(identity);
            state.is_forgettable().then(|| Arc::clone(service))
        });
        if let Some(instance) = shard.get_mut(&identity.instance) {
            instance.remove(row);
            if instance.rows.is_empty() {
                shard.remove(&identity.instance);
            }
        }
        if let Some(service) = emptied {
            self.retire(&service);
        }
    }

    fn bury(&self, service: &Arc<Service>, revision: u64) {
        service.bury(revision);
        self.floor.fetch_max(revision, Relaxed);
        if service.lock().is_forgettable() {
            self.retire(service);
        }
    }

    /// Takes a service out in which nothing is left to tell.
    fn retire(&self, service: &Arc<Service>) {
        let mut by_name = self.by_name.write();
        let mut state = service.lock();
        if state.is_forgettable() && !state.retired {
            state.retired = true;
            by_name.remove(&service.name);
            self.changes.forget(state.changed_at);
            self.floor.fetch_max(state.changed_at, Relaxed);
        }
    }
}
