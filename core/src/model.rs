//! The nouns: [`Endpoint`], [`Instance`], [`Query`], [`Change`].

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Free-form pairs carried by instances and endpoints.
pub type Labels = BTreeMap<String, String>;

/// One address of one instance of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The service it belongs to.
    pub service: String,
    /// The instance that registered it.
    pub instance_id: String,
    /// The machine it runs on, as the registry calls it.
    pub node_id: String,
    /// The name or address it was registered under; Host header and TLS name come from here.
    pub host: String,
    /// Where it is reached: `host` resolved, or `host` itself where that is an address.
    pub ip: IpAddr,
    /// The port.
    pub port: u16,
    /// `http`, `https`, `grpc`, `tcp`, …
    pub protocol: String,
    /// The version it was registered with; empty where there is none.
    pub version: String,
    /// Its labels.
    pub labels: Labels,
    /// Its share of the traffic against the others'; 0 gets none. Default 1.
    pub weight: u32,
    /// The zone it runs in; empty where there is none.
    pub zone: String,
    /// What the registry says of its health.
    pub healthy: bool,
    /// When the registry last heard of it, unix seconds by the registry's clock; 0 if it does not say.
    pub last_seen: u64,
    /// The address of the registry that told us, without secrets.
    pub source: String,
    /// Random per registration, where the registry carries one: another one means the program was started anew.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub generation: String,
}

impl Endpoint {
    /// A healthy `http` endpoint of weight 1 at `ip:port`.
    ///
    /// ```
    /// let endpoint = plumline::Endpoint::new("orders", "127.0.0.1".parse()?, 8080);
    /// assert_eq!(endpoint.address(), "127.0.0.1:8080");
    /// # Ok::<(), std::net::AddrParseError>(())
    /// ```
    pub fn new(service: impl Into<String>, ip: IpAddr, port: u16) -> Endpoint {
        let (service, host) = (service.into(), ip.to_string());
        Endpoint {
            instance_id: default_instance_id(&service, &host, port),
            service,
            node_id: String::new(),
            host,
            ip,
            port,
            protocol: "http".into(),
            version: String::new(),
            labels: Labels::new(),
            weight: 1,
            zone: String::new(),
            healthy: true,
            last_seen: 0,
            source: String::new(),
            generation: String::new(),
        }
    }

    /// `ip:port`, an IPv6 address in brackets.
    pub fn address(&self) -> String {
        self.socket_addr().to_string()
    }

    /// The same as a socket address.
    pub const fn socket_addr(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }

    /// What makes two records the same endpoint: protocol and address.
    pub fn key(&self) -> EndpointKey {
        EndpointKey { protocol: self.protocol.clone(), address: self.socket_addr() }
    }

    /// Whether everything but the time it was last seen and who told us is the same: then nothing changed.
    pub fn same_as(&self, other: &Endpoint) -> bool {
        self.instance_id == other.instance_id
            && self.node_id == other.node_id
            && self.host == other.host
            && self.ip == other.ip
            && self.port == other.port
            && self.protocol == other.protocol
            && self.version == other.version
            && self.labels == other.labels
            && self.weight == other.weight
            && self.zone == other.zone
            && self.healthy == other.healthy
            && self.generation == other.generation
    }
}

/// The identity of an endpoint within its service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointKey {
    /// `http`, `https`, `grpc`, `tcp`, …
    pub protocol: String,
    /// Where it is reached.
    pub address: SocketAddr,
}

/// The id an instance gets unless it names one: a restart in the same place replaces its own ghost.
pub fn default_instance_id(service: &str, host: &str, port: u16) -> String {
    format!("{service}-{host}-{port}")
}

