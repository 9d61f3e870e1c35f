//! One service: its rows, its cached response bodies, and its recent removals.
//!
//! Discovery requests are far more frequent than changes, so the response for each requested (version, protocol) is
//! cached as bytes. A change drops the cache. A heartbeat that moves a `lastSeen` to another second marks it stale, and
//! the next request writes it again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Relaxed},
};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use super::row::{Identity, Row, write_text};

/// Cached lists per service. Beyond this all are dropped, so that made-up filters cannot exhaust memory.
const MAX_CACHED_LISTS: usize = 32;
/// Removals remembered per service.
const MAX_REMOVALS_PER_SERVICE: usize = 1_024;

/// The filter of a discovery request; an empty string matches everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Filter<'a> {
    pub(crate) version: &'a str,
    pub(crate) protocol: &'a str,
}

impl Filter<'_> {
    fn matches(&self, row: &Row) -> bool {
        row.is_usable()
            && (self.version.is_empty() || *row.content.version == *self.version)
            && (self.protocol.is_empty() || *row.identity().protocol == *self.protocol)
    }
}

/// Why an endpoint was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RemovalReason {
    Deleted,
    Expired,
}

impl RemovalReason {
    fn text(self) -> &'static [u8] {
        match self {
            RemovalReason::Deleted => b",\"why\":\"deleted\"}",
            RemovalReason::Expired => b",\"why\":\"expired\"}",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) name: Arc<str>,
    /// Set when a heartbeat moved a `lastSeen`; shared with the leases.
    pub(super) last_seen_changed: Arc<AtomicBool>,
    state: Mutex<ServiceState>,
}

#[derive(Debug, Default)]
pub(super) struct ServiceState {
    pub(super) rows: BTreeMap<Arc<Identity>, Arc<Row>>,
    cached: CachedBodies,
    /// The last endpoint that `strategy=lazy` returned, per (version, protocol).
    remembered: Vec<(Box<str>, Box<str>, Arc<Identity>)>,
    pub(super) changed_at: u64,
    /// Removals up to this revision are forgotten.
    floor: u64,
    removed: VecDeque<Removal>,
    /// The service was removed from the registry: a caller that still holds it must look up the name again.
    pub(super) retired: bool,
}

#[derive(Debug, Default)]
struct CachedBodies {
    lists: Vec<CachedList>,
    watched: Option<Bytes>,
}

#[derive(Debug)]
struct CachedList {
    version: Box<str>,
    protocol: Box<str>,
    body: Bytes,
}

#[derive(Debug)]
struct Removal {
    revision: u64,
    identity: Arc<Identity>,
    why: RemovalReason,
}

