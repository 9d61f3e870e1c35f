//! A running watch: delivers changes, merged for slow readers, without gaps.
//!
//! Only the names of changed services are queued. The reader compares the list it delivered last with the present list,
//! so that one change covers all updates in between.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::sync::{Condvar, Mutex};

use super::Inner;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::interrupt::{Interrupt, SLICE};
use crate::model::{Change, ChangeKind, Endpoint, EndpointKey};

/// A running watch. `next` and `close` may be called from any thread.
#[derive(Clone)]
pub struct CatalogWatch {
    pub(super) reader: Arc<WatchReader>,
    pub(super) catalog: Weak<Inner>,
}

/// The changes that a watch has not delivered yet.
#[derive(Default)]
pub(super) struct WatchReader {
    pending: Mutex<Pending>,
    woken: Condvar,
}

#[derive(Default)]
struct Pending {
    changed: BTreeSet<String>,
    /// Changes of the registry's availability to deliver, by service.
    registry: BTreeMap<String, ChangeKind>,
    delivered: HashMap<String, Vec<Arc<Endpoint>>>,
    /// Whether it watches all services. Services that never had endpoints are left out.
    all: bool,
    down: bool,
    closed: bool,
}

impl WatchReader {
    pub(super) fn of_all() -> WatchReader {
        WatchReader {
            pending: Mutex::new(Pending { all: true, ..Pending::default() }),
            woken: Condvar::new(),
        }
    }

    /// A service changed.
    pub(super) fn changed(&self, service: &str) {
        self.pending.lock().changed.insert(service.to_owned());
        self.woken.notify_one();
    }

    /// The registry became unavailable or available.
    pub(super) fn registry(&self, is_down: bool) {
        let mut pending = self.pending.lock();
        if std::mem::replace(&mut pending.down, is_down) == is_down {
            return;
        }
        let (kind, opposite) = if is_down {
            (ChangeKind::RegistryDown, ChangeKind::RegistryUp)
        } else {
            (ChangeKind::RegistryUp, ChangeKind::RegistryDown)
        };
        let services: Vec<String> = pending.delivered.keys().chain(&pending.changed).cloned().collect();
        for service in services {
            // Unavailable and available again before delivery: no change.
            if pending.registry.get(&service) == Some(&opposite) {
                pending.registry.remove(&service);
            } else {
                pending.registry.insert(service, kind);
            }
        }
        self.woken.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.pending.lock().closed
    }

    pub(super) fn is_down(&self) -> bool {
        self.pending.lock().down
    }

    pub(super) fn is_of_all(&self) -> bool {
        self.pending.lock().all
    }

    pub(super) fn close(&self) {
        self.pending.lock().closed = true;
        self.woken.notify_all();
    }
}

impl CatalogWatch {
    /// Waits for the next change; `None` when the timeout has passed. Without a timeout it waits for ever. Fails with
    /// `Closed` after `close()`.
    pub fn next(&self, timeout: Option<Duration>, interrupt: &dyn Interrupt) -> Result<Option<Change>> {
        let until = timeout.map_or(clock::Tick::NEVER, |timeout| clock::now().after(timeout));
        loop {
            // Not under the lock: the caller's interrupt may close this watch.
            interrupt.check()?;
            let mut pending = self.reader.pending.lock();
            if pending.closed {
                return Err(Error::new(Kind::Closed, "the watch was closed"));
            }
            if let Some(change) = self.take(&mut pending) {
                return Ok(Some(change));
            }
            let left = until.remaining(clock::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.reader.woken.wait_for(&mut pending, left.min(SLICE));
        }
    }

    /// Closes the watch: waiting calls of `next` fail with `Closed`.
    pub fn close(&self) {
        self.reader.close();
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.reader.is_closed()
    }

    fn take(&self, pending: &mut Pending) -> Option<Change> {
        let ready = pending.registry.keys().find(|service| pending.delivered.contains_key(*service)).cloned();
        if let Some((service, kind)) = ready.and_then(|service| pending.registry.remove_entry(&service)) {
            let endpoints = pending.delivered.get(&service).cloned().unwrap_or_default();
            return Some(unchanged(service, kind, endpoints));
        }
        while let Some(service) = pending.changed.pop_first() {
            let present = self.present(&service);
            let Some(before) = pending.delivered.get_mut(&service) else {
                if pending.all && present.is_empty() {
                    continue;
                }
                pending.delivered.insert(service.clone(), present.clone());
                if pending.down {
                    pending.registry.entry(service.clone()).or_insert(ChangeKind::RegistryDown);
                }
                return Some(Change {
                    added: present.clone(),
                    ..unchanged(service, ChangeKind::Snapshot, present)
                });
            };
            let change = compare(service, before, &present);
            *before = present;
            if change.is_some() {
                return change;
            }
        }
        None
    }

    fn present(&self, service: &str) -> Vec<Arc<Endpoint>> {
        let catalog = self.catalog.upgrade();
        let entry = catalog.and_then(|catalog| catalog.services.load().get(service).cloned());
        let snapshot = entry.map(|entry| entry.service().snapshot()).unwrap_or_default();
        snapshot.members.iter().map(|member| member.endpoint.clone()).collect()
    }
}

fn unchanged(service: String, kind: ChangeKind, endpoints: Vec<Arc<Endpoint>>) -> Change {
    Change { service, kind, added: Vec::new(), updated: Vec::new(), removed: Vec::new(), endpoints }
}

/// The difference of two lists; `None` if they are equal.
fn compare(service: String, before: &[Arc<Endpoint>], present: &[Arc<Endpoint>]) -> Option<Change> {
    let mut old: HashMap<EndpointKey, &Arc<Endpoint>> =
        before.iter().map(|endpoint| (endpoint.key(), endpoint)).collect();
    let mut change = unchanged(service, ChangeKind::Changed, present.to_vec());
    for endpoint in present {
        match old.remove(&endpoint.key()) {
            None => change.added.push(endpoint.clone()),
            Some(entry) if !entry.same_as(endpoint) => change.updated.push(endpoint.clone()),
            Some(_) => {}
        }
    }
    change.removed = before.iter().filter(|endpoint| old.contains_key(&endpoint.key())).cloned().collect();
    let is_nothing = change.added.is_empty() && change.updated.is_empty() && change.removed.is_empty();
    (!is_nothing).then_some(change)
}
