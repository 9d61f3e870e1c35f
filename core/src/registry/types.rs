//! The trait that every registry implements, and the types it exchanges with the catalog and the registrations.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Deadline;
use crate::error::{Error, Kind, Result};
use crate::interrupt::Interrupt;
use crate::model::{Endpoint, Instance};
use crate::runtime::TaskQueue;

/// How long a registry keeps an instance without a heartbeat, unless it says otherwise.
pub const DEFAULT_TTL: Duration = Duration::from_secs(15);

/// A system that lists the instances of services.
pub trait Registry: Send + Sync + 'static {
    /// Its address without secrets, for logs and messages.
    fn source(&self) -> &Arc<str>;

    /// Whether programs can register themselves with it.
    fn is_writable(&self) -> bool;

    /// How long it keeps an instance without a heartbeat.
    fn ttl(&self) -> Duration {
        DEFAULT_TTL
    }

    /// The largest number of entries in one call. Callers pass at most this many, sorted by instance id, so that
    /// registrations closed in the meantime are not sent any more.
    fn batch_size(&self) -> usize {
        usize::MAX
    }

    /// The queue in which its background work runs.
    fn queue(&self) -> &Arc<TaskQueue>;

    /// All endpoints of one service. An empty list is a valid result.
    fn read(&self, service: &str, wait: &WaitLimit<'_>) -> Result<RegistryUpdate>;

    /// The names of all services.
    fn services(&self, wait: &WaitLimit<'_>) -> Result<Vec<String>>;

    /// Starts to report every change to `sink`, in the background, until the returned handle is dropped.
    fn watch(self: Arc<Self>, sink: Arc<dyn UpdateSink>) -> Box<dyn WatchHandle>;

    /// Registers the entries. Returns one result per entry, in the same order.
    fn register(&self, entries: &[RegistryEntry], _wait: &WaitLimit<'_>) -> Vec<Result<()>> {
        fail_all(entries, &self.read_only_error())
    }

    /// Renews the entries. Returns one result per entry, in the same order.
    fn heartbeat(&self, entries: &[RegistryEntry], _wait: &WaitLimit<'_>) -> Vec<Result<HeartbeatResult>> {
        fail_all(entries, &self.read_only_error())
    }

    /// Deregisters an entry. `in_flight`: a heartbeat of it may still be in flight and must not register it again.
    fn deregister(&self, _entry: &RegistryEntry, _in_flight: bool, _wait: &WaitLimit<'_>) -> Result<()> {
        Err(self.read_only_error())
    }

    /// The error of `register`, `heartbeat` and `deregister` in a read-only registry, which does not implement them.
    fn read_only_error(&self) -> Error {
        Error::new(
            Kind::Unsupported,
            format!("{} is read-only: instances cannot register there", self.source()),
        )
    }

    /// The address of this machine as that system sees it.
    fn local_ip(&self, wait: &WaitLimit<'_>) -> Option<IpAddr>;
}

/// How long a caller is willing to wait, and how to find out whether it has given up.
#[derive(Clone, Copy)]
pub struct WaitLimit<'a> {
    /// When the wait ends.
    pub deadline: Deadline,
    /// Checked at least every 100 ms.
    pub interrupt: &'a dyn Interrupt,
}

impl<'a> WaitLimit<'a> {
    /// A limit of `timeout` from now.
    pub fn new(timeout: Duration, interrupt: &'a dyn Interrupt) -> WaitLimit<'a> {
        WaitLimit { deadline: Deadline::new(crate::clock::now(), timeout), interrupt }
    }

    /// The same limit, but at most `timeout` from now.
    #[must_use]
    pub fn at_most(&self, timeout: Duration) -> WaitLimit<'a> {
        let sooner = crate::clock::now().after(timeout);
        WaitLimit { deadline: self.deadline.tightened(sooner), interrupt: self.interrupt }
    }

    /// The time that remains; an error once the deadline has passed or the caller was interrupted.
    pub fn remaining(&self) -> Result<Duration> {
        self.interrupt.check()?;
        match self.deadline.left(crate::clock::now()) {
            Duration::ZERO => Err(Error::new(Kind::Timeout, "the deadline has passed")),
            remaining => Ok(remaining),
        }
    }
}

/// One answer or push from a registry.
#[derive(Clone, Debug, Default)]
pub struct RegistryUpdate {
    /// Identifies the state the registry has kept without a break. A new value means that it may have lost every
    /// registration. `None`: not reported.
    pub epoch: Option<String>,
    /// How long the registry keeps an instance without a heartbeat.
    pub ttl: Option<Duration>,
    /// When an endpoint that is missing from a list counts as gone.
    pub absence: Absence,
    /// The endpoints by service. Each list is complete. Empty: nothing has changed.
    pub lists: Vec<(String, Listing)>,
    /// Whether all other watched services are confirmed to be unchanged.
    pub confirms_all: bool,
}

/// All endpoints of a service, and the ones that the registry reports as removed.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// The endpoints, including the unhealthy ones where the registry lists them.
    pub endpoints: Vec<Endpoint>,
    /// The records that the registry itself reports as removed since its last answer.
    pub removed: Vec<RemovedRecord>,
}

