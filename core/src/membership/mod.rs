//! The endpoints of one service with their state, and the views that picks choose from.
//!
//! ```text
//!  Service "orders" ──┬── Snapshot (all endpoints)    Member{endpoint, state} Member Member …
//!                     │                                         │ state outlives updates
//!                     ├── Selection per Query ── View (the usable endpoints, with an alias table)
//!                     ├── Rotation (ejected endpoints, at most half; when the next check is due)
//!                     └── ServiceLatency (the latency of the whole service)
//! ```
//!
//! Snapshots and views are immutable and replaced through `arc_swap`, so that picks read them without a lock. The catalog
//! replaces the snapshot; an ejection or a return rebuilds the views. All snapshots share the state of an endpoint, so
//! that it keeps its latency, load and success rate.

mod alias;
mod ejection;
mod merge;
mod recent;
mod rotation;
mod state;
mod view;

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sync::Mutex;
use arc_swap::{ArcSwap, Guard};

use crate::model::{Endpoint, Query};
use merge::{merge, one_per_key};
use rotation::{Absent, Rotation};

pub use alias::AliasTable;
pub use ejection::{Cause, Ejection, ProbeKind, RotationStatus};
pub use recent::Recent;
pub use state::{AtomicF64, CROWD, Connections, Decaying, EndpointState, FailureStreak, StallTimeout};
pub use view::{Candidate, MeanLatency, ServiceLatency, View};

/// One endpoint and its state.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its record.
    pub endpoint: Arc<Endpoint>,
    /// Its state, shared with the other snapshots.
    pub state: Arc<EndpointState>,
    /// Whether the registry has stopped listing it without saying that it is gone.
    pub unconfirmed: bool,
}

/// All endpoints of a service at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The endpoints, in the order of their addresses.
    pub members: Vec<Member>,
    /// Counts the snapshots of this service, from 0 (no list yet).
    pub revision: u64,
}

/// An endpoint as the catalog lists it.
#[derive(Clone, Debug)]
pub struct ListedEndpoint {
    /// Its record.
    pub endpoint: Arc<Endpoint>,
    /// Whether the registry has stopped listing it without saying that it is gone.
    pub unconfirmed: bool,
}

/// How one snapshot differs from the one before.
#[derive(Debug, Default, PartialEq)]
pub struct Delta {
    /// New endpoints.
    pub added: Vec<Arc<Endpoint>>,
    /// Endpoints whose record changed.
    pub updated: Vec<Arc<Endpoint>>,
    /// Removed endpoints.
    pub removed: Vec<Arc<Endpoint>>,
}

impl Delta {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.updated.is_empty() && self.removed.is_empty()
    }
}

/// A query, and whether only HTTP endpoints are accepted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter {
    /// The query.
    pub query: Query,
    /// Only `http` and `https` endpoints.
    pub callable: bool,
}

impl Filter {
    /// `None` if the endpoint is accepted, else the reason why not.
    pub fn rejects(&self, endpoint: &Endpoint) -> Option<String> {
        if self.callable && !matches!(endpoint.protocol.as_str(), "http" | "https") {
            return Some(format!("protocol {}", endpoint.protocol));
        }
        self.query.rejects(endpoint)
    }
}

/// The view of one filter. A handle to it is the fast path of every pick.
#[derive(Debug)]
pub struct Selection {
    /// Its filter.
    pub filter: Filter,
    /// An id that is unique in the process, for per-thread counters.
    pub id: u64,
    view: ArcSwap<View>,
    owner: Mutex<Option<Owner>>,
    retired: AtomicBool,
}

/// Above this number of filters, unused selections are dropped.
const MOST_SELECTIONS: usize = 256;

/// The target of pick reports. The view holds it, so that a pick holds the view only.
pub type Owner = Arc<dyn Any + Send + Sync>;

impl Selection {
    /// Retires it if only its service holds it.
    fn retire(self: &Arc<Selection>) -> bool {
        // Two maps hold it at this moment: the current one and the new one.
        let unused = Arc::strong_count(self) <= 2;
        self.retired.store(unused, Ordering::Relaxed);
        unused
    }

    /// Whether it no longer follows its service, and a new selection is needed.
    #[inline]
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// The present view. No lock, no allocation.
    pub fn view(&self) -> Guard<Arc<View>> {
        self.view.load()
    }
}

/// One service of this client.
#[derive(Debug)]
pub struct Service {
    name: String,
    snapshot: ArcSwap<Snapshot>,
    selections: ArcSwap<HashMap<Filter, Arc<Selection>>>,
    rotation: Rotation,
    latency: Arc<ServiceLatency>,
    /// Held while a snapshot or the views are replaced, never while user code runs.
    writer: Mutex<Absent>,
}

