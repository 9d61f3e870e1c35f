//! The cache entry of one service: the endpoints of each registry, and the readers of its watches.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::sync::{Condvar, Mutex, MutexGuard};

use super::Inner;
use super::absence::{AbsencePolicy, ListChanges, SourceRecords};
use super::catalog_watch::WatchReader;
use super::report::{Provenance, RemovedEndpoint, SourceStatus};
use super::source::Source;
use super::watch_readers::WatchReaders;
use crate::clock::{self, Tick};
use crate::error::{Error, Kind, Result};
use crate::interrupt::SLICE;
use crate::membership::{ListedEndpoint, Member, Service};
use crate::model::{Endpoint, EndpointKey};
use crate::registry::{Absence, Listing, WaitLimit};
use crate::telemetry::Tally;

const MAX_REMOVED: usize = 16;
/// A service that was not used for this many polls is no longer polled.
const MAX_IDLE_POLLS: u32 = 6;

/// The cache entry of one service.
pub struct CacheEntry {
    service: Arc<Service>,
    sources: Arc<[Source]>,
    catalog: Weak<Inner>,
    /// Whether a list was received, even an empty one.
    ready: AtomicBool,
    /// Set by every use, cleared by every poll of the registry.
    used: AtomicBool,
    idle_polls: AtomicU32,
    hits: Tally,
    state: Mutex<EntryState>,
    first: Mutex<FirstRead>,
    first_done: Condvar,
    ttl: Duration,
}

struct EntryState {
    /// One per registry, and a last one for the endpoints that the program publishes.
    by_source: Vec<Contribution>,
    gone: VecDeque<RemovedEndpoint>,
    readers: WatchReaders,
    due: Tick,
}

#[derive(Default)]
struct Contribution {
    records: SourceRecords,
    updated_at: Option<Tick>,
    /// Counts the updates, to detect a response that an update has overtaken.
    count: u64,
    from_disk: bool,
    is_final: bool,
    /// Cleared by `clear_cache`: only a response to a later read counts.
    cleared: bool,
}

/// The first read of a service, made on the thread of its first caller.
#[derive(Default)]
struct FirstRead {
    reading: bool,
    failed: Option<(Tick, Error)>,
}

/// The effect of an update.
pub(super) struct UpdateResult {
    /// Whether the list changed.
    pub(super) changed: bool,
    /// Endpoints that were registered again or are listed again.
    pub(super) returned: Vec<Member>,
    /// When [`CacheEntry::expire`] must be called; `None` if that is scheduled already.
    pub(super) due: Option<Tick>,
}

impl CacheEntry {
    pub(super) fn new(
        name: &str,
        sources: Arc<[Source]>,
        catalog: Weak<Inner>,
        ttl: Duration,
    ) -> Arc<CacheEntry> {
        let state = EntryState {
            by_source: (0..=sources.len()).map(|_| Contribution::default()).collect(),
            gone: VecDeque::new(),
            readers: WatchReaders::default(),
            due: Tick::NEVER,
        };
        Arc::new(CacheEntry {
            service: Service::new(name),
            sources,
            catalog,
            ready: AtomicBool::new(false),
            used: AtomicBool::new(true),
            idle_polls: AtomicU32::new(0),
            hits: Tally::default(),
            state: Mutex::new(state),
            first: Mutex::default(),
            first_done: Condvar::new(),
            ttl,
        })
    }

