//! One service as the catalog knows it: what each registry has made us believe of it, and who listens.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::sync::{Condvar, Mutex, MutexGuard};

use super::Inner;
use super::absence::{Belief, Trust, Verdict};
use super::readers::Readers;
use super::report::{Gone, Provenance, SourceView};
use super::source::Source;
use super::watching::Reader;
use crate::clock::{self, Tick};
use crate::error::{Error, Kind, Result};
use crate::interrupt::SLICE;
use crate::membership::{Listed, Member, Service};
use crate::model::{Endpoint, EndpointKey};
use crate::registry::{Absence, Listing, WaitLimit};
use crate::telemetry::Tally;

const MOST_GONE: usize = 16;
/// A service that nobody has used for so many looks is no longer looked at.
const IDLE_LOOKS: u32 = 6;

/// One service as the catalog knows it.
pub struct Known {
    service: Arc<Service>,
    sources: Arc<[Source]>,
    catalog: Weak<Inner>,
    /// Whether anything has been heard of it, be it that nobody offers it.
    ready: AtomicBool,
    /// Set by every use, taken back by every look at the registry.
    used: AtomicBool,
    idle_looks: AtomicU32,
    hits: Tally,
    beliefs: Mutex<Beliefs>,
    first: Mutex<First>,
    first_done: Condvar,
    ttl: Duration,
}

struct Beliefs {
    /// One for each source, and a last one for what the program itself publishes.
    by_source: Vec<Contribution>,
    gone: VecDeque<Gone>,
    readers: Readers,
    due: Tick,
}

#[derive(Default)]
struct Contribution {
    belief: Belief,
    heard: Option<Tick>,
    /// Counts what was heard, so that an answer that was overtaken is noticed.
    count: u64,
    from_disk: bool,
    is_final: bool,
    /// Cleared by hand: news that was on its way already will not do, only what is asked for from then on.
    cleared: bool,
}

/// The first look at a service, made on the thread of whoever needs it first.
#[derive(Default)]
struct First {
    asking: bool,
    failed: Option<(Tick, Error)>,
}

/// What came of some news.
pub(super) struct Applied {
    /// Whether the list is another one.
    pub(super) changed: bool,
    /// Endpoints registered anew, or back after absence.
    pub(super) returned: Vec<Member>,
    /// When [`Known::expire`] must be called; `None` if that is settled already.
    pub(super) due: Option<Tick>,
}