impl Service {
    /// A service without a list.
    pub fn new(name: impl Into<String>) -> Arc<Service> {
        Arc::new(Service {
            name: name.into(),
            snapshot: ArcSwap::default(),
            selections: ArcSwap::default(),
            rotation: Rotation::default(),
            latency: Arc::default(),
            writer: Mutex::default(),
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All its endpoints.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// The latency of the whole service.
    pub fn service_latency(&self) -> &ServiceLatency {
        &self.latency
    }

    /// The selection of a filter, created on first use.
    pub fn selection(&self, filter: &Filter) -> Arc<Selection> {
        if let Some(known) = self.selections.load().get(filter) {
            return known.clone();
        }
        let _writer = self.writer.lock();
        let known = self.selections.load_full();
        if let Some(known) = known.get(filter) {
            return known.clone();
        }
        let view = View::build(&self.snapshot.load(), filter, Arc::default(), self.latency.clone());
        let selection = Arc::new(Selection {
            filter: filter.clone(),
            id: view.mean.id,
            view: ArcSwap::from_pointee(view),
            owner: Mutex::default(),
            retired: AtomicBool::new(false),
        });
        let mut selections = HashMap::clone(&known);
        if selections.len() >= MOST_SELECTIONS {
            selections.retain(|_, selection| !selection.retire());
        }
        selections.insert(filter.clone(), selection.clone());
        self.selections.store(Arc::new(selections));
        selection
    }

    /// Replaces all endpoints. Endpoints with the same protocol and address are merged, with the largest weight. An endpoint
    /// that stays keeps its state. An ejected one that is registered again, or is listed again, is probed at once.
    pub fn replace(&self, listed: Vec<ListedEndpoint>) -> Delta {
        let mut absent = self.writer.lock();
        let before = self.snapshot.load_full();
        let (members, delta) = merge(&before.members, one_per_key(listed));
        absent.remember(&before.members, &delta.removed);
        absent.restore(&members, &delta.added);
        rotation::probe_restarted(&before.members, &members);
        self.snapshot.store(Arc::new(Snapshot { members, revision: before.revision + 1 }));
        self.settle();
        delta
    }

    /// Sets the owner of a selection's views.
    pub fn adopt(&self, selection: &Selection, owner: &Owner) {
        let _writer = self.writer.lock();
        *selection.owner.lock() = Some(owner.clone());
        self.settle();
    }

    /// Replaces the owner of every view that has one; `None` removes it.
    pub fn hand_over(&self, owner: Option<&Owner>) {
        let _writer = self.writer.lock();
        for selection in self.selections.load().values() {
            let mut kept = selection.owner.lock();
            *kept = kept.take().and(owner.cloned());
        }
        self.settle();
    }

    /// Rebuilds all views, after a change of the usable endpoints.
    pub fn rebuild(&self) {
        let _writer = self.writer.lock();
        self.settle();
    }

    /// Updates rotation and views after a new snapshot; under the writer lock.
    fn settle(&self) {
        let snapshot = self.snapshot.load();
        self.rotation.settle(&snapshot.members);
        for selection in self.selections.load().values() {
            let mean = selection.view.load().mean.clone();
            let view = View::build(&snapshot, &selection.filter, mean, self.latency.clone());
            selection.view.store(Arc::new(view.owned_by(selection.owner.lock().clone())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Tick;

    fn listed(port: u16, weight: u32) -> ListedEndpoint {
        let mut endpoint = Endpoint::new("orders", "127.0.0.1".parse().unwrap(), port);
        endpoint.weight = weight;
        ListedEndpoint { endpoint: Arc::new(endpoint), unconfirmed: false }
    }

    fn everything() -> Filter {
        Filter { query: Query::new("orders"), callable: false }
    }

    #[test]
    fn endpoint_that_stays_keeps_its_state() {
        let service = Service::new("orders");
        service.replace(vec![listed(1, 1), listed(2, 1)]);
        let before = service.snapshot().members[0].state.clone();
        let delta = service.replace(vec![listed(1, 5), listed(3, 1)]);
        assert!(Arc::ptr_eq(&before, &service.snapshot().members[0].state));
        let ports = |list: &[Arc<Endpoint>]| list.iter().map(|e| e.port).collect::<Vec<_>>();
        assert_eq!(
            (ports(&delta.added), ports(&delta.updated), ports(&delta.removed)),
            (vec![3], vec![1], vec![2])
        );
    }

    #[test]
    fn unused_selections_are_dropped() {
        let service = Service::new("orders");
        let filter = |number: usize| Filter {
            query: Query::new("orders").label("n", number.to_string()),
            callable: true,
        };
        let held = service.selection(&filter(0));
        (1..2_000).for_each(|number| drop(service.selection(&filter(number))));
        assert!(service.selections.load().len() <= MOST_SELECTIONS + 1);
        assert!(!held.is_retired() && Arc::ptr_eq(&held, &service.selection(&filter(0))));
    }

    #[test]
    fn new_generation_resets_the_state() {
        let service = Service::new("orders");
        let generation = |name: &str| {
            let mut listed = listed(1, 1);
            Arc::make_mut(&mut listed.endpoint).generation = name.into();
            vec![listed]
        };
        service.replace(generation("a"));
        let state = service.snapshot().members[0].state.clone();
        state.latency.set(5e6, Tick::from_nanos(9));
        state.success.set(0.5, Tick::from_nanos(9));
        service.replace(generation("a"));
        assert_eq!(state.latency.get(), Some((5e6, Tick::from_nanos(9))));
        service.replace(generation("b"));
        assert_eq!((state.latency.get(), state.success.get()), (None, None));
    }

    #[test]
    fn duplicate_addresses_merge_with_the_largest_weight() {
        let service = Service::new("orders");
        service.replace(vec![listed(1, 2), listed(1, 7), listed(1, 3)]);
        let members = &service.snapshot().members;
        assert_eq!((members.len(), members[0].endpoint.weight), (1, 7));
    }

    #[test]
    fn selection_follows_the_snapshot() {
        let service = Service::new("orders");
        let selection = service.selection(&everything());
        assert_eq!(selection.view().len(), 0);
        service.replace(vec![listed(1, 1)]);
        assert_eq!(selection.view().len(), 1);
        assert!(Arc::ptr_eq(&selection, &service.selection(&everything())));
    }
}
