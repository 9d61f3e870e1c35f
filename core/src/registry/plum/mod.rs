//! `plum://`: Plum controllers, ours and the original.
//!
//! ```text
//!  mod    Plum: which controller answers at present; one exchange, its failures in our words
//!  site   one controller: its connections, what it can do, its TTL
//!  wire   the JSON of both, and the digest by which both sides know they hold the same
//!  read   lists of endpoints
//!  watch  waits for changes (ours) or looks again and again (the original)
//!  beat   register, beat, deregister
//! ```
//!
//! Ours says so on every answer (`Plum-Features`); whatever does not is treated as the original.
//! Several hosts are independent stores: reads use one of them and move on to the next when it fails, which
//! is a new epoch; registrations go to each, so that every host is a registry of its own for them.

mod beat;
mod digest;
mod read;
mod site;
mod watch;
mod wire;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use self::site::Site;
use super::resolve::Resolver;
use super::web::{Ask, Host, is_away};
use super::{Address, Entry, HeartbeatResult, Opened, Registry, RegistryUpdate, Setup, Sink, Wait, Watch};
use crate::error::{Error, Kind, Result};
use crate::runtime::{Runtime, TaskQueue};
use crate::transport::Answer;

pub use digest::digest;

/// Plum controllers, seen as one registry.
pub(super) struct Plum {
    source: Arc<str>,
    sites: Vec<Arc<Site>>,
    /// The one that answers at present.
    active: AtomicUsize,
    lane: Arc<TaskQueue>,
    authorization: Option<String>,
    resolver: Arc<Resolver>,
    runtime: Runtime,
    poll_interval: Duration,
    timeout: Duration,
}

/// Opens the controllers that an address names: one registry to read from, one per host to register with.
pub(super) fn open(address: &Address, setup: &Setup) -> Result<Opened> {
    let secure = matches!(address.scheme, "plum+tls" | "https");
    let resolver = Arc::new(Resolver::new(setup));
    let scheme = if secure { "plum+tls" } else { "plum" };
    let site = |name| Ok(Arc::new(Site::new(Host::new(name, scheme, secure, setup)?)));
    let sites: Vec<Arc<Site>> = address.hosts.iter().map(site).collect::<Result<_>>()?;
    let plum = |source: String, sites: Vec<Arc<Site>>, limit: usize| -> Arc<dyn Registry> {
        Arc::new(Plum {
            source: source.into(),
            sites,
            active: AtomicUsize::new(0),
            lane: TaskQueue::new(limit),
            authorization: address.param("token").map(|token| format!("Bearer {token}")),
            resolver: resolver.clone(),
            runtime: setup.runtime.clone(),
            poll_interval: setup.poll_interval,
            timeout: setup.timeout,
        })
    };
    let reads = plum(address.source(), sites.clone(), 2);
    if sites.len() == 1 {
        return Ok(Opened::one(reads));
    }
    // A store that has stalled keeps one worker, and the others their beats.
    let alone =
        |site: &Arc<Site>| plum(format!("{}://{}", address.scheme, site.host.name), vec![site.clone()], 1);
    Ok(Opened { writes: sites.iter().map(alone).collect(), reads })
}

impl Plum {
    fn active(&self) -> &Arc<Site> {
        &self.sites[self.active.load(Ordering::Relaxed) % self.sites.len()]
    }

    /// Moves on from a site that failed, unless somebody has already.
    fn leave(&self, failed: &Arc<Site>) {
        let turn = self.active.load(Ordering::Relaxed);
        if self.sites.len() > 1 && Arc::ptr_eq(&self.sites[turn % self.sites.len()], failed) {
            // If somebody else was first, another one is active already.
            let _ = self.active.compare_exchange(turn, turn + 1, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// How long one request may take: far less than a registration lasts.
    fn request_timeout(&self) -> Duration {
        self.timeout.min(self.ttl() / 6)
    }

    /// Asks the active site, and the others where it does not answer.
    fn on_some_site<T>(&self, wait: &Wait<'_>, ask: impl Fn(&Arc<Site>) -> Result<T>) -> Result<T> {
        let mut outcome = Err(Error::new(Kind::Internal, "no controller"));
        for _ in &self.sites {
            let site = self.active().clone();
            outcome = ask(&site);
            match &outcome {
                Err(error) if is_away(error) && wait.left().is_ok() => self.leave(&site),
                _ => return outcome,
            }
        }
        outcome
    }

    /// One request, one answer of a status below 400 (404 and 405 are left to the asker).
    fn exchange(&self, site: &Site, ask: &Ask<'_>, wait: &Wait<'_>) -> Result<Answer> {
        let wait = wait.at_most(self.request_timeout());
        let answer = site.host.exchange(ask, self.credentials(), &self.resolver, &wait)?;
        Plum::judge(site, answer)
    }

    fn judge(site: &Site, answer: Answer) -> Result<Answer> {
        site.learn(&answer);
        match answer.status {
            200..=399 | 404 | 405 | 409 => Ok(answer),
            _ => Err(site.host.refusal(&answer)),
        }
    }

    fn credentials(&self) -> Option<(&str, &str)> {
        self.authorization.as_deref().map(|value| ("Authorization", value))
    }

    /// Finds out what kind of controller this is, if nobody has yet.
    fn meet(&self, site: &Site, wait: &Wait<'_>) -> Result<()> {
        if site.is_known() {
            return Ok(());
        }
        self.exchange(site, &Ask::get("/healthz"), wait).map(|_| ())
    }
}

impl Registry for Plum {
    fn source(&self) -> &Arc<str> {
        &self.source
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn ttl(&self) -> Duration {
        self.active().ttl()
    }

    fn batch(&self) -> usize {
        if self.active().is_ours() { plumline_wire::MAX_BATCH } else { 1 }
    }

    fn lane(&self) -> &Arc<TaskQueue> {
        &self.lane
    }

    fn read(&self, service: &str, wait: &Wait<'_>) -> Result<RegistryUpdate> {
        self.on_some_site(wait, |site| self.read_at(site, service, wait))
    }

    fn services(&self, wait: &Wait<'_>) -> Result<Vec<String>> {
        self.on_some_site(wait, |site| self.services_at(site, wait))
    }

    fn watch(self: Arc<Self>, sink: Arc<dyn Sink>) -> Box<dyn Watch> {
        watch::begin(self, sink)
    }

    fn register(&self, entries: &[Entry], wait: &Wait<'_>) -> Vec<Result<()>> {
        self.register_at(self.active(), entries, wait)
    }

    fn heartbeat(&self, entries: &[Entry], wait: &Wait<'_>) -> Vec<Result<HeartbeatResult>> {
        self.beat_at(self.active(), entries, wait)
    }

    fn deregister(&self, entry: &Entry, doubtful: bool, wait: &Wait<'_>) -> Result<()> {
        self.deregister_at(self.active(), entry, doubtful, wait)
    }

    fn local_ip(&self, wait: &Wait<'_>) -> Option<IpAddr> {
        self.active().host.local_ip(&self.resolver, wait)
    }
}
