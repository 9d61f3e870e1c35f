//! The endpoint lists of the services that a client uses.
//!
//! ```text
//!  registries ──► Source (does it answer? is it settled?) ──► CacheEntry, one per service
//!                                                              │ absence: a missing endpoint may be alive
//!                 snapshot on disk ──► (cold start) ──────────►│
//!                 publish() ──────────────────────────────────►│
//!                                                              ├──► membership::Service, read without a lock
//!                                                              └──► CatalogWatch: changes, merged for slow readers
//! ```
//!
//! The first use of a service reads the registries on the caller's thread. Later uses take the cached list, which watches
//! update in the background. While a registry is unavailable the last list stays in use without limit, marked as stale.
//! No caller waits for a refresh.

mod absence;
mod cache_entry;
mod catalog_watch;
mod report;
mod snapshot;
mod snapshot_file;
mod source;
mod updates;
mod watch_readers;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::sync::Mutex;
use arc_swap::ArcSwap;

use self::catalog_watch::WatchReader;
use self::snapshot::DiskSnapshot;
use self::source::Source;
use self::updates::RegistrySink;
use self::watch_readers::WatchReaders;
use crate::clock::{self, Tick};
use crate::config::CacheConfig;
use crate::error::{Error, Kind, Result};
use crate::interrupt::Closing;
use crate::model::{Endpoint, EndpointKey, Query};
use crate::nearest::nearest;
use crate::registry::{Listing, Registry, WaitLimit, WatchHandle};
use crate::runtime::{Runtime, TaskQueue};

pub use cache_entry::CacheEntry;
pub use catalog_watch::CatalogWatch;
pub use report::{CacheStats, Provenance, RegistryStats, RemovedEndpoint, SourceStatus};

/// The time limit of the first read if the snapshot on disk has a list.
const READ_TIMEOUT_WITH_SNAPSHOT: Duration = Duration::from_millis(250);
/// How long the list of all service names is cached.
const NAMES_INTERVAL: Duration = Duration::from_secs(1);
/// The most reads in a row of one registry while updates overtake its responses.
const MAX_READS: u32 = 4;
/// After this many added services, unused ones without endpoints are dropped.
const SWEEP_EVERY: usize = 256;

/// The catalog of one client.
pub struct Catalog {
    inner: Arc<Inner>,
}

struct Inner {
    sources: Arc<[Source]>,
    services: ArcSwap<HashMap<String, Arc<CacheEntry>>>,
    /// Dropped entries that may still be in use. An entry that is wanted again is restored from here.
    dropped: Mutex<HashMap<String, Weak<CacheEntry>>>,
    /// Held while a service is added.
    adding: Mutex<()>,
    /// All open watches, to notify them of the availability of registries.
    readers: Mutex<WatchReaders>,
    /// Whether a watch of all services exists.
    all: AtomicBool,
    /// The last result of reading all service names, and its time.
    names: Mutex<Option<(Tick, Result<BTreeSet<String>>)>>,
    disk: Option<DiskSnapshot>,
    runtime: Runtime,
    queue: Arc<TaskQueue>,
    ttl: Duration,
    misses: AtomicU64,
    refreshes: AtomicU64,
    closing: Closing,
}

impl Catalog {
    /// Creates a catalog of these registries. Opens no connection.
    pub fn new(registries: Vec<Arc<dyn Registry>>, config: &CacheConfig, runtime: Runtime) -> Catalog {
        let disk = |path: &PathBuf| DiskSnapshot {
            path: path.clone(),
            read: Mutex::default(),
            dirty: AtomicBool::new(false),
        };
        Catalog {
            inner: Arc::new(Inner {
                sources: registries.into_iter().map(Source::new).collect(),
                services: ArcSwap::default(),
                dropped: Mutex::default(),
                adding: Mutex::default(),
                readers: Mutex::default(),
                all: AtomicBool::new(false),
                names: Mutex::default(),
                disk: config.snapshot.as_ref().map(disk),
                runtime,
                queue: TaskQueue::new(1),
                ttl: config.ttl,
                misses: AtomicU64::new(0),
                refreshes: AtomicU64::new(0),
                closing: Closing::default(),
            }),
        }
    }

    /// The cache entry of a service. Does not read a registry.
    pub fn entry(&self, service: &str) -> Arc<CacheEntry> {
        self.inner.entry_for(service)
    }