    /// Its endpoints and views.
    #[inline]
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.service.name()
    }

    /// Whether its list is stale because a registry does not answer.
    pub fn is_stale(&self) -> bool {
        self.age(clock::now()).1
    }

    // === use ===

    #[inline]
    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Marks it as used. Returns whether its list can be used without waiting. No lock, no allocation.
    #[inline]
    pub fn mark_used(&self) -> bool {
        if !self.used.load(Ordering::Relaxed) {
            self.mark_used_again();
        }
        self.is_ready()
    }

    /// Counts a lookup that did not wait.
    pub fn count_hit(&self) {
        self.hits.count();
    }

    /// The first use since the last poll of the registry. After a long time without use it refreshes the list.
    #[cold]
    fn mark_used_again(&self) {
        self.used.store(true, Ordering::Relaxed);
        let was_idle = self.idle_polls.swap(0, Ordering::Relaxed) >= MAX_IDLE_POLLS;
        if let Some(catalog) = self.catalog.upgrade().filter(|_| was_idle) {
            catalog.refresh(self.name());
        }
    }

    /// Whether it is still used. Called once per poll.
    pub(super) fn is_used(self: &Arc<Self>) -> bool {
        let is_watched = self.state.lock().readers.has_any();
        if self.used.swap(false, Ordering::Relaxed) || is_watched {
            self.idle_polls.store(0, Ordering::Relaxed);
            return true;
        }
        self.idle_polls.fetch_add(1, Ordering::Relaxed) < MAX_IDLE_POLLS
    }

    pub(super) fn hits(&self) -> u64 {
        self.hits.get()
    }

    /// The next use reads the registries as for the first time.
    pub(super) fn reset_readiness(&self) {
        self.ready.store(false, Ordering::Release);
        self.first.lock().failed = None;
    }

    /// The next use reads the registries again, and ignores responses to earlier reads.
    pub(super) fn clear(&self) {
        let mut state = self.state.lock();
        state.registries().for_each(|contribution| contribution.cleared = true);
        self.reset_readiness();
    }

    /// Whether a registry is still to be read again.
    pub(super) fn is_cleared(&self, source: usize) -> bool {
        self.state.lock().by_source[source].cleared
    }

    /// After a failed first read: whether an older list stays in use.
    pub(super) fn serve_old_list(&self) -> bool {
        let state = self.state.lock();
        let was_updated = state.by_source.iter().any(|contribution| contribution.updated_at.is_some());
        if was_updated {
            self.ready.store(true, Ordering::Release);
        }
        was_updated
    }

    // === first read ===

    /// Makes the first read, or waits for another thread that makes it.
    pub(super) fn first_read(
        &self,
        wait: &WaitLimit<'_>,
        read_first: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let mut first = self.first.lock();
        while first.reading && !self.is_ready() {
            // Not under the lock: the caller's interrupt may call this client.
            let left = MutexGuard::unlocked(&mut first, || wait.remaining())?;
            if first.reading {
                self.first_done.wait_for(&mut first, left.min(SLICE));
            }
        }
        if self.is_ready() {
            return Ok(());
        }
        if let Some((at, error)) = &first.failed
            && clock::now().since(*at) < Duration::from_secs(1)
        {
            return Err(error.clone());
        }
        first.reading = true;
        drop(first);
        let outcome = read_first();
        let mut first = self.first.lock();
        first.reading = false;
        // The interrupt of one caller does not concern the others.
        let telling = outcome.as_ref().err().filter(|error| error.kind() != Kind::Cancelled);
        first.failed = telling.map(|error| (clock::now(), error.clone()));
        self.first_done.notify_all();
        outcome
    }

    /// The number of updates from a registry so far.
    pub(super) fn count(&self, source: usize) -> u64 {
        self.state.lock().by_source[source].count
    }

    // === updates ===

    /// Applies a complete list of a registry. `overtakes`: ignored if there were more updates than this count.
    pub(super) fn apply_list(
        &self,
        source: usize,
        listing: Listing,
        trust: AbsencePolicy,
        overtakes: Option<u64>,
    ) -> UpdateResult {
        let now = clock::now();
        self.apply(|state| {
            let contribution = &mut state.by_source[source];
            if overtakes.is_some_and(|count| count != contribution.count) {
                return ListChanges::default();
            }
            contribution.cleared &= overtakes.is_none();
            contribution.count += 1;
            contribution.updated_at = Some(now);
            contribution.is_final = trust.absence == Absence::Authoritative;
            contribution.from_disk = false;
            contribution.records.apply_list(listing, trust, now)
        })
    }

    /// Applies the list of the snapshot on disk, unless the registry has sent one.
    pub(super) fn apply_disk_list(&self, source: usize, endpoints: Vec<Endpoint>) -> UpdateResult {
        self.apply(|state| {
            let contribution = &mut state.by_source[source];
            if contribution.count > 0 {
                return ListChanges::default();
            }
            contribution.from_disk = true;
            let trust = AbsencePolicy { absence: Absence::AfterSettling, settled: false, ttl: self.ttl };
            contribution.records.apply_list(Listing { endpoints, removed: Vec::new() }, trust, clock::now())
        })
    }

    pub(super) fn distrust(&self, key: &EndpointKey) -> UpdateResult {
        self.apply_to_all(|records| records.distrust(key))
    }

    /// Removes unconfirmed endpoints whose time has passed.
    pub(super) fn expire(&self) -> UpdateResult {
        let now = clock::now();
        self.state.lock().due = Tick::NEVER;
        self.apply_to_all(|records| records.expire(now))
    }

    fn apply_to_all(&self, news: impl Fn(&mut SourceRecords) -> ListChanges) -> UpdateResult {
        self.apply(|state| {
            let changes = state.by_source.iter_mut().map(|contribution| news(&mut contribution.records));
            changes.fold(ListChanges::default(), |mut all, one| {
                all.changed |= one.changed;
                all.gone.extend(one.gone);
                all.returned.extend(one.returned);
                all
            })
        })
    }

    fn apply(&self, news: impl FnOnce(&mut EntryState) -> ListChanges) -> UpdateResult {
        let mut state = self.state.lock();
        let changes = news(&mut state);
        let first = !self.is_ready() && !state.is_cleared();
        if changes.changed || first {
            self.service.replace(state.listed());
        }
        if first {
            self.ready.store(true, Ordering::Release);
        }
        state.remember_removed(changes.gone);
        if changes.changed || first {
            state.notify_readers(self.name());
        }
        let due = state.take_due();
        drop(state);
        if first {
            let _asking = self.first.lock();
            self.first_done.notify_all();
        }
        UpdateResult { changed: changes.changed, returned: self.members(&changes.returned), due }
    }

    fn members(&self, keys: &[EndpointKey]) -> Vec<Member> {
        if keys.is_empty() {
            return Vec::new();
        }
        let snapshot = self.service.snapshot();
        snapshot.members.iter().filter(|member| keys.contains(&member.endpoint.key())).cloned().collect()
    }

    // === watches ===

    /// Adds the reader of a watch, and notifies it of the present list if there is one.
    pub(super) fn add_reader(&self, reader: &Arc<WatchReader>) {
        let mut state = self.state.lock();
        state.readers.add(reader);
        if self.is_ready() {
            reader.changed(self.name());
        }
    }

    /// Notifies the readers that the registry is unavailable: they get the present list, possibly empty.
    pub(super) fn notify_unavailable(&self) {
        self.state.lock().notify_readers(self.name());
    }

    // === reports ===

    /// The age of its list, and whether it is stale.
    pub(super) fn age(&self, now: Tick) -> (Duration, bool) {
        let state = self.state.lock();
        let mut oldest = (Duration::ZERO, false);
        for (contribution, source) in state.by_source.iter().zip(self.sources.iter()) {
            let age = contribution.last(source).map_or(Duration::ZERO, |at| now.since(at));
            let too_old =
                contribution.from_disk || source.is_down() || (!contribution.is_final && age > self.ttl);
            oldest =
                (oldest.0.max(if contribution.is_final { Duration::ZERO } else { age }), oldest.1 || too_old);
        }
        oldest
    }

    pub(super) fn provenance(&self) -> Provenance {
        let now = clock::now();
        let state = self.state.lock();
        let view = |(contribution, source): (&Contribution, &Source)| SourceStatus {
            source: source.registry.source().to_string(),
            heard: contribution.last(source),
            down: source.is_down(),
            from_disk: contribution.from_disk,
            settled: contribution.is_final || source.is_settled(now),
            endpoints: contribution.records.len(),
            error: source.error().map(|error| error.to_string()),
        };
        let mut sources: Vec<SourceStatus> =
            state.by_source.iter().zip(self.sources.iter()).map(view).collect();
        sources.extend(state.published());
        Provenance { sources, gone: state.gone.iter().cloned().collect() }
    }

    /// The endpoints of each registry, for the snapshot on disk.
    pub(super) fn contributions(&self) -> Vec<Vec<Arc<Endpoint>>> {
        let state = self.state.lock();
        let endpoints = |contribution: &Contribution| {
            contribution.records.listed().map(|listed| listed.endpoint).collect()
        };
        state.by_source.iter().take(self.sources.len()).map(endpoints).collect()
    }
}