/// What a program registers: itself.
///
/// ```
/// use plumline::Instance;
/// let instance = Instance::new("orders", 8080).version("v2").label("env", "production").weight(10);
/// assert_eq!(instance.protocol, "http");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Instance {
    /// The service it offers.
    pub service: String,
    /// Where others reach it; found out when empty (see `docs/`).
    pub host: String,
    /// The port others reach it at.
    pub port: u16,
    /// `http` unless said otherwise.
    pub protocol: String,
    /// Its version; empty by default.
    pub version: String,
    /// Its labels.
    pub labels: Labels,
    /// Its share of the traffic. Default 1.
    pub weight: u32,
    /// The zone it runs in; the client's `zone` when empty.
    pub zone: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// How long the registry keeps it without hearing from it; the client's `registration.ttl` when `None`.
    #[serde(with = "crate::config::optional_duration")]
    pub ttl: Option<Duration>,
    /// Its id; `{service}-{host}-{port}` when empty.
    pub instance_id: String,
    /// Whether it wants to be called.
    pub healthy: bool,
}

impl Default for Instance {
    fn default() -> Instance {
        Instance::new("", 0)
    }
}

impl Instance {
    /// A healthy `http` instance of weight 1 that listens at `port`.
    pub fn new(service: impl Into<String>, port: u16) -> Instance {
        Instance {
            service: service.into(),
            host: String::new(),
            port,
            protocol: "http".into(),
            version: String::new(),
            labels: Labels::new(),
            weight: 1,
            zone: String::new(),
            tags: Vec::new(),
            ttl: None,
            instance_id: String::new(),
            healthy: true,
        }
    }

    /// Sets where others reach it.
    pub fn host(mut self, host: impl Into<String>) -> Instance {
        self.host = host.into();
        self
    }

    /// Sets the protocol.
    pub fn protocol(mut self, protocol: impl Into<String>) -> Instance {
        self.protocol = protocol.into();
        self
    }

    /// Sets the version.
    pub fn version(mut self, version: impl Into<String>) -> Instance {
        self.version = version.into();
        self
    }

    /// Adds a label.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Instance {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// Sets the weight.
    pub fn weight(mut self, weight: u32) -> Instance {
        self.weight = weight;
        self
    }

    /// Sets the zone.
    pub fn zone(mut self, zone: impl Into<String>) -> Instance {
        self.zone = zone.into();
        self
    }

    /// Adds a tag.
    pub fn tag(mut self, tag: impl Into<String>) -> Instance {
        self.tags.push(tag.into());
        self
    }

    /// Sets how long the registry keeps it without hearing from it.
    pub fn ttl(mut self, ttl: Duration) -> Instance {
        self.ttl = Some(ttl);
        self
    }

    /// Sets its id.
    pub fn instance_id(mut self, id: impl Into<String>) -> Instance {
        self.instance_id = id.into();
        self
    }

    /// Sets whether it wants to be called.
    pub fn healthy(mut self, healthy: bool) -> Instance {
        self.healthy = healthy;
        self
    }
}

/// Which endpoints are meant: a service, narrowed by version, protocol and labels.
///
/// ```
/// use plumline::Query;
/// let query = Query::new("orders").version("v2").label("region", "eu");
/// assert_eq!(query.to_string(), "\"orders\" version=v2 region=eu");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Query {
    /// The service's name.
    pub service: String,
    /// Only endpoints of this version.
    pub version: Option<String>,
    /// Only endpoints of this protocol.
    pub protocol: Option<String>,
    /// Only endpoints that carry all of these.
    pub labels: Labels,
}

impl Query {
    /// Every endpoint of a service.
    pub fn new(service: impl Into<String>) -> Query {
        Query { service: service.into(), ..Query::default() }
    }

    /// Narrows it to a version.
    pub fn version(mut self, version: impl Into<String>) -> Query {
        self.version = Some(version.into());
        self
    }

    /// Narrows it to a protocol.
    pub fn protocol(mut self, protocol: impl Into<String>) -> Query {
        self.protocol = Some(protocol.into());
        self
    }

    /// Narrows it to endpoints with this label.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Query {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// Whether it asks for all of the service.
    pub fn is_unfiltered(&self) -> bool {
        self.version.is_none() && self.protocol.is_none() && self.labels.is_empty()
    }