/// A record that the registry reports as removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedRecord {
    /// The record.
    pub id: RecordId,
    /// Why it was removed.
    pub reason: RemovalReason,
}

/// The identity of a record in a registry.
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
    /// The record that an endpoint was read from.
    pub fn of(endpoint: &Endpoint) -> RecordId {
        RecordId {
            instance_id: endpoint.instance_id.clone(),
            host: endpoint.host.clone(),
            port: endpoint.port,
            protocol: endpoint.protocol.clone(),
        }
    }
}

/// Why a record was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemovalReason {
    /// It was deregistered.
    Deleted,
    /// It was not renewed in time.
    Expired,
}

/// When an endpoint that a registry does not list counts as gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Absence {
    /// At once: this registry cannot lose registrations.
    Authoritative,
    /// Once the registry has settled: it has answered for a whole TTL without a new epoch.
    #[default]
    AfterSettling,
    /// Once the registry has settled, unless more than half of the endpoints are missing from one answer. Such a
    /// registry reports no epoch, so a restart looks like many deletions.
    AfterSettlingIfFew,
}

/// Receives the updates of a registry. Called from background threads.
pub trait UpdateSink: Send + Sync {
    /// The registry answered.
    fn on_update(&self, update: RegistryUpdate);
    /// The registry did not answer, or its connection broke.
    fn on_failure(&self, error: Error);
    /// Whether anyone still uses this service. Polling skips services that are not in use.
    fn is_in_use(&self, service: &str) -> bool;
}

/// Controls a running watch. Dropping it ends the watch.
pub trait WatchHandle: Send + Sync {
    /// Also watches this service.
    fn subscribe(&self, service: &str);
    /// Stops watching this service.
    fn unsubscribe(&self, service: &str);
    /// Watches every service, including the ones that appear later.
    fn subscribe_all(&self);
    /// Reads this service again soon.
    fn refresh(&self, service: &str);
}

/// One registration in the form a registry stores: complete, with every default filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct RegistryEntry {
    /// The instance; host, id, zone and ttl are filled in.
    pub instance: Instance,
    /// Random for each `register()`, to distinguish it from a later registration with the same id.
    pub generation: String,
    /// The health to report.
    pub health: ReportedHealth,
}

impl RegistryEntry {
    /// Whether it may receive calls: true unless the program reported it as unhealthy.
    pub(super) fn is_healthy(&self) -> bool {
        self.health != ReportedHealth::Reported(false)
    }
}

/// What a heartbeat reports about the health of an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReportedHealth {
    /// Nothing: the value in the registry stays, including one that an operator has set.
    #[default]
    Unspecified,
    /// The value that the program has set.
    Reported(bool),
}

/// The result of a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeartbeatResult {
    /// The registry holds the entry in this form.
    Renewed,
    /// The registry does not hold the entry, or holds it in another form: register it again.
    Unknown,
}

/// The address of this machine on the route to another. No packet is sent.
pub(super) fn local_ip_towards(address: std::net::SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match address {
        std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = std::net::UdpSocket::bind((any, 0)).ok()?;
    socket.connect(address).ok()?;
    socket.local_addr().ok().map(|local| local.ip()).filter(|ip| !ip.is_unspecified())
}

/// The same error for every entry, where none of them could be sent.
pub(super) fn fail_all<T>(entries: &[RegistryEntry], error: &Error) -> Vec<Result<T>> {
    entries.iter().map(|_| Err(error.clone())).collect()
}