    /// The cache entry of a service with a list; no lock, no allocation, no wait.
    #[inline]
    pub fn cached(&self, service: &str) -> Option<Arc<CacheEntry>> {
        self.inner.services.load().get(service).filter(|entry| entry.mark_used()).cloned()
    }

    /// The cache entry of a service. Waits for a registry the first time only. An unknown service has no endpoints; it is an
    /// error (`Unavailable`, `Timeout`) if no registry could be read.
    pub fn service(&self, service: &str, wait: &WaitLimit<'_>) -> Result<Arc<CacheEntry>> {
        if let Some(entry) = self.cached(service) {
            return Ok(entry);
        }
        self.inner.check_open()?;
        let entry = self.inner.entry_for(service);
        entry
            .first_read(wait, || self.inner.read_first(&entry, wait))
            .map_err(|error| error.for_service(service))?;
        Ok(entry)
    }

    /// The sources of a service's list, its age, and the recently removed endpoints.
    pub fn provenance(&self, service: &str) -> Provenance {
        self.inner.services.load().get(service).map(|entry| entry.provenance()).unwrap_or_default()
    }

    /// The names of all services, read from the registries at most once a second.
    pub fn names(&self, wait: &WaitLimit<'_>) -> Result<Vec<String>> {
        self.inner.names(wait).map(|names| names.into_iter().collect())
    }

    /// The most similar service name, for "did you mean".
    pub fn similar(&self, service: &str, wait: &WaitLimit<'_>) -> Option<String> {
        let names = self.inner.names(wait).ok()?;
        nearest(service, names.iter().map(String::as_str).filter(|name| *name != service)).map(str::to_owned)
    }

    /// Watches a service: delivers its current endpoints, then every change.
    pub fn watch(&self, service: &str) -> CatalogWatch {
        let reader = self.inner.add_watch(WatchReader::default());
        let entry = self.inner.entry_for(service);
        entry.add_reader(&reader);
        self.inner.want(service);
        if !entry.is_ready() && reader.is_down() {
            self.inner.load_from_disk(&entry);
            reader.changed(service);
        }
        CatalogWatch { reader, catalog: Arc::downgrade(&self.inner) }
    }

    /// Watches all services.
    pub fn watch_all(&self) -> CatalogWatch {
        let reader = self.inner.add_watch(WatchReader::of_all());
        self.inner.all.store(true, Ordering::Release);
        self.inner.services.load().values().for_each(|entry| entry.add_reader(&reader));
        self.inner.watches().for_each(|watch| watch.subscribe_all());
        CatalogWatch { reader, catalog: Arc::downgrade(&self.inner) }
    }

    /// Waits until at least one healthy endpoint fits the query.
    pub fn wait_for(&self, query: &Query, wait: &WaitLimit<'_>) -> Result<()> {
        let watching = self.watch(&query.service);
        let fits = |endpoint: &Arc<Endpoint>| endpoint.healthy && query.accepts(endpoint);
        loop {
            let left = wait.deadline.left(clock::now());
            let change = watching.next(Some(left), wait.interrupt).map_err(|error| self.closed_or(error))?;
            match change {
                Some(change) if change.endpoints.iter().any(fits) => return Ok(()),
                Some(_) => {}
                None => {
                    let origin = self.provenance(&query.service).describe();
                    let message = format!("no endpoint for {query} appeared in time; {origin}");
                    return Err(Error::new(Kind::Timeout, message).for_service(&query.service));
                }
            }
        }
    }

    fn closed_or(&self, error: Error) -> Error {
        self.inner.check_open().err().unwrap_or(error)
    }

    /// Replaces the endpoints that the program publishes for a service, in addition to those of the registries.
    pub fn publish(&self, service: &str, endpoints: Vec<Endpoint>) {
        let own = |mut endpoint: Endpoint| {
            service.clone_into(&mut endpoint.service);
            "publish".clone_into(&mut endpoint.source);
            endpoint
        };
        let listing = Listing { endpoints: endpoints.into_iter().map(own).collect(), removed: Vec::new() };
        self.inner.apply_published(&self.inner.entry_for(service), listing);
        self.inner.want(service);
    }

    /// An endpoint failed to connect, timed out or was ejected: removes it if it is unconfirmed.
    pub fn distrust(&self, service: &str, key: &EndpointKey) {
        if let Some(entry) = self.inner.services.load().get(service) {
            self.inner.apply_result(entry, &entry.distrust(key));
        }
    }

