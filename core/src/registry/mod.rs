//! Who exists, asked of the system that knows: one file per system, all behind one trait.
//!
//! # Adding a registry
//!
//! 1. Write `registry/<name>.rs` with a type that implements [`Registry`]. Answer every question from the
//!    thread that asks, within its [`Wait`]; errors are [`Kind::Unavailable`] or
//!    [`Kind::Timeout`] when the system is away.
//! 2. In `watch`, tell the [`Sink`] what you hear and when you lose the system. Where there is nothing to
//!    listen to, hand the work to [`polling`], which asks `read` again and again.
//!    One that is only read leaves out `register`, `beat` and `deregister`.
//! 3. Name the scheme and its parameters in `scheme.rs`, and its constructor in [`open()`].
//!
//! What a registry must get right, and what it need not know:
//!
//! * It reports faithfully. Whether a missing endpoint is to be believed is decided elsewhere, by the
//!   [`RegistryUpdate::epoch`] and [`RegistryUpdate::absence`] it passes on.
//! * It keeps no schedule for registrations: `register`, `beat` and `deregister` are called when they are due.
//! * It never prints a secret: [`Registry::source`] is what logs, errors and `explain` show.

pub mod address;
mod claims;
mod consul;
mod dns;
#[cfg(feature = "etcd")]
mod etcd;
mod failover;
mod file;
mod fixed;
#[cfg(feature = "tokio")]
mod foreign;
#[cfg(feature = "grpc")]
mod grpc;
mod memory;
#[cfg(feature = "nacos")]
mod nacos;
mod open;
mod pace;
mod plum;
pub mod polling;
#[cfg(feature = "tokio")]
mod pushed;
pub mod reconnect;
#[cfg(any(feature = "etcd", feature = "zookeeper"))]
mod record;
pub mod resolve;
mod scheme;
#[cfg(any(feature = "etcd", feature = "nacos", feature = "zookeeper"))]
mod stamp;
mod unreadable;
mod web;
#[cfg(feature = "zookeeper")]
mod zookeeper;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Deadline;
use crate::error::{Error, Kind, Result};
use crate::interrupt::Interrupt;
use crate::model::{Endpoint, Instance, Labels};
use crate::runtime::TaskQueue;

pub use address::Address;
pub use failover::Failover;
pub use memory::Memory;
pub use open::{Opened, Setup, open};
pub use plum::digest;

/// How long registries keep an instance without hearing from it, where they do not say.
pub const DEFAULT_TTL: Duration = Duration::from_secs(15);