impl Known {
    pub(super) fn new(name: &str, sources: Arc<[Source]>, catalog: Weak<Inner>, ttl: Duration) -> Arc<Known> {
        let beliefs = Beliefs {
            by_source: (0..=sources.len()).map(|_| Contribution::default()).collect(),
            gone: VecDeque::new(),
            readers: Readers::default(),
            due: Tick::NEVER,
        };
        Arc::new(Known {
            service: Service::new(name),
            sources,
            catalog,
            ready: AtomicBool::new(false),
            used: AtomicBool::new(true),
            idle_looks: AtomicU32::new(0),
            hits: Tally::default(),
            beliefs: Mutex::new(beliefs),
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

    /// Whether its list is older than it should be, because a registry does not answer.
    pub fn is_stale(&self) -> bool {
        self.age(clock::now()).1
    }

    // === use ===

    #[inline]
    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Marks it as used; whether its list can be used without waiting. No lock, no allocation.
    #[inline]
    pub fn enter(&self) -> bool {
        if !self.used.load(Ordering::Relaxed) {
            self.used_again();
        }
        self.is_ready()
    }

    /// Counts a look-up that needed no waiting.
    pub fn count_hit(&self) {
        self.hits.count();
    }

    /// The first use since the last look at the registry; after a long time without any, its list is refreshed.
    #[cold]
    fn used_again(&self) {
        self.used.store(true, Ordering::Relaxed);
        let was_idle = self.idle_looks.swap(0, Ordering::Relaxed) >= IDLE_LOOKS;
        if let Some(catalog) = self.catalog.upgrade().filter(|_| was_idle) {
            catalog.refresh(self.name());
        }
    }

    /// Whether anybody still wants to know of it. Asked once per look.
    pub(super) fn is_used(self: &Arc<Self>) -> bool {
        let is_watched = self.beliefs.lock().readers.has_any();
        if self.used.swap(false, Ordering::Relaxed) || is_watched {
            self.idle_looks.store(0, Ordering::Relaxed);
            return true;
        }
        self.idle_looks.fetch_add(1, Ordering::Relaxed) < IDLE_LOOKS
    }

    pub(super) fn hits(&self) -> u64 {
        self.hits.get()
    }

    /// The next use looks for the first time again.
    pub(super) fn forget_readiness(&self) {
        self.ready.store(false, Ordering::Release);
        self.first.lock().failed = None;
    }

    /// The next use asks anew, and takes nothing for an answer that was on its way before.
    pub(super) fn clear(&self) {
        let mut beliefs = self.beliefs.lock();
        beliefs.registries().for_each(|contribution| contribution.cleared = true);
        self.forget_readiness();
    }

    /// Whether a source has still to be asked anew.
    pub(super) fn is_cleared(&self, source: usize) -> bool {
        self.beliefs.lock().by_source[source].cleared
    }

    /// After a first look that failed: whether an older list serves on.
    pub(super) fn serves_on(&self) -> bool {
        let beliefs = self.beliefs.lock();
        let was_heard = beliefs.by_source.iter().any(|contribution| contribution.heard.is_some());
        if was_heard {
            self.ready.store(true, Ordering::Release);
        }
        was_heard
    }

    // === the first look ===

    /// Makes the first look unless somebody does already; then waits for them.
    pub(super) fn first_look(&self, wait: &WaitLimit<'_>, look: impl FnOnce() -> Result<()>) -> Result<()> {
        let mut first = self.first.lock();
        while first.asking && !self.is_ready() {
            // The caller's own code is asked, which may call us: not under the lock.
            let left = MutexGuard::unlocked(&mut first, || wait.remaining())?;
            if first.asking {
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
        first.asking = true;
        drop(first);
        let outcome = look();
        let mut first = self.first.lock();
        first.asking = false;
        // That one caller was interrupted says nothing to the others.
        let telling = outcome.as_ref().err().filter(|error| error.kind() != Kind::Cancelled);
        first.failed = telling.map(|error| (clock::now(), error.clone()));
        self.first_done.notify_all();
        outcome
    }

    /// How much has been heard from a source so far.
    pub(super) fn count(&self, source: usize) -> u64 {
        self.beliefs.lock().by_source[source].count
    }

    // === news ===

    /// A source listed the whole service. `overtakes`: not if more has been heard than this count.
    pub(super) fn heard(
        &self,
        source: usize,
        listing: Listing,
        trust: Trust,
        overtakes: Option<u64>,
    ) -> Applied {
        let now = clock::now();
        self.apply(|beliefs| {
            let contribution = &mut beliefs.by_source[source];
            if overtakes.is_some_and(|count| count != contribution.count) {
                return Verdict::default();
            }
            contribution.cleared &= overtakes.is_none();
            contribution.count += 1;
            contribution.heard = Some(now);
            contribution.is_final = trust.absence == Absence::Authoritative;
            contribution.from_disk = false;
            contribution.belief.heard(listing, trust, now)
        })
    }

    /// What was kept on disk, as long as the source has not been heard.
    pub(super) fn recalled(&self, source: usize, endpoints: Vec<Endpoint>) -> Applied {
        self.apply(|beliefs| {
            let contribution = &mut beliefs.by_source[source];
            if contribution.count > 0 {
                return Verdict::default();
            }
            contribution.from_disk = true;
            let trust = Trust { absence: Absence::AfterSettling, settled: false, ttl: self.ttl };
            contribution.belief.heard(Listing { endpoints, removed: Vec::new() }, trust, clock::now())
        })
    }

    pub(super) fn distrust(&self, key: &EndpointKey) -> Applied {
        self.apply_to_all(|belief| belief.distrust(key))
    }

    /// Drops what was kept long enough.
    pub(super) fn expire(&self) -> Applied {
        let now = clock::now();
        self.beliefs.lock().due = Tick::NEVER;
        self.apply_to_all(|belief| belief.expire(now))
    }

    fn apply_to_all(&self, news: impl Fn(&mut Belief) -> Verdict) -> Applied {
        self.apply(|beliefs| {
            let verdicts = beliefs.by_source.iter_mut().map(|contribution| news(&mut contribution.belief));
            verdicts.fold(Verdict::default(), |mut all, one| {
                all.changed |= one.changed;
                all.gone.extend(one.gone);
                all.returned.extend(one.returned);
                all
            })
        })
    }

    fn apply(&self, news: impl FnOnce(&mut Beliefs) -> Verdict) -> Applied {
        let mut beliefs = self.beliefs.lock();
        let verdict = news(&mut beliefs);
        let first = !self.is_ready() && !beliefs.is_cleared();
        if verdict.changed || first {
            self.service.replace(beliefs.listed());
        }
        if first {
            self.ready.store(true, Ordering::Release);
        }
        beliefs.bury(verdict.gone);
        if verdict.changed || first {
            beliefs.tell(self.name());
        }
        let due = beliefs.appointment();
        drop(beliefs);
        if first {
            let _asking = self.first.lock();
            self.first_done.notify_all();
        }
        Applied { changed: verdict.changed, returned: self.members(&verdict.returned), due }
    }

    fn members(&self, keys: &[EndpointKey]) -> Vec<Member> {
        if keys.is_empty() {
            return Vec::new();
        }
        let snapshot = self.service.snapshot();
        snapshot.members.iter().filter(|member| keys.contains(&member.endpoint.key())).cloned().collect()
    }

    // === listeners ===

    /// Somebody listens; they hear of the present state if there is any.
    pub(super) fn listen(&self, reader: &Arc<Reader>) {
        let mut beliefs = self.beliefs.lock();
        beliefs.readers.add(reader);
        if self.is_ready() {
            reader.changed(self.name());
        }
    }

    /// The present state must do, empty as it may be: the registry is away.
    pub(super) fn tell_nothing_heard(&self) {
        self.beliefs.lock().tell(self.name());
    }

    // === what it can tell ===

    /// How old its list is, and whether that is too old.
    pub(super) fn age(&self, now: Tick) -> (Duration, bool) {
        let beliefs = self.beliefs.lock();
        let mut oldest = (Duration::ZERO, false);
        for (contribution, source) in beliefs.by_source.iter().zip(self.sources.iter()) {
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
        let beliefs = self.beliefs.lock();
        let view = |(contribution, source): (&Contribution, &Source)| SourceView {
            source: source.registry.source().to_string(),
            heard: contribution.last(source),
            down: source.is_down(),
            from_disk: contribution.from_disk,
            settled: contribution.is_final || source.is_settled(now),
            endpoints: contribution.belief.len(),
            error: source.error().map(|error| error.to_string()),
        };
        let mut sources: Vec<SourceView> =
            beliefs.by_source.iter().zip(self.sources.iter()).map(view).collect();
        sources.extend(beliefs.published());
        Provenance { sources, gone: beliefs.gone.iter().cloned().collect() }
    }

    /// What each source contributes, for the snapshot on disk.
    pub(super) fn contributions(&self) -> Vec<Vec<Arc<Endpoint>>> {
        let beliefs = self.beliefs.lock();
        let endpoints = |contribution: &Contribution| {
            contribution.belief.listed().map(|listed| listed.endpoint).collect()
        };
        beliefs.by_source.iter().take(self.sources.len()).map(endpoints).collect()
    }
}

impl Contribution {
    /// When the source last said this list, or that nothing had changed since.
    fn last(&self, source: &Source) -> Option<Tick> {
        self.heard.map(|heard| source.confirmed_at().map_or(heard, |confirmed| confirmed.max(heard)))
    }
}

impl Beliefs {
    /// Everything, the most trustworthy record of an address first.
    fn listed(&self) -> Vec<Listed> {
        let mut listed: Vec<Listed> =
            self.by_source.iter().flat_map(|contribution| contribution.belief.listed()).collect();
        listed.sort_by_key(|l| (l.unconfirmed, !l.endpoint.healthy, std::cmp::Reverse(l.endpoint.last_seen)));
        listed
    }

    /// What the registries say; what the program itself publishes comes last.
    fn registries(&mut self) -> impl Iterator<Item = &mut Contribution> {
        let count = self.by_source.len() - 1;
        self.by_source.iter_mut().take(count)
    }

    /// Whether every registry has still to be asked anew.
    fn is_cleared(&mut self) -> bool {
        let mut registries = self.registries().peekable();
        registries.peek().is_some() && registries.all(|contribution| contribution.cleared)
    }

    fn bury(&mut self, gone: Vec<(Arc<Endpoint>, &'static str)>) {
        let at = clock::now();
        for (endpoint, why) in gone {
            self.gone.push_front(Gone { endpoint, why, at });
        }
        self.gone.truncate(MOST_GONE);
    }

    fn tell(&mut self, service: &str) {
        self.readers.living().iter().for_each(|reader| reader.changed(service));
    }

    /// When something is due that nobody has been told of yet.
    fn appointment(&mut self) -> Option<Tick> {
        let due = self.by_source.iter().filter_map(|contribution| contribution.belief.next_due()).min()?;
        let sooner = due < self.due;
        self.due = self.due.min(due);
        sooner.then_some(due)
    }

    fn published(&self) -> Option<SourceView> {
        let own = self.by_source.last().filter(|own| own.heard.is_some())?;
        Some(SourceView {
            source: "publish".into(),
            heard: own.heard,
            down: false,
            from_disk: false,
            settled: true,
            endpoints: own.belief.len(),
            error: None,
        })
    }
}