impl Service {
    /// A new service. Removals up to `floor` are unknown, because a service of this name may have existed before.
    pub(super) fn new(name: &str, floor: u64) -> Self {
        let state = ServiceState { floor, ..ServiceState::default() };
        Self { name: name.into(), last_seen_changed: Arc::default(), state: Mutex::new(state) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, ServiceState> {
        self.state.lock()
    }

    /// The response to a discovery request without a limit.
    pub(super) fn view(&self, filter: Filter<'_>) -> Bytes {
        let mut state = self.lock_fresh();
        let found = state
            .cached
            .lists
            .iter()
            .find(|view| *view.version == *filter.version && *view.protocol == *filter.protocol);
        if let Some(view) = found {
            return view.body.clone();
        }
        let body = write_list(state.rows.values().filter(|row| filter.matches(row)), Row::write_endpoint);
        if state.cached.lists.len() >= MAX_CACHED_LISTS {
            state.cached.lists.clear();
        }
        let list = CachedList {
            version: filter.version.into(),
            protocol: filter.protocol.into(),
            body: body.clone(),
        };
        state.cached.lists.push(list);
        body
    }

    /// The first `limit` endpoints that match.
    pub(super) fn first(&self, filter: Filter<'_>, limit: usize) -> Bytes {
        let state = self.lock();
        write_list(state.rows.values().filter(|row| filter.matches(row)).take(limit), Row::write_endpoint)
    }

    /// Every row, also the unhealthy and the expired.
    pub(super) fn all(&self) -> Bytes {
        write_list(self.lock().rows.values(), Row::write_endpoint)
    }

    /// A random endpoint that matches.
    pub(super) fn random(&self, filter: Filter<'_>) -> Option<Bytes> {
        let state = self.lock();
        state.random(filter).map(|row| write_one(row))
    }

    /// The endpoint that was returned last for this filter while it is still listed, else a random one.
    pub(super) fn lazy(&self, filter: Filter<'_>) -> Option<Bytes> {
        let mut state = self.lock();
        let index =
            state.remembered.iter().position(|(v, p, _)| **v == *filter.version && **p == *filter.protocol);
        if let Some(index) = index {
            let identity = &state.remembered[index].2;
            if let Some(row) = state.rows.get(identity).filter(|row| filter.matches(row)) {
                return Some(write_one(row));
            }
            state.remembered.swap_remove(index);
        }
        let row = Arc::clone(state.random(filter)?);
        if state.remembered.len() >= MAX_CACHED_LISTS {
            state.remembered.clear();
        }
        state.remembered.push((filter.version.into(), filter.protocol.into(), Arc::clone(row.identity())));
        Some(write_one(&row))
    }

    pub(super) fn changed_at(&self) -> u64 {
        self.lock().changed_at
    }

    /// Whether removals after `since` may have been forgotten.
    pub(super) fn has_forgotten_since(&self, since: u64) -> bool {
        self.lock().floor > since
    }

    /// `{"endpoints":[…],"removed":[…]}` with the removals after `since`; `None` omits the removals.
    pub(super) fn write_watched(&self, out: &mut Vec<u8>, since: Option<u64>) {
        let mut state = self.lock_fresh();
        let rows = &state.rows;
        let endpoints = state.cached.watched.clone().unwrap_or_else(|| {
            write_list(rows.values().filter(|row| !row.lease.is_expired()), Row::write_watched)
        });
        state.cached.watched = Some(endpoints.clone());
        out.extend_from_slice(b"{\"endpoints\":");
        out.extend_from_slice(&endpoints);
        out.extend_from_slice(b",\"removed\":[");
        if let Some(since) = since {
            state.write_removed(out, since);
        }
        out.extend_from_slice(b"]}");
    }

    /// Forgets removals up to `revision`.
    pub(super) fn forget_removals(&self, revision: u64) {
        let mut state = self.lock();
        while state.removed.front().is_some_and(|removed| removed.revision <= revision) {
            state.removed.pop_front();
        }
        state.floor = state.floor.max(revision);
    }

    /// Locks the state and drops cached bodies that heartbeats made stale.
    fn lock_fresh(&self) -> MutexGuard<'_, ServiceState> {
        let mut state = self.lock();
        if self.last_seen_changed.load(Relaxed) && self.last_seen_changed.swap(false, Acquire) {
            state.cached = CachedBodies::default();
        }
        state
    }
}

impl ServiceState {
    /// Notes that the service changed at this revision.
    pub(super) fn mark_changed(&mut self, revision: u64) {
        self.cached = CachedBodies::default();
        self.changed_at = revision;
    }

    /// Remembers a removal at the revision of the last change. Returns the revision up to which removals are forgotten to
    /// make room, if any.
    pub(super) fn remember_removal(&mut self, identity: &Arc<Identity>, why: RemovalReason) -> Option<u64> {
        let removed = Removal { revision: self.changed_at, identity: Arc::clone(identity), why };
        self.removed.push_back(removed);
        if self.removed.len() <= MAX_REMOVALS_PER_SERVICE {
            return None;
        }
        let first = self.removed.pop_front()?;
        self.floor = first.revision;
        Some(first.revision)
    }

    pub(super) fn is_forgettable(&self) -> bool {
        self.rows.is_empty() && self.removed.is_empty()
    }

    fn random(&self, filter: Filter<'_>) -> Option<&Arc<Row>> {
        let usable: Vec<_> = self.rows.values().filter(|row| filter.matches(row)).collect();
        (!usable.is_empty()).then(|| usable[fastrand::usize(..usable.len())])
    }

    /// Writes the removals after `since` of endpoints that did not return, each with its latest reason.
    fn write_removed(&self, out: &mut Vec<u8>, since: u64) {
        let mut latest: BTreeMap<&Arc<Identity>, RemovalReason> = BTreeMap::new();
        let recent = self.removed.iter().rev().take_while(|removed| removed.revision > since);
        for removed in recent {
            latest.entry(&removed.identity).or_insert(removed.why);
        }
        let is_gone =
            |identity: &Arc<Identity>| self.rows.get(identity).is_none_or(|row| row.lease.is_expired());
        for (index, (identity, why)) in
            latest.into_iter().filter(|(identity, _)| is_gone(identity)).enumerate()
        {
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

/// Writes `"name":`, the key of a service in a watch response.
pub(super) fn write_key(out: &mut Vec<u8>, name: &str) {
    write_text(out, name);
    out.push(b':');
}
