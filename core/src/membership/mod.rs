//! What a client holds of one service: its endpoints with their state cells, and the views picks draw from.
//!
//! ```text
//!  Service "orders" ──┬── Snapshot (what exists)      Member{endpoint, state} Member Member …
//!                     │                                         │ state outlives updates
//!                     ├── Selection per Query ── View (what may be picked now: alias table over the usable)
//!                     ├── Rotation (who is out, never more than half; when somebody must look after them)
//!                     └── ServiceLatency (how fast the service answers as a whole)
//! ```
//!
//! A snapshot and a view are never changed, only replaced, behind `arc_swap`: picks read them without a lock.
//! The catalog replaces the snapshot; an ejection or a return rebuilds the views. State cells are shared by
//! all snapshots, so that an endpoint that stays keeps its latency, its load and its reputation.

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

/// One endpoint and what we have seen of it.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its record.
    pub endpoint: Arc<Endpoint>,
    /// Its cells, shared with every other snapshot it is in.
    pub state: Arc<EndpointState>,
    /// Whether the registry has stopped listing it without saying that it is gone.
    pub unconfirmed: bool,
}

/// What exists of a service, as of one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The endpoints, in the order of their addresses.
    pub members: Vec<Member>,
    /// Counts the snapshots of this service, from 0 (nothing heard yet).
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
    /// Endpoints that were not there before.
    pub added: Vec<Arc<Endpoint>>,
    /// Endpoints whose record is another one now.
    pub updated: Vec<Arc<Endpoint>>,
    /// Endpoints that are gone.
    pub removed: Vec<Arc<Endpoint>>,
}

impl Delta {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.updated.is_empty() && self.removed.is_empty()
    }
}

/// What a selection admits: a query, and whether only what can be called over HTTP is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter {
    /// The endpoints meant.
    pub query: Query,
    /// Only `http` and `https` endpoints.
    pub callable: bool,
}

impl Filter {
    /// `None` if the endpoint is meant, else what keeps it out.
    pub fn rejects(&self, endpoint: &Endpoint) -> Option<String> {
        if self.callable && !matches!(endpoint.protocol.as_str(), "http" | "https") {
            return Some(format!("protocol {}", endpoint.protocol));
        }
        self.query.rejects(endpoint)
    }
}

/// The view that belongs to one filter; a handle on it is the fast path of every pick.
#[derive(Debug)]
pub struct Selection {
    /// What it admits.
    pub filter: Filter,
    /// Tells this selection from every other of the process, for per-thread counters.
    pub id: u64,
    view: ArcSwap<View>,
    owner: Mutex<Option<Owner>>,
    retired: AtomicBool,
}

/// With more filters than this, the selections that nobody holds are let go.
const MOST_SELECTIONS: usize = 256;

/// What picks from a view report to, carried along by the view so that a pick need hold nothing else.
pub type Owner = Arc<dyn Any + Send + Sync>;

impl Selection {
    /// Retires it if nobody but its service holds it.
    fn retire(self: &Arc<Selection>) -> bool {
        // Two maps hold it at this moment: the one that is, and the one that is being made.
        let unused = Arc::strong_count(self) <= 2;
        self.retired.store(unused, Ordering::Relaxed);
        unused
    }

    /// Whether it no longer follows its service, and another must be asked for. One that was taken just as it was
    /// retired finds out here.
    #[inline]
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// What may be picked now. No lock, no allocation.
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
    service_latency: Arc<ServiceLatency>,
    /// Held while a snapshot or the views are replaced. Never while user code runs.
    writer: Mutex<Absent>,
}

impl Service {
    /// A service of which nothing has been heard yet.
    pub fn new(name: impl Into<String>) -> Arc<Service> {
        Arc::new(Service {
            name: name.into(),
            snapshot: ArcSwap::default(),
            selections: ArcSwap::default(),
            rotation: Rotation::default(),
            service_latency: Arc::default(),
            writer: Mutex::default(),
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What exists of it.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// How fast it answers as a whole.
    pub fn service_latency(&self) -> &ServiceLatency {
        &self.service_latency
    }

    /// The selection for a filter; made on first use, the same one ever after.
    pub fn selection(&self, filter: &Filter) -> Arc<Selection> {
        if let Some(known) = self.selections.load().get(filter) {
            return known.clone();
        }
        let _writer = self.writer.lock();
        let known = self.selections.load_full();
        if let Some(known) = known.get(filter) {
            return known.clone();
        }
        let view = View::build(&self.snapshot.load(), filter, Arc::default(), self.service_latency.clone());
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

    /// Replaces what exists. Endpoints with the same protocol and address are one, weight the largest;
    /// those that stay keep their cells. An ejected one that is registered anew, or is back after it was
    /// gone, is probed at once.
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

    /// Gives a selection's views an owner.
    pub fn adopt(&self, selection: &Selection, owner: &Owner) {
        let _writer = self.writer.lock();
        *selection.owner.lock() = Some(owner.clone());
        self.settle();
    }

    /// Replaces the owner of every view that has one; `None` lets them all go.
    pub fn hand_over(&self, owner: Option<&Owner>) {
        let _writer = self.writer.lock();
        for selection in self.selections.load().values() {
            let mut kept = selection.owner.lock();
            *kept = kept.take().and(owner.cloned());
        }
        self.settle();
    }

    /// Builds every view anew, after something changed what is usable.
    pub fn rebuild(&self) {
        let _writer = self.writer.lock();
        self.settle();
    }

    /// Brings rotation and views in line with the snapshot; under the writer lock.
    fn settle(&self) {
        let snapshot = self.snapshot.load();
        self.rotation.settle(&snapshot.members);
        for selection in self.selections.load().values() {
            let mean = selection.view.load().mean.clone();
            let view = View::build(&snapshot, &selection.filter, mean, self.service_latency.clone());
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
    fn an_endpoint_that_stays_keeps_its_cells() {
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
    fn filters_that_nobody_uses_are_let_go_and_those_in_use_go_on() {
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
    fn a_process_started_anew_is_not_blamed_for_the_one_before() {
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
    fn the_same_address_twice_is_one_endpoint_of_the_larger_weight() {
        let service = Service::new("orders");
        service.replace(vec![listed(1, 2), listed(1, 7), listed(1, 3)]);
        let members = &service.snapshot().members;
        assert_eq!((members.len(), members[0].endpoint.weight), (1, 7));
    }

    #[test]
    fn a_selection_follows_the_snapshot() {
        let service = Service::new("orders");
        let selection = service.selection(&everything());
        assert_eq!(selection.view().len(), 0);
        service.replace(vec![listed(1, 1)]);
        assert_eq!(selection.view().len(), 1);
        assert!(Arc::ptr_eq(&selection, &service.selection(&everything())));
    }
}
