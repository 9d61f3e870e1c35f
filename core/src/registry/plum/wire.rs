//! The JSON of both controllers. Read leniently, as the original does: what is missing or `null` is empty.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::model::{Endpoint, Labels};
use crate::registry::{Entry, Listing, RecordId, RemovalReason, Removed, carried_labels, read_carried};

fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    reader: D,
) -> std::result::Result<T, D::Error> {
    Ok(Option::<T>::deserialize(reader)?.unwrap_or_default())
}

/// An endpoint as a controller lists it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Row {
    #[serde(deserialize_with = "or_default")]
    service_name: String,
    #[serde(deserialize_with = "or_default")]
    instance_id: String,
    #[serde(deserialize_with = "or_default")]
    node_id: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) ip: String,
    #[serde(deserialize_with = "or_default")]
    port: i64,
    #[serde(deserialize_with = "or_default")]
    protocol: String,
    #[serde(deserialize_with = "or_default")]
    version: String,
    #[serde(deserialize_with = "or_default")]
    labels: BTreeMap<String, Option<String>>,
    #[serde(deserialize_with = "or_default")]
    healthy: bool,
    #[serde(deserialize_with = "or_default")]
    last_seen: i64,
    #[serde(deserialize_with = "or_default")]
    generation: String,
}

impl Row {
    /// The endpoint at one of its addresses; `None` where nothing can be reached under what it says.
    pub(super) fn endpoint(&self, ip: IpAddr, source: &str) -> Option<Endpoint> {
        let port = u16::try_from(self.port).ok().filter(|port| *port != 0)?;
        let labels =
            self.labels.iter().map(|(name, value)| (name.clone(), value.clone().unwrap_or_default()));
        let mut endpoint = Endpoint {
            service: self.service_name.clone(),
            instance_id: self.instance_id.clone(),
            node_id: self.node_id.clone(),
            host: self.ip.clone(),
            protocol: if self.protocol.is_empty() { "http".into() } else { self.protocol.clone() },
            version: self.version.clone(),
            labels: labels.collect::<Labels>(),
            healthy: self.healthy,
            last_seen: u64::try_from(self.last_seen).unwrap_or_default(),
            source: source.to_owned(),
            generation: self.generation.clone(),
            ..Endpoint::new("", ip, port)
        };
        read_carried(&mut endpoint);
        Some(endpoint)
    }

    /// Whether this row is what was registered.
    pub(super) fn is_of(&self, entry: &Entry) -> bool {
        let instance = &entry.instance;
        self.instance_id == instance.instance_id
            && self.ip == instance.host
            && self.port == i64::from(instance.port)
            && self.protocol == instance.protocol
            && self.service_name == instance.service
    }
}

/// What a waiting watch is asked.
#[derive(Debug, Serialize)]
pub(super) struct WatchAsk<'a> {
    /// `None`: every service.
    pub(super) services: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) fresh: Vec<&'a str>,
    pub(super) since: &'a str,
    pub(super) wait: &'a str,
}

/// What it answers.
#[derive(Debug, Deserialize)]
pub(super) struct WatchAnswer {
    pub(super) since: String,
    #[serde(default)]
    pub(super) services: BTreeMap<String, Watched>,
}

impl WatchAnswer {
    /// The part of `since` that changes with every start.
    pub(super) fn epoch(&self) -> &str {
        epoch_of(&self.since)
    }
}

pub(super) fn epoch_of(since: &str) -> &str {
    since.split(':').next().unwrap_or_default()
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Watched {
    #[serde(deserialize_with = "or_default")]
    pub(super) endpoints: Vec<Row>,
    #[serde(deserialize_with = "or_default")]
    removed: Vec<RemovedRow>,
}

impl Watched {
    /// The listing, its rows already turned into endpoints.
    pub(super) fn listing(&self, endpoints: Vec<Endpoint>) -> Listing {
        Listing { endpoints, removed: self.removed.iter().filter_map(RemovedRow::removed).collect() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RemovedRow {
    instance_id: String,
    ip: String,
    port: i64,
    protocol: String,
    why: String,
}

impl RemovedRow {
    fn removed(&self) -> Option<Removed> {
        let why = match self.why.as_str() {
            "deleted" => RemovalReason::Deleted,
            "expired" => RemovalReason::Expired,
            _ => return None,
        };
        let id = RecordId {
            instance_id: self.instance_id.clone(),
            host: self.ip.clone(),
            port: u16::try_from(self.port).ok()?,
            protocol: self.protocol.clone(),
        };
        Some(Removed { id, why })
    }
}

/// A registration as it is sent: every entry of one instance id at one address.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Register<'a> {
    instance_id: &'a str,
    node_id: &'a str,
    ip: &'a str,
    generation: &'a str,
    endpoints: [RegisterEndpoint<'a>; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RegisterEndpoint<'a> {
    service_name: &'a str,
    port: u16,
    protocol: &'a str,
    version: &'a str,
    labels: Labels,
}

impl<'a> Register<'a> {
    pub(super) fn of(entry: &'a Entry) -> Register<'a> {
        let instance = &entry.instance;
        Register {
            instance_id: &instance.instance_id,
            node_id: "",
            ip: &instance.host,
            generation: &entry.generation,
            endpoints: [RegisterEndpoint {
                service_name: &instance.service,
                port: instance.port,
                protocol: &instance.protocol,
                version: &instance.version,
                labels: carried_labels(instance),
            }],
        }
    }
}

/// Up to 500 registrations at once.
#[derive(Debug, Serialize)]
pub(super) struct Registrations<'a> {
    pub(super) registrations: Vec<Register<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Refused {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) refused: Vec<String>,
}

/// A single beat, or one of many.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Heartbeat<'a> {
    pub(super) instance_id: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) digest: String,
    pub(super) health: Vec<HealthRow<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HealthRow<'a> {
    service_name: &'a str,
    ip: &'a str,
    port: u16,
    protocol: &'a str,
    healthy: bool,
}

impl<'a> HealthRow<'a> {
    pub(super) fn of(entry: &'a Entry, healthy: bool) -> HealthRow<'a> {
        let instance = &entry.instance;
        HealthRow {
            service_name: &instance.service,
            ip: &instance.host,
            port: instance.port,
            protocol: &instance.protocol,
            healthy,
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Heartbeats<'a> {
    pub(super) instances: Vec<Heartbeat<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Beaten {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) unknown: Vec<String>,
}