/// A system that knows who exists.
pub trait Registry: Send + Sync + 'static {
    /// Its address without secrets, for people to read.
    fn source(&self) -> &Arc<str>;

    /// Whether programs can register themselves with it.
    fn is_writable(&self) -> bool;

    /// How long it keeps an instance without hearing from it.
    fn ttl(&self) -> Duration {
        DEFAULT_TTL
    }

    /// How many entries one request carries; callers hand over no more at a time, sorted by instance id, so that
    /// what is closed meanwhile is not sent any more.
    fn batch(&self) -> usize {
        usize::MAX
    }

    /// The queue in which its background work runs.
    fn lane(&self) -> &Arc<TaskQueue>;

    /// All endpoints of one service; none is an answer too.
    fn read(&self, service: &str, wait: &Wait<'_>) -> Result<RegistryUpdate>;

    /// The names of all services.
    fn services(&self, wait: &Wait<'_>) -> Result<Vec<String>>;

    /// Begins to tell `sink` of every change, in the background, until the returned handle is dropped.
    fn watch(self: Arc<Self>, sink: Arc<dyn Sink>) -> Box<dyn Watch>;

    /// Makes the entries known, each answered by itself and in their order.
    fn register(&self, entries: &[Entry], _wait: &Wait<'_>) -> Vec<Result<()>> {
        same_for_all(entries, &self.read_only())
    }

    /// Keeps the entries known, each answered by itself and in their order.
    fn heartbeat(&self, entries: &[Entry], _wait: &Wait<'_>) -> Vec<Result<HeartbeatResult>> {
        same_for_all(entries, &self.read_only())
    }

    /// Makes an entry unknown. `doubtful`: a beat of it may still be on its way and must not bring it back.
    fn deregister(&self, _entry: &Entry, _doubtful: bool, _wait: &Wait<'_>) -> Result<()> {
        Err(self.read_only())
    }

    /// What a registry that is only read says to whoever wants to register there: it leaves out the three above.
    fn read_only(&self) -> Error {
        Error::new(Kind::Unsupported, format!("{} is only read: nothing can register there", self.source()))
    }

    /// This machine's address as that system would see it.
    fn local_ip(&self, wait: &Wait<'_>) -> Option<IpAddr>;
}

/// How long somebody is willing to wait, and how they are asked whether they still are.
#[derive(Clone, Copy)]
pub struct Wait<'a> {
    /// When the wait is over.
    pub deadline: Deadline,
    /// Asked at least every 100 ms.
    pub interrupt: &'a dyn Interrupt,
}

impl<'a> Wait<'a> {
    /// A wait of `timeout` from now.
    pub fn new(timeout: Duration, interrupt: &'a dyn Interrupt) -> Wait<'a> {
        Wait { deadline: Deadline::new(crate::clock::now(), timeout), interrupt }
    }

    /// The same wait, but no longer than `timeout` from now.
    #[must_use]
    pub fn at_most(&self, timeout: Duration) -> Wait<'a> {
        let sooner = crate::clock::now().after(timeout);
        Wait { deadline: self.deadline.tightened(sooner), interrupt: self.interrupt }
    }

    /// What is left of it; an error once it is over or interrupted.
    pub fn left(&self) -> Result<Duration> {
        self.interrupt.check()?;
        match self.deadline.left(crate::clock::now()) {
            Duration::ZERO => Err(Error::new(Kind::Timeout, "the deadline has passed")),
            left => Ok(left),
        }
    }
}

/// What a registry said, once.
#[derive(Clone, Debug, Default)]
pub struct RegistryUpdate {
    /// Another epoch than before: the registry may have forgotten everything. `None`: it did not say.
    pub epoch: Option<String>,
    /// How long it keeps an instance without hearing from it.
    pub ttl: Option<Duration>,
    /// How far to trust it about what it does not list.
    pub absence: Absence,
    /// What exists, by service: each list is complete. Empty: nothing has changed.
    pub lists: Vec<(String, Listing)>,
    /// Whether everything else that is watched is confirmed to be as it was.
    pub confirms_all: bool,
}

/// All endpoints of a service, and what is known of those that are gone.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// The endpoints, the unhealthy ones included where the registry tells.
    pub endpoints: Vec<Endpoint>,
    /// What the registry itself says has ended since the last answer.
    pub removed: Vec<Removed>,
}

/// An entry that the registry says has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Which one.
    pub id: RecordId,
    /// How.
    pub why: RemovalReason,
}

/// What makes a record of a registry the same record.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId {
    /// The instance.
    pub instance_id: String,
    /// Its host, as registered.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Its protocol.
    pub protocol: String,
}

impl RecordId {
    /// The record that an endpoint came from.
    pub fn of(endpoint: &Endpoint) -> RecordId {
        RecordId {
            instance_id: endpoint.instance_id.clone(),
            host: endpoint.host.clone(),
            port: endpoint.port,
            protocol: endpoint.protocol.clone(),
        }
    }
}

/// How an entry ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemovalReason {
    /// Somebody removed it on purpose.
    Deleted,
    /// It was not heard of for too long.
    Expired,
}

