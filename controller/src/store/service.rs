//! One service: its rows, the bodies kept ready for those who ask, and what left it lately.
//!
//! Discovery is asked far more often than anything changes, so each (version, protocol) that was asked for keeps
//! its answer as ready bytes. A change throws them away; a heartbeat that moved some `lastSeen` to another
//! second marks them as touched, and they are written again when next asked for.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Relaxed},
};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use super::changes::Changes;
use super::row::{Identity, Row, write_text};

/// Ready bodies per service; past this all are dropped, so that made-up filters cannot fill the memory.
const MOST_VIEWS: usize = 32;
/// Departures remembered per service.
const MOST_REMOVED: usize = 1_024;

/// What discovery was asked to keep: an empty text filters nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Filter<'a> {
    pub(crate) version: &'a str,
    pub(crate) protocol: &'a str,
}

impl Filter<'_> {
    fn keeps(&self, row: &Row) -> bool {
        row.is_usable()
            && (self.version.is_empty() || *row.content.version == *self.version)
            && (self.protocol.is_empty() || *row.identity().protocol == *self.protocol)
    }
}

/// Why an endpoint is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    Deleted,
    Expired,
}

impl Why {
    fn text(self) -> &'static [u8] {
        match self {
            Why::Deleted => b",\"why\":\"deleted\"}",
            Why::Expired => b",\"why\":\"expired\"}",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) name: Arc<str>,
    /// A heartbeat moved some `lastSeen`; shared with the leases.
    pub(super) touched: Arc<AtomicBool>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) rows: BTreeMap<Arc<Identity>, Arc<Row>>,
    ready: Ready,
    /// Per (version, protocol), what `strategy=lazy` answered last.
    remembered: Vec<(Box<str>, Box<str>, Arc<Identity>)>,
    pub(super) changed_at: u64,
    /// Departures up to this revision are forgotten.
    floor: u64,
    removed: VecDeque<Removed>,
    /// Taken out of the registry: whoever still holds it must look the name up again.
    pub(super) retired: bool,
}

#[derive(Debug, Default)]
struct Ready {
    views: Vec<View>,
    watched: Option<Bytes>,
}

#[derive(Debug)]
struct View {
    version: Box<str>,
    protocol: Box<str>,
    body: Bytes,
}

#[derive(Debug)]
struct Removed {
    revision: u64,
    identity: Arc<Identity>,
    why: Why,
}

