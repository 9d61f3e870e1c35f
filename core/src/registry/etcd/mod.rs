//! `etcd://`: etcd v3, over gRPC.
//!
//! ```text
//!  mod     Etcd: what the catalog and the registrations see; every question runs on the tokio thread
//!  line    the one connection: to which member, as which user; left when it breaks
//!  read    lists of endpoints and names, and which epoch they are of
//!  leases  registrations: records under leases shared by up to 200 of them, renewed, checked, granted anew
//!  watch   what is watched, and what becomes of what is heard
//!  followed  what is known of it, and whether a list fits (pure)
//!  stream  one stream for everything that is watched, resumed where it broke off
//!  proto   etcd's messages (written by protocols/)
//! ```
//!
//! The members of an address are doors to one cluster: everything goes to one of them, and to the next when it
//! fails.

mod followed;
mod leases;
mod line;
#[rustfmt::skip]
#[allow(missing_docs, clippy::all, clippy::pedantic)]
mod proto;
mod read;
mod stream;
mod watch;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use self::leases::Leases;
use self::line::Lines;
use self::read::Reader;
use super::claims::Claims;
use super::pushed::{self, ask, ask_for_each};
use super::record::Place;
use super::resolve::Resolver;
use super::{
    Address, DEFAULT_TTL, Entry, HeartbeatResult, Registry, RegistryUpdate, Setup, Sink, Wait, Watch,
};
use crate::error::Result;
use crate::runtime::{ForkLocal, Runtime, TaskQueue};

/// A cluster of etcd, seen as one registry.
pub(super) struct Etcd {
    source: Arc<str>,
    lane: Arc<TaskQueue>,
    runtime: Runtime,
    inner: ForkLocal<Arc<Inner>>,
}

/// What lives on the tokio thread.
struct Inner {
    lines: Lines,
    reader: Reader,
    claims: Claims<Place>,
    leases: tokio::sync::Mutex<Leases>,
    /// The shortest time that anything of ours is kept there, in milliseconds.
    ttl: Arc<AtomicU64>,
}

impl Etcd {
    /// The cluster that an address names.
    pub(super) fn new(address: &Address, setup: &Setup) -> Result<Etcd> {
        let lane = TaskQueue::new(2);
        let source: Arc<str> = address.source().into();
        let names = Arc::new(Resolver::new(setup));
        let ttl = Arc::new(AtomicU64::new(DEFAULT_TTL.as_millis() as u64));
        let inner = Inner {
            lines: Lines::new(address, setup, &names, ttl.clone())?,
            reader: Reader::new(source.clone(), &address.path, names, setup.connect_timeout),
            claims: Claims::new(),
            leases: tokio::sync::Mutex::new(Leases::new(&address.path)),
            ttl,
        };
        Ok(Etcd { source, lane, runtime: setup.runtime.clone(), inner: ForkLocal::new(Arc::new(inner)) })
    }
}

impl Inner {
    /// How long what we keep there lasts without us.
    fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl.load(Ordering::Relaxed))
    }
}

impl Registry for Etcd {
    fn source(&self) -> &Arc<str> {
        &self.source
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn ttl(&self) -> Duration {
        self.inner.ttl()
    }

    fn lane(&self) -> &Arc<TaskQueue> {
        &self.lane
    }

    fn read(&self, service: &str, wait: &Wait<'_>) -> Result<RegistryUpdate> {
        let (inner, service) = (self.inner.clone(), service.to_owned());
        ask(&self.runtime, wait, async move { inner.reader.read(&inner.lines, &service).await })
    }

    fn services(&self, wait: &Wait<'_>) -> Result<Vec<String>> {
        let inner = self.inner.clone();
        ask(&self.runtime, wait, async move { inner.reader.names(&inner.lines).await })
    }

    fn watch(self: Arc<Self>, sink: Arc<dyn Sink>) -> Box<dyn Watch> {
        let (inner, ear) = (self.inner.clone(), sink.clone());
        pushed::begin(&self.runtime, &sink, |wishes| watch::follow(inner, ear, wishes))
    }

    fn register(&self, entries: &[Entry], wait: &Wait<'_>) -> Vec<Result<()>> {
        entries.iter().for_each(|entry| self.inner.claims.make(Place::of(entry), entry));
        let (inner, own) = (self.inner.clone(), entries.to_vec());
        ask_for_each(&self.runtime, wait, entries, async move { Ok(inner.register(&own).await) })
    }

    fn heartbeat(&self, entries: &[Entry], wait: &Wait<'_>) -> Vec<Result<HeartbeatResult>> {
        let (inner, own) = (self.inner.clone(), entries.to_vec());
        ask_for_each(&self.runtime, wait, entries, async move { Ok(inner.heartbeat(&own).await) })
    }

    fn deregister(&self, entry: &Entry, _doubtful: bool, wait: &Wait<'_>) -> Result<()> {
        // Where another registration has taken the place, it is that one's to leave. And what comes late, or is given up
        // here, the next beat of whoever shares the leases removes; without one they end.
        if !self.inner.claims.drop(&Place::of(entry), entry) {
            return Ok(());
        }
        let (inner, entry) = (self.inner.clone(), entry.clone());
        ask(&self.runtime, wait, async move { inner.deregister(&entry).await })
    }

    fn local_ip(&self, wait: &Wait<'_>) -> Option<IpAddr> {
        self.inner.lines.local_ip(wait)
    }
}
