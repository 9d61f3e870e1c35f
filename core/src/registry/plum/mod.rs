//! `plum://`: Plumline controllers, and original Plum controllers.
//!
//! ```text
//!  mod            PlumRegistry: the controller in use; one request, and the meaning of its status
//!  controller     one controller: its connections, its features, its TTL
//!  wire           the JSON of both kinds of controllers
//!  digest         the digest by which both sides verify that they hold the same records
//!  read           reads lists of endpoints
//!  watch          long polls (Plumline controller) or regular reads (original)
//!  registrations  register, heartbeat, deregister
//! ```
//!
//! A Plumline controller sends the header `Plum-Features` with every response; any other one is treated as an original.
//! Several hosts are independent stores. Reads use one of them, and move to the next when it fails, which starts a new
//! epoch. Registrations go to each of them, so every host is a registry of its own for registrations.

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
use crate::error::{Error, Kind, Result};
use crate::registry::address::Address;
use crate::registry::http_host::{HttpHost, HttpRequest, is_outage};
use crate::registry::resolver::Resolver;
use crate::registry::setup::{OpenedRegistry, RegistrySetup};
use crate::registry::types::{
    HeartbeatResult, Registry, RegistryEntry, RegistryUpdate, UpdateSink, WaitLimit, WatchHandle,
};
use crate::runtime::{Runtime, TaskQueue};
use crate::transport::Answer;

pub use digest::digest;

/// Plum controllers as one registry.
pub(super) struct Plum {
    source: Arc<str>,
    sites: Vec<Arc<Site>>,
    /// The index of the controller in use.
    active: AtomicUsize,
    queue: Arc<TaskQueue>,
    authorization: Option<String>,
    resolver: Arc<Resolver>,
    runtime: Runtime,
    poll_interval: Duration,
    timeout: Duration,
}

/// Opens the controllers of an address: one registry for reads, and one per host for registrations.
pub(super) fn open(address: &Address, setup: &RegistrySetup) -> Result<OpenedRegistry> {
    let secure = matches!(address.scheme, "plum+tls" | "https");
    let resolver = Arc::new(Resolver::new(setup));
    let scheme = if secure { "plum+tls" } else { "plum" };
    let site = |name| Ok(Arc::new(Site::new(HttpHost::new(name, scheme, secure, setup)?)));
    let sites: Vec<Arc<Site>> = address.hosts.iter().map(site).collect::<Result<_>>()?;
    let plum = |source: String, sites: Vec<Arc<Site>>, limit: usize| -> Arc<dyn Registry> {
        Arc::new(Plum {
            source: source.into(),
            sites,
            active: AtomicUsize::new(0),
            queue: TaskQueue::new(limit),
            authorization: address.param("token").map(|token| format!("Bearer {token}")),
            resolver: resolver.clone(),
            runtime: setup.runtime.clone(),
            poll_interval: setup.poll_interval,
            timeout: setup.timeout,
        })
    };
    let reader = plum(address.source(), sites.clone(), 2);
    if sites.len() == 1 {
        return Ok(OpenedRegistry::one(reader));
    }
    // A stalled store occupies one worker, so it does not delay the heartbeats of the others.
    let alone =
        |site: &Arc<Site>| plum(format!("{}://{}", address.scheme, site.host.name), vec![site.clone()], 1);
    Ok(OpenedRegistry { writers: sites.iter().map(alone).collect(), reader })
}

impl Plum {
    fn active(&self) -> &Arc<Site> {
        &self.sites[self.active.load(Ordering::Relaxed) % self.sites.len()]
    }

    /// Moves to the next controller after a failure, unless another caller has done so.
    fn leave(&self, failed: &Arc<Site>) {
        let turn = self.active.load(Ordering::Relaxed);
        if self.sites.len() > 1 && Arc::ptr_eq(&self.sites[turn % self.sites.len()], failed) {
            // If this fails, another caller has moved already.
            let _ = self.active.compare_exchange(turn, turn + 1, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// How long one request may take: much less than the TTL.
    fn request_timeout(&self) -> Duration {
        self.timeout.min(self.ttl() / 6)
    }

    /// Sends a request to the controller in use, and to the others if it does not answer.
    fn on_some_site<T>(&self, wait: &WaitLimit<'_>, ask: impl Fn(&Arc<Site>) -> Result<T>) -> Result<T> {
        let mut outcome = Err(Error::new(Kind::Internal, "no controller"));
        for _ in &self.sites {
            let site = self.active().clone();
            outcome = ask(&site);
            match &outcome {
                Err(error) if is_outage(error) && wait.remaining().is_ok() => self.leave(&site),
                _ => return outcome,
            }
        }
        outcome
    }

    /// Sends one request; the response has a status below 400, or 404, 405 or 409.
    fn exchange(&self, site: &Site, ask: &HttpRequest<'_>, wait: &WaitLimit<'_>) -> Result<Answer> {
        let wait = wait.at_most(self.request_timeout());
        let answer = site.host.exchange(ask, self.credentials(), &self.resolver, &wait)?;
        Plum::judge(site, answer)
    }

    fn judge(site: &Site, answer: Answer) -> Result<Answer> {
        site.learn(&answer);
        match answer.status {
            200..=399 | 404 | 405 | 409 => Ok(answer),
            _ => Err(site.host.status_error(&answer)),
        }
    }

    fn credentials(&self) -> Option<(&str, &str)> {
        self.authorization.as_deref().map(|value| ("Authorization", value))
    }

    /// Detects the kind of a controller, if it is unknown.
    fn meet(&self, site: &Site, wait: &WaitLimit<'_>) -> Result<()> {
        if site.is_known() {
            return Ok(());
        }
        self.exchange(site, &HttpRequest::get("/healthz"), wait).map(|_| ())
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

    fn batch_size(&self) -> usize {
        if self.active().is_ours() { plumline_wire::MAX_BATCH } else { 1 }
    }

    fn queue(&self) -> &Arc<TaskQueue> {
        &self.queue
    }

    fn read(&self, service: &str, wait: &WaitLimit<'_>) -> Result<RegistryUpdate> {
        self.on_some_site(wait, |site| self.read_at(site, service, wait))
    }

    fn services(&self, wait: &WaitLimit<'_>) -> Result<Vec<String>> {
        self.on_some_site(wait, |site| self.services_at(site, wait))
    }

    fn watch(self: Arc<Self>, sink: Arc<dyn UpdateSink>) -> Box<dyn WatchHandle> {
        watch::begin(self, sink)
    }

    fn register(&self, entries: &[RegistryEntry], wait: &WaitLimit<'_>) -> Vec<Result<()>> {
        self.register_at(self.active(), entries, wait)
    }

    fn heartbeat(&self, entries: &[RegistryEntry], wait: &WaitLimit<'_>) -> Vec<Result<HeartbeatResult>> {
        self.beat_at(self.active(), entries, wait)
    }

    fn deregister(&self, entry: &RegistryEntry, doubtful: bool, wait: &WaitLimit<'_>) -> Result<()> {
        self.deregister_at(self.active(), entry, doubtful, wait)
    }

    fn local_ip(&self, wait: &WaitLimit<'_>) -> Option<IpAddr> {
        self.active().host.local_ip(&self.resolver, wait)
    }
}
