//! One address of one instance, as a registry lists it.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::{Labels, default_instance_id};

/// One address of one instance of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_address_is_bracketed() {
        assert_eq!(Endpoint::new("s", "::1".parse().unwrap(), 80).address(), "[::1]:80");
    }

    #[test]
    fn last_seen_alone_is_no_change() {
        let endpoint = Endpoint::new("orders", "127.0.0.1".parse().unwrap(), 80);
        assert!(Endpoint { last_seen: 99, ..endpoint.clone() }.same_as(&endpoint));
        assert!(!Endpoint { healthy: false, ..endpoint.clone() }.same_as(&endpoint));
    }
}