    /// Reads every list again: the next use of each service waits like the first one. If that fails, the old list stays in
    /// use.
    pub fn clear(&self) {
        self.inner.services.load().values().for_each(|entry| entry.clear());
        *self.inner.names.lock() = None;
    }

    /// The statistics of the endpoint lists.
    pub fn stats(&self) -> CacheStats {
        let now = clock::now();
        let services = self.inner.services.load();
        let ages: Vec<(Duration, bool)> = services.values().map(|entry| entry.age(now)).collect();
        CacheStats {
            services: services.len(),
            hits: services.values().map(|entry| entry.hits()).sum(),
            misses: self.inner.misses.load(Ordering::Relaxed),
            refreshes: self.inner.refreshes.load(Ordering::Relaxed),
            stale: ages.iter().filter(|(_, stale)| *stale).count(),
            oldest_s: ages.iter().map(|(age, _)| age.as_secs_f64()).fold(0.0, f64::max),
            registries: self.inner.sources.iter().map(Source::stats).collect(),
        }
    }

    /// Ends all watches and background work of this catalog, without waiting.
    pub fn close(&self) {
        if !self.inner.closing.close() {
            return;
        }
        self.inner.sources.iter().for_each(Source::end_watch);
        self.inner.readers().iter().for_each(|reader| reader.close());
        if self.inner.disk.as_ref().is_some_and(|disk| disk.dirty.load(Ordering::Acquire)) {
            self.inner.save();
        }
    }
}

// === reading ===

impl Inner {
    fn check_open(&self) -> Result<()> {
        use crate::interrupt::Interrupt;
        self.closing.check()
    }