/// How far a registry is to be trusted about endpoints that it does not list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Absence {
    /// Entirely, at once: it cannot have forgotten them.
    Final,
    /// Once it is settled.
    #[default]
    WhenSettled,
    /// Once it is settled, unless more than half vanish at one look: restarts cannot be told from deletions.
    WhenSettledAndFew,
}

/// Hears what a registry says. Called from background threads.
pub trait Sink: Send + Sync {
    /// The registry answered.
    fn heard(&self, heard: RegistryUpdate);
    /// The registry did not answer, or its connection broke.
    fn lost(&self, error: Error);
    /// Whether anybody still wants to know of this service; polling leaves out the others.
    fn is_used(&self, service: &str) -> bool;
}

/// What a running watch can be told. Dropping it ends the watch.
pub trait Watch: Send + Sync {
    /// Watch this service too.
    fn want(&self, service: &str);
    /// No longer watch it.
    fn forget(&self, service: &str);
    /// Watch every service, those that appear later included.
    fn want_all(&self);
    /// Ask about this service again soon.
    fn refresh(&self, service: &str);
}

/// One registration as a registry is to store it: complete, with nothing left to find out.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The instance; host, id, zone and ttl are filled in.
    pub instance: Instance,
    /// Random per `register()`, so that the same id registered anew can be told from it.
    pub generation: String,
    /// What to say of its health.
    pub health: Health,
}

impl Entry {
    /// Whether it wants to be called: it does unless its program says otherwise.
    fn is_well(&self) -> bool {
        self.health != Health::Says(false)
    }
}

/// What a beat says of an instance's health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Nothing: what the registry holds stays, an operator's word included.
    #[default]
    Unsaid,
    /// What the program itself said.
    Says(bool),
}

/// What a beat came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeartbeatResult {
    /// The registry knows it, as it is.
    Renewed,
    /// The registry does not know it, or not as it is: it has to be registered again.
    Unknown,
}

/// This machine's address on the way to another: no packet is sent for it.
fn local_ip_towards(address: std::net::SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match address {
        std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = std::net::UdpSocket::bind((any, 0)).ok()?;
    socket.connect(address).ok()?;
    socket.local_addr().ok().map(|local| local.ip()).filter(|ip| !ip.is_unspecified())
}

/// What kept all of them from being asked, as the answer for each.
fn same_for_all<T>(entries: &[Entry], error: &Error) -> Vec<Result<T>> {
    entries.iter().map(|_| Err(error.clone())).collect()
}

/// An instance's labels, and beside them what registries have no field for.
pub fn carried_labels(instance: &Instance) -> Labels {
    let mut labels = instance.labels.clone();
    let mut carry = |name: &str, value: Option<String>| value.map(|value| labels.insert(name.into(), value));
    carry("weight", (instance.weight != 1).then(|| instance.weight.to_string()));
    carry("zone", (!instance.zone.is_empty()).then(|| instance.zone.clone()));
    carry("tags", (!instance.tags.is_empty()).then(|| serde_json::json!(instance.tags).to_string()));
    labels
}

/// Reads back weight and zone from an endpoint's labels, which keep them.
pub fn read_carried(endpoint: &mut Endpoint) {
    if let Some(weight) = endpoint.labels.get("weight").and_then(|weight| weight.trim().parse().ok()) {
        endpoint.weight = weight;
    }
    if let Some(zone) = endpoint.labels.get("zone") {
        endpoint.zone.clone_from(zone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weight_zone_and_tags_travel_as_labels() {
        let instance =
            Instance::new("orders", 80).weight(7).zone("a").tag("x").tag("y, z").label("env", "test");
        let labels = carried_labels(&instance);
        assert_eq!(labels["tags"], r#"["x","y, z"]"#);
        let mut endpoint = Endpoint::new("orders", "10.0.0.7".parse().unwrap(), 80);
        endpoint.labels = labels;
        read_carried(&mut endpoint);
        assert_eq!((endpoint.weight, endpoint.zone.as_str(), endpoint.labels.len()), (7, "a", 4));
    }
}