    /// `None` if the endpoint is meant, else what keeps it out, such as `version v1`.
    pub fn rejects(&self, endpoint: &Endpoint) -> Option<String> {
        let differs = |wanted: &Option<String>, has: &str| wanted.as_deref().is_some_and(|w| w != has);
        if differs(&self.version, &endpoint.version) {
            return Some(format!("version {}", or_none(&endpoint.version)));
        }
        if differs(&self.protocol, &endpoint.protocol) {
            return Some(format!("protocol {}", or_none(&endpoint.protocol)));
        }
        let missing = self.labels.iter().find(|(name, value)| endpoint.labels.get(*name) != Some(*value))?;
        let has = endpoint.labels.get(missing.0).map_or("none", String::as_str);
        Some(format!("label {} {has}", missing.0))
    }

    /// Whether the endpoint is meant.
    pub fn accepts(&self, endpoint: &Endpoint) -> bool {
        self.is_unfiltered() || self.rejects(endpoint).is_none()
    }
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

impl From<&str> for Query {
    fn from(service: &str) -> Query {
        Query::new(service)
    }
}

impl From<String> for Query {
    fn from(service: String) -> Query {
        Query::new(service)
    }
}

impl From<&Query> for Query {
    fn from(query: &Query) -> Query {
        query.clone()
    }
}

impl std::fmt::Display for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.service)?;
        self.version.iter().try_for_each(|version| write!(f, " version={version}"))?;
        self.protocol.iter().try_for_each(|protocol| write!(f, " protocol={protocol}"))?;
        self.labels.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

/// What a watch tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChangeKind {
    /// The present state; always the first.
    Snapshot,
    /// Endpoints came, went or changed.
    Changed,
    /// The registry stopped answering; the list stays as it was.
    RegistryDown,
    /// The registry answers again.
    RegistryUp,
}

impl ChangeKind {
    /// Its name, the same in every language.
    pub const fn name(self) -> &'static str {
        match self {
            ChangeKind::Snapshot => "snapshot",
            ChangeKind::Changed => "changed",
            ChangeKind::RegistryDown => "registry_down",
            ChangeKind::RegistryUp => "registry_up",
        }
    }
}

/// One step of a watch: what happened, and the full list after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The service it concerns.
    pub service: String,
    /// What happened.
    pub kind: ChangeKind,
    /// Endpoints that were not there before.
    pub added: Vec<Arc<Endpoint>>,
    /// Endpoints whose record is another one now.
    pub updated: Vec<Arc<Endpoint>>,
    /// Endpoints that are gone.
    pub removed: Vec<Arc<Endpoint>>,
    /// Every endpoint there is now.
    pub endpoints: Vec<Arc<Endpoint>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        let mut endpoint = Endpoint::new("orders", "127.0.0.1".parse().unwrap(), 80);
        endpoint.version = "v1".into();
        endpoint.labels.insert("env".into(), "test".into());
        endpoint
    }

    #[test]
    fn a_query_says_what_keeps_an_endpoint_out() {
        assert_eq!(Query::new("orders").rejects(&endpoint()), None);
        assert_eq!(Query::new("orders").version("v2").rejects(&endpoint()), Some("version v1".into()));
        assert_eq!(
            Query::new("orders").label("env", "x").rejects(&endpoint()),
            Some("label env test".into())
        );
        assert_eq!(Query::new("orders").label("no", "x").rejects(&endpoint()), Some("label no none".into()));
        assert!(Query::new("orders").version("v1").label("env", "test").accepts(&endpoint()));
    }

    #[test]
    fn an_ipv6_address_is_bracketed() {
        assert_eq!(Endpoint::new("s", "::1".parse().unwrap(), 80).address(), "[::1]:80");
    }

    #[test]
    fn being_seen_again_is_no_change() {
        let seen = Endpoint { last_seen: 99, ..endpoint() };
        assert!(seen.same_as(&endpoint()));
        assert!(!Endpoint { healthy: false, ..endpoint() }.same_as(&endpoint()));
    }
}