impl Service {
    /// A service of which nothing is known up to `floor`: one of the same name may have been here before.
    pub(super) fn new(name: &str, floor: u64) -> Self {
        let state = State { floor, ..State::default() };
        Self { name: name.into(), touched: Arc::default(), state: Mutex::new(state) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// What plain discovery answers.
    pub(super) fn view(&self, filter: Filter<'_>) -> Bytes {
        let mut state = self.lock_fresh();
        let found = state
            .ready
            .views
            .iter()
            .find(|view| *view.version == *filter.version && *view.protocol == *filter.protocol);
        if let Some(view) = found {
            return view.body.clone();
        }
        let body = write_list(state.rows.values().filter(|row| filter.keeps(row)), Row::write_endpoint);
        if state.ready.views.len() >= MOST_VIEWS {
            state.ready.views.clear();
        }
        let view =
            View { version: filter.version.into(), protocol: filter.protocol.into(), body: body.clone() };
        state.ready.views.push(view);
        body
    }

    /// The first `limit` of the view.
    pub(super) fn first(&self, filter: Filter<'_>, limit: usize) -> Bytes {
        let state = self.lock();
        write_list(state.rows.values().filter(|row| filter.keeps(row)).take(limit), Row::write_endpoint)
    }

    /// Every row, the unhealthy and the expired too.
    pub(super) fn all(&self) -> Bytes {
        write_list(self.lock().rows.values(), Row::write_endpoint)
    }

    /// One endpoint of the view, by chance.
    pub(super) fn random(&self, filter: Filter<'_>) -> Option<Bytes> {
        let state = self.lock();
        state.random(filter).map(|row| write_one(row))
    }

    /// The endpoint answered last for this filter while it is still listed, else another by chance.
    pub(super) fn lazy(&self, filter: Filter<'_>) -> Option<Bytes> {
        let mut state = self.lock();
        let slot =
            state.remembered.iter().position(|(v, p, _)| **v == *filter.version && **p == *filter.protocol);
        if let Some(slot) = slot {
            let identity = &state.remembered[slot].2;
            if let Some(row) = state.rows.get(identity).filter(|row| filter.keeps(row)) {
                return Some(write_one(row));
            }
            state.remembered.swap_remove(slot);
        }
        let row = Arc::clone(state.random(filter)?);
        if state.remembered.len() >= MOST_VIEWS {
            state.remembered.clear();
        }
        state.remembered.push((filter.version.into(), filter.protocol.into(), Arc::clone(row.identity())));
        Some(write_one(&row))
    }

    pub(super) fn changed_at(&self) -> u64 {
        self.lock().changed_at
    }

    /// Whether departures after `since` may have been forgotten.
    pub(super) fn has_forgotten_since(&self, since: u64) -> bool {
        self.lock().floor > since
    }

    /// `{"endpoints":[…],"removed":[…]}` with what left after `since`; `None` leaves out the departures.
    pub(super) fn write_watched(&self, out: &mut Vec<u8>, since: Option<u64>) {
        let mut state = self.lock_fresh();
        let rows = &state.rows;
        let endpoints = state.ready.watched.clone().unwrap_or_else(|| {
            write_list(rows.values().filter(|row| !row.lease.is_expired()), Row::write_watched)
        });
        state.ready.watched = Some(endpoints.clone());
        out.extend_from_slice(b"{\"endpoints\":");
        out.extend_from_slice(&endpoints);
        out.extend_from_slice(b",\"removed\":[");
        if let Some(since) = since {
            state.write_removed(out, since);
        }
        out.extend_from_slice(b"]}");
    }

    /// Forgets departures up to `revision`.
    pub(super) fn bury(&self, revision: u64, changes: &Changes) {
        let mut state = self.lock();
        while state.removed.front().is_some_and(|removed| removed.revision <= revision) {
            state.removed.pop_front();
        }
        state.floor = state.floor.max(revision);
        changes.raise_floor(revision);
    }

    /// The lock, with bodies that heartbeats made stale thrown away.
    fn lock_fresh(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        if self.touched.load(Relaxed) && self.touched.swap(false, Acquire) {
            state.ready = Ready::default();
        }
        state
    }
}

impl State {
    /// Something a watcher must hear of: the next revision is this service's.
    pub(super) fn change(&mut self, service: &Arc<Service>, changes: &Changes) -> u64 {
        self.ready = Ready::default();
        self.changed_at = changes.record(service, self.changed_at);
        self.changed_at
    }

    /// Notes a departure; the caller has already recorded the change.
    pub(super) fn note_removed(&mut self, identity: &Arc<Identity>, why: Why, changes: &Changes) {
        let removed = Removed { revision: self.changed_at, identity: Arc::clone(identity), why };
        self.removed.push_back(removed);
        if self.removed.len() > MOST_REMOVED
            && let Some(first) = self.removed.pop_front()
        {
            self.floor = first.revision;
            changes.raise_floor(first.revision);
        }
    }

    pub(super) fn is_forgettable(&self) -> bool {
        self.rows.is_empty() && self.removed.is_empty()
    }

    fn random(&self, filter: Filter<'_>) -> Option<&Arc<Row>> {
        let usable: Vec<_> = self.rows.values().filter(|row| filter.keeps(row)).collect();
        (!usable.is_empty()).then(|| usable[fastrand::usize(..usable.len())])
    }

    /// The departures after `since` of endpoints that did not come back, each with its latest reason.
    fn write_removed(&self, out: &mut Vec<u8>, since: u64) {
        let mut last: BTreeMap<&Arc<Identity>, Why> = BTreeMap::new();
        let recent = self.removed.iter().rev().take_while(|removed| removed.revision > since);
        for removed in recent {
            last.entry(&removed.identity).or_insert(removed.why);
        }
        let gone =
            |identity: &Arc<Identity>| self.rows.get(identity).is_none_or(|row| row.lease.is_expired());
        for (index, (identity, why)) in last.into_iter().filter(|(identity, _)| gone(identity)).enumerate() {
            out.extend_from_slice(if index == 0 { b"{" } else { b",{" });
            identity.write_fields(out);
            out.extend_from_slice(why.text());
        }
    }
}

fn write_list<'a>(rows: impl Iterator<Item = &'a Arc<Row>>, write: impl Fn(&Row, &mut Vec<u8>)) -> Bytes {
    let mut body = b"[".to_vec();
    for (index, row) in rows.enumerate() {
        if index > 0 {
            body.push(b',');
        }
        write(row, &mut body);
    }
    body.push(b']');
    body.into()
}

fn write_one(row: &Row) -> Bytes {
    let mut body = Vec::new();
    row.write_endpoint(&mut body);
    body.into()
}

/// `"name":`, as the services of a watch answer are keyed.
pub(super) fn write_key(out: &mut Vec<u8>, name: &str) {
    write_text(out, name);
    out.push(b':');
}
