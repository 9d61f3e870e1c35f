//! What a program says of itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Labels;

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
#[non_exhaustive]
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