    /// The cache entry of a service, created if necessary.
    fn entry_for(self: &Arc<Self>, service: &str) -> Arc<CacheEntry> {
        if let Some(entry) = self.services.load().get(service) {
            return entry.clone();
        }
        let _adding = self.adding.lock();
        let mut services = HashMap::clone(&self.services.load());
        if let Some(entry) = services.get(service) {
            return entry.clone();
        }
        if services.len() % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.sweep(&mut services);
        }
        let entry = self.dropped.lock().remove(service).and_then(|entry| entry.upgrade());
        let entry = entry.unwrap_or_else(|| {
            CacheEntry::new(service, self.sources.clone(), Arc::downgrade(self), self.ttl)
        });
        services.insert(service.to_owned(), entry.clone());
        self.services.store(Arc::new(services));
        if self.all.load(Ordering::Acquire) {
            self.readers()
                .iter()
                .filter(|reader| reader.is_of_all())
                .for_each(|reader| entry.add_reader(reader));
        }
        entry
    }

    /// Drops entries of unused services without endpoints, so that mistyped names do not accumulate.
    fn sweep(&self, services: &mut HashMap<String, Arc<CacheEntry>>) {
        let mut dropped = self.dropped.lock();
        dropped.retain(|_, entry| entry.strong_count() > 0);
        services.retain(|name, entry| {
            let keep = !entry.service().snapshot().members.is_empty() || entry.is_used();
            if !keep {
                self.watches_running().for_each(|watch| watch.unsubscribe(name));
                // Its next use reads the registries again, like the first one.
                entry.reset_readiness();
                dropped.insert(name.clone(), Arc::downgrade(entry));
            }
            keep
        });
    }

    /// The first read of a service, on the caller's thread.
    fn read_first(self: &Arc<Self>, entry: &Arc<CacheEntry>, wait: &WaitLimit<'_>) -> Result<()> {
        self.misses.fetch_add(1, Ordering::Relaxed);
        if self.sources.is_empty() {
            self.apply_published(entry, Listing::default());
            return Ok(());
        }
        let patience =
            if self.is_on_disk(entry.name()) { wait.at_most(READ_TIMEOUT_WITH_SNAPSHOT) } else { *wait };
        let outcome = self.read_each(entry, &patience);
        self.want(entry.name());
        match outcome {
            Err(error) if !was_ended(&error) => {
                self.load_from_disk(entry);
                if entry.is_ready() || entry.serve_old_list() { Ok(()) } else { Err(error) }
            }
            other => other,
        }
    }

    /// Reads one registry. A response that an update has overtaken is ignored. A cleared list is read again, because it
    /// needs a response.
    fn read_one(self: &Arc<Self>, index: usize, entry: &Arc<CacheEntry>, wait: &WaitLimit<'_>) -> Result<()> {
        for _ in 0..MAX_READS {
            let count = entry.count(index);
            let heard = self.sources[index].registry.read(entry.name(), wait)?;
            self.apply_update(index, heard, Some(count));
            if !entry.is_cleared(index) {
                break;
            }
        }
        Ok(())
    }

    /// Reads every registry; succeeds if one answered.
    fn read_each(self: &Arc<Self>, entry: &Arc<CacheEntry>, wait: &WaitLimit<'_>) -> Result<()> {
        let mut outcome = Err(Error::new(Kind::Unavailable, "no registry could be read"));
        for (index, source) in self.sources.iter().enumerate() {
            if outcome.is_ok() && source.is_down() {
                continue; // another registry answered; the list of this one follows when it is available
            }
            match self.read_one(index, entry, wait) {
                Ok(()) => outcome = Ok(()),
                Err(error) if was_ended(&error) => return Err(error),
                Err(error) => {
                    // A timeout of the caller, an invalid name or a denied name says nothing about the availability of
                    // the registry.
                    let is_about_one = matches!(error.kind(), Kind::InvalidArgument | Kind::PermissionDenied);
                    if wait.remaining().is_ok() && !is_about_one {
                        self.mark_down(index, error.clone());
                    }
                    outcome = outcome.or(Err(error));
                }
            }
        }
        outcome
    }

    fn names(&self, wait: &WaitLimit<'_>) -> Result<BTreeSet<String>> {
        // While another thread reads the names, use the known ones instead of waiting.
        let Some(mut cached) = self.names.try_lock() else { return Ok(self.names_offered()) };
        if let Some((at, names)) = &*cached
            && clock::now().since(*at) < NAMES_INTERVAL
        {
            return names.clone();
        }
        let mut names = self.names_offered();
        let mut failure = None;
        for source in self.sources.iter() {
            match source.registry.services(wait) {
                Ok(some) => names.extend(some),
                Err(error) if was_ended(&error) => return Err(error),
                Err(error) => failure = Some(error),
            }
        }
        let outcome = match &failure {
            Some(error) if names.is_empty() => Err(error.clone()),
            _ => Ok(names),
        };
        // A timeout of one caller is not cached for the next one.
        if failure.is_none() || wait.remaining().is_ok() {
            *cached = Some((clock::now(), outcome.clone()));
        }
        outcome
    }

    fn names_offered(&self) -> BTreeSet<String> {
        let services = self.services.load();
        let offered = services.iter().filter(|(_, entry)| !entry.service().snapshot().members.is_empty());
        offered.map(|(name, _)| name.clone()).collect()
    }

    // === watches ===

    fn want(self: &Arc<Self>, service: &str) {
        self.watches().for_each(|watch| watch.subscribe(service));
    }

    fn refresh(self: &Arc<Self>, service: &str) {
        self.watches_running().for_each(|watch| watch.refresh(service));
    }

    /// The watch of every registry, started if necessary.
    fn watches(self: &Arc<Self>) -> impl Iterator<Item = Arc<dyn WatchHandle>> {
        self.sources.iter().enumerate().filter_map(|(index, source)| {
            let sink = || Arc::new(RegistrySink { catalog: Arc::downgrade(self), source: index });
            source.watch(|| source.registry.clone().watch(sink()))
        })
    }

    fn watches_running(&self) -> impl Iterator<Item = Arc<dyn WatchHandle>> {
        self.sources.iter().filter_map(Source::running_watch)
    }

    fn add_watch(&self, reader: WatchReader) -> Arc<WatchReader> {
        let reader = Arc::new(reader);
        if self.closing.is_closed() {
            reader.close();
        }
        self.readers.lock().add(&reader);
        reader.registry(self.is_any_down());
        reader
    }

    fn readers(&self) -> Vec<Arc<WatchReader>> {
        self.readers.lock().open()
    }

    fn is_any_down(&self) -> bool {
        self.sources.iter().any(Source::is_down)
    }
}

/// Whether the caller or the closing client ended a wait. That says nothing about the registry.
fn was_ended(error: &Error) -> bool {
    matches!(error.kind(), Kind::Cancelled | Kind::Closed)
}
