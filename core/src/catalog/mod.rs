//! What this client believes of the services it uses.
//!
//! ```text
//!  registries ──► Source (does it answer? is it settled?) ──► Known, one per service
//!                                                              │ absence: what is missing is not yet dead
//!                 snapshot on disk ──► (cold start) ──────────►│
//!                 publish() ──────────────────────────────────►│
//!                                                              ├──► membership::Service, read without a lock
//!                                                              └──► Watching: changes, merged for slow readers
//! ```
//!
//! The first use of a service asks the registries on the caller's thread. Every later one takes what is there:
//! watches keep it fresh in the background, and when a registry is away the last list serves for as long as it
//! takes, marked as stale. No caller ever waits for a refresh.

mod absence;
mod disk;
mod hearing;
mod keeping;
mod known;
mod readers;
mod report;
mod source;
mod watching;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::sync::Mutex;
use arc_swap::ArcSwap;

use self::hearing::Ear;
use self::keeping::Disk;
use self::readers::Readers;
use self::source::Source;
use self::watching::Reader;
use crate::clock::{self, Tick};
use crate::config::CacheConfig;
use crate::error::{Error, Kind, Result};
use crate::interrupt::Closing;
use crate::model::{Endpoint, EndpointKey, Query};
use crate::nearest::nearest;
use crate::registry::{Listing, Registry, WaitLimit, WatchHandle};
use crate::runtime::{Runtime, TaskQueue};

pub use known::Known;
pub use report::{CacheStats, Gone, Provenance, RegistryStats, SourceView};
pub use watching::Watching;

/// How long a first look is waited for where the snapshot on disk has a list.
const PATIENCE_WITH_SNAPSHOT: Duration = Duration::from_millis(250);
/// How often registries are asked for all their names.
const NAMES_EVERY: Duration = Duration::from_secs(1);
/// How often a registry is asked in a row while news overtakes its answers.
const MOST_QUESTIONS: u32 = 4;
/// Each time so many services have been added, those that nobody offers and nobody uses are dropped.
const SWEEP_EVERY: usize = 256;

/// The catalog of one client.
pub struct Catalog {
    inner: Arc<Inner>,
}

struct Inner {
    sources: Arc<[Source]>,
    services: ArcSwap<HashMap<String, Arc<Known>>>,
    /// Dropped, but perhaps still held by somebody: whoever holds one must be told when it is wanted again.
    dropped: Mutex<HashMap<String, Weak<Known>>>,
    /// Held while a service is added.
    adding: Mutex<()>,
    /// Every open watch, for news of the registries themselves.
    readers: Mutex<Readers>,
    /// Whether some watch wants every service.
    all: AtomicBool,
    /// What asking for all names came to, and when.
    names: Mutex<Option<(Tick, Result<BTreeSet<String>>)>>,
    disk: Option<Disk>,
    runtime: Runtime,
    lane: Arc<TaskQueue>,
    ttl: Duration,
    misses: AtomicU64,
    refreshes: AtomicU64,
    closing: Closing,
}