impl Contribution {
    /// When the registry last sent or confirmed this list.
    fn last(&self, source: &Source) -> Option<Tick> {
        self.updated_at
            .map(|updated_at| source.confirmed_at().map_or(updated_at, |confirmed| confirmed.max(updated_at)))
    }
}

impl EntryState {
    /// All endpoints, the most reliable record of an address first.
    fn listed(&self) -> Vec<ListedEndpoint> {
        let mut listed: Vec<ListedEndpoint> =
            self.by_source.iter().flat_map(|contribution| contribution.records.listed()).collect();
        listed.sort_by_key(|l| (l.unconfirmed, !l.endpoint.healthy, std::cmp::Reverse(l.endpoint.last_seen)));
        listed
    }

    /// The contributions of the registries, without that of `publish`.
    fn registries(&mut self) -> impl Iterator<Item = &mut Contribution> {
        let count = self.by_source.len() - 1;
        self.by_source.iter_mut().take(count)
    }

    /// Whether every registry is still to be read again.
    fn is_cleared(&mut self) -> bool {
        let mut registries = self.registries().peekable();
        registries.peek().is_some() && registries.all(|contribution| contribution.cleared)
    }

    fn remember_removed(&mut self, gone: Vec<(Arc<Endpoint>, &'static str)>) {
        let at = clock::now();
        for (endpoint, why) in gone {
            self.gone.push_front(RemovedEndpoint { endpoint, why, at });
        }
        self.gone.truncate(MAX_REMOVED);
    }

    fn notify_readers(&mut self, service: &str) {
        self.readers.open().iter().for_each(|reader| reader.changed(service));
    }

    /// The next expiry, if it is not scheduled yet.
    fn take_due(&mut self) -> Option<Tick> {
        let due = self.by_source.iter().filter_map(|contribution| contribution.records.next_due()).min()?;
        let sooner = due < self.due;
        self.due = self.due.min(due);
        sooner.then_some(due)
    }

    fn published(&self) -> Option<SourceStatus> {
        let own = self.by_source.last().filter(|own| own.updated_at.is_some())?;
        Some(SourceStatus {
            source: "publish".into(),
            heard: own.updated_at,
            down: false,
            from_disk: false,
            settled: true,
            endpoints: own.records.len(),
            error: None,
        })
    }
}