impl Catalog {
    /// A catalog over these registries. Opens nothing.
    pub fn new(registries: Vec<Arc<dyn Registry>>, config: &CacheConfig, runtime: Runtime) -> Catalog {
        let disk = |path: &PathBuf| Disk {
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
                lane: TaskQueue::new(1),
                ttl: config.ttl,
                misses: AtomicU64::new(0),
                refreshes: AtomicU64::new(0),
                closing: Closing::default(),
            }),
        }
    }

    /// A service, heard of or not; nothing is asked yet.
    pub fn entry(&self, service: &str) -> Arc<Known> {
        self.inner.enter(service)
    }

    /// A service that has been heard of; no lock, no allocation, no wait.
    #[inline]
    pub fn known(&self, service: &str) -> Option<Arc<Known>> {
        self.inner.services.load().get(service).filter(|known| known.enter()).cloned()
    }

    /// A service; waits for a registry the first ever time, never again. A service that nobody offers is one
    /// without endpoints, not an error; it is an error (`Unavailable`, `Timeout`) when nobody could be asked.
    pub fn service(&self, service: &str, wait: &WaitLimit<'_>) -> Result<Arc<Known>> {
        if let Some(known) = self.known(service) {
            return Ok(known);
        }
        self.inner.check_open()?;
        let known = self.inner.enter(service);
        known
            .first_look(wait, || self.inner.look(&known, wait))
            .map_err(|error| error.for_service(service))?;
        Ok(known)
    }

    /// Where a service's list comes from, how old it is, what has lately gone.
    pub fn provenance(&self, service: &str) -> Provenance {
        self.inner.services.load().get(service).map(|known| known.provenance()).unwrap_or_default()
    }

    /// Every service's name, asked of the registries at most once a second.
    pub fn names(&self, wait: &WaitLimit<'_>) -> Result<Vec<String>> {
        self.inner.names(wait).map(|names| names.into_iter().collect())
    }

    /// The name most like this one, if one is like it: for "did you mean".
    pub fn similar(&self, service: &str, wait: &WaitLimit<'_>) -> Option<String> {
        let names = self.inner.names(wait).ok()?;
        nearest(service, names.iter().map(String::as_str).filter(|name| *name != service)).map(str::to_owned)
    }

    /// Tells of every change of a service, beginning with what is there.
    pub fn watch(&self, service: &str) -> Watching {
        let reader = self.inner.admit(Reader::default());
        let known = self.inner.enter(service);
        known.listen(&reader);
        self.inner.want(service);
        if !known.is_ready() && reader.is_down() {
            self.inner.recall(&known);
            reader.changed(service);
        }
        Watching { reader, catalog: Arc::downgrade(&self.inner) }
    }

    /// Tells of every change of every service.
    pub fn watch_all(&self) -> Watching {
        let reader = self.inner.admit(Reader::of_all());
        self.inner.all.store(true, Ordering::Release);
        self.inner.services.load().values().for_each(|known| known.listen(&reader));
        self.inner.watches().for_each(|watch| watch.subscribe_all());
        Watching { reader, catalog: Arc::downgrade(&self.inner) }
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

    /// Replaces what the program itself says exists of a service, beside what the registries say.
    pub fn publish(&self, service: &str, endpoints: Vec<Endpoint>) {
        let own = |mut endpoint: Endpoint| {
            service.clone_into(&mut endpoint.service);
            "publish".clone_into(&mut endpoint.source);
            endpoint
        };
        let listing = Listing { endpoints: endpoints.into_iter().map(own).collect(), removed: Vec::new() };
        self.inner.hear_own(&self.inner.enter(service), listing);
        self.inner.want(service);
    }

    /// An endpoint failed to connect, timed out or was ejected: if it is only listed because its absence was
    /// not believed, it is believed now.
    pub fn distrust(&self, service: &str, key: &EndpointKey) {
        if let Some(known) = self.inner.services.load().get(service) {
            self.inner.follow_up(known, &known.distrust(key));
        }
    }

    /// Every list is asked for anew: the next use of each service waits as if it were the first. Should that
    /// fail, the old list still serves.
    pub fn clear(&self) {
        self.inner.services.load().values().for_each(|known| known.clear());
        *self.inner.names.lock() = None;
    }

    /// How the catalog has fared.
    pub fn stats(&self) -> CacheStats {
        let now = clock::now();
        let services = self.inner.services.load();
        let ages: Vec<(Duration, bool)> = services.values().map(|known| known.age(now)).collect();
        CacheStats {
            services: services.len(),
            hits: services.values().map(|known| known.hits()).sum(),
            misses: self.inner.misses.load(Ordering::Relaxed),
            refreshes: self.inner.refreshes.load(Ordering::Relaxed),
            stale: ages.iter().filter(|(_, stale)| *stale).count(),
            oldest_s: ages.iter().map(|(age, _)| age.as_secs_f64()).fold(0.0, f64::max),
            registries: self.inner.sources.iter().map(Source::stats).collect(),
        }
    }

    /// Ends every watch and all background work of this catalog. Does not wait for any of it.
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

// === asking ===

impl Inner {
    fn check_open(&self) -> Result<()> {
        use crate::interrupt::Interrupt;
        self.closing.check()
    }

    /// The service, known from now on.
    fn enter(self: &Arc<Self>, service: &str) -> Arc<Known> {
        if let Some(known) = self.services.load().get(service) {
            return known.clone();
        }
        let _adding = self.adding.lock();
        let mut services = HashMap::clone(&self.services.load());
        if let Some(known) = services.get(service) {
            return known.clone();
        }
        if services.len() % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.sweep(&mut services);
        }
        let known = self.dropped.lock().remove(service).and_then(|known| known.upgrade());
        let known = known
            .unwrap_or_else(|| Known::new(service, self.sources.clone(), Arc::downgrade(self), self.ttl));
        services.insert(service.to_owned(), known.clone());
        self.services.store(Arc::new(services));
        if self.all.load(Ordering::Acquire) {
            self.readers().iter().filter(|reader| reader.is_of_all()).for_each(|reader| known.listen(reader));
        }
        known
    }

    /// Names that were asked for by mistake must not pile up.
    fn sweep(&self, services: &mut HashMap<String, Arc<Known>>) {
        let mut dropped = self.dropped.lock();
        dropped.retain(|_, known| known.strong_count() > 0);
        services.retain(|name, known| {
            let keep = !known.service().snapshot().members.is_empty() || known.is_used();
            if !keep {
                self.watches_running().for_each(|watch| watch.unsubscribe(name));
                // Its next use asks the registries again, as the first one did.
                known.forget_readiness();
                dropped.insert(name.clone(), Arc::downgrade(known));
            }
            keep
        });
    }

    /// The first look at a service, on the caller's thread.
    fn look(self: &Arc<Self>, known: &Arc<Known>, wait: &WaitLimit<'_>) -> Result<()> {
        self.misses.fetch_add(1, Ordering::Relaxed);
        if self.sources.is_empty() {
            self.hear_own(known, Listing::default());
            return Ok(());
        }
        let patience =
            if self.has_on_disk(known.name()) { wait.at_most(PATIENCE_WITH_SNAPSHOT) } else { *wait };
        let outcome = self.ask_each(known, &patience);
        self.want(known.name());
        match outcome {
            Err(error) if !was_ended(&error) => {
                self.recall(known);
                if known.is_ready() || known.serves_on() { Ok(()) } else { Err(error) }
            }
            other => other,
        }
    }

    /// Asks one registry. An answer that was overtaken by news is left out; where only an answer will do, because
    /// the list was cleared, it is asked again.
    fn ask(self: &Arc<Self>, index: usize, known: &Arc<Known>, wait: &WaitLimit<'_>) -> Result<()> {
        for _ in 0..MOST_QUESTIONS {
            let count = known.count(index);
            let heard = self.sources[index].registry.read(known.name(), wait)?;
            self.hear(index, heard, Some(count));
            if !known.is_cleared(index) {
                break;
            }
        }
        Ok(())
    }

    /// Asks every registry; well if one answered.
    fn ask_each(self: &Arc<Self>, known: &Arc<Known>, wait: &WaitLimit<'_>) -> Result<()> {
        let mut outcome = Err(Error::new(Kind::Unavailable, "no registry could be asked"));
        for (index, source) in self.sources.iter().enumerate() {
            if outcome.is_ok() && source.is_down() {
                continue; // another one has answered: this one's part follows when it does
            }
            match self.ask(index, known, wait) {
                Ok(()) => outcome = Ok(()),
                Err(error) if was_ended(&error) => return Err(error),
                Err(error) => {
                    // Our own impatience says nothing about the registry, nor does a name that can never be right, nor
                    // one that we may not read: where that is so of all of them, the watch says so.
                    let is_about_one = matches!(error.kind(), Kind::InvalidArgument | Kind::PermissionDenied);
                    if wait.remaining().is_ok() && !is_about_one {
                        self.lose(index, error.clone());
                    }
                    outcome = outcome.or(Err(error));
                }
            }
        }
        outcome
    }

    fn names(&self, wait: &WaitLimit<'_>) -> Result<BTreeSet<String>> {
        // While somebody else asks, what we know must do: nobody waits for another's question.
        let Some(mut cached) = self.names.try_lock() else { return Ok(self.names_offered()) };
        if let Some((at, names)) = &*cached
            && clock::now().since(*at) < NAMES_EVERY
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
        // One caller's impatience is none of the next one's.
        if failure.is_none() || wait.remaining().is_ok() {
            *cached = Some((clock::now(), outcome.clone()));
        }
        outcome
    }

    fn names_offered(&self) -> BTreeSet<String> {
        let services = self.services.load();
        let offered = services.iter().filter(|(_, known)| !known.service().snapshot().members.is_empty());
        offered.map(|(name, _)| name.clone()).collect()
    }

    // === the watches ===

    fn want(self: &Arc<Self>, service: &str) {
        self.watches().for_each(|watch| watch.subscribe(service));
    }

    fn refresh(self: &Arc<Self>, service: &str) {
        self.watches_running().for_each(|watch| watch.refresh(service));
    }

    /// Every source's watch, begun where it was not.
    fn watches(self: &Arc<Self>) -> impl Iterator<Item = Arc<dyn WatchHandle>> {
        self.sources.iter().enumerate().filter_map(|(index, source)| {
            let ear = || Arc::new(Ear { catalog: Arc::downgrade(self), source: index });
            source.watch(|| source.registry.clone().watch(ear()))
        })
    }

    fn watches_running(&self) -> impl Iterator<Item = Arc<dyn WatchHandle>> {
        self.sources.iter().filter_map(Source::running_watch)
    }

    fn admit(&self, reader: Reader) -> Arc<Reader> {
        let reader = Arc::new(reader);
        if self.closing.is_closed() {
            reader.close();
        }
        self.readers.lock().add(&reader);
        reader.registry(self.is_any_down());
        reader
    }

    fn readers(&self) -> Vec<Arc<Reader>> {
        self.readers.lock().living()
    }

    fn is_any_down(&self) -> bool {
        self.sources.iter().any(Source::is_down)
    }
}

/// Whether its caller, or the client's end, ended a wait: that says nothing about whom it waited for.
fn was_ended(error: &Error) -> bool {
    matches!(error.kind(), Kind::Cancelled | Kind::Closed)
}
