//! Conversions between the JSON of both controllers and the model. Decoding is lenient, as in the original: missing fields
//! and `null` are empty.

use std::collections::BTreeMap;
use std::net::IpAddr;

use plumline_wire::body::{EndpointHealth, RegisterEndpoint, RegisterRequest};
use plumline_wire::lenient::null_as_default;
use serde::Deserialize;

use crate::model::{Endpoint, Labels};
use crate::registry::labels::{decode_labels, encode_labels};
use crate::registry::types::{Listing, RecordId, RegistryEntry, RemovalReason, RemovedRecord};

/// An endpoint as a controller lists it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct EndpointRow {
    #[serde(deserialize_with = "null_as_default")]
    service_name: String,
    #[serde(deserialize_with = "null_as_default")]
    instance_id: String,
    #[serde(deserialize_with = "null_as_default")]
    node_id: String,
    #[serde(deserialize_with = "null_as_default")]
    pub(super) ip: String,
    #[serde(deserialize_with = "null_as_default")]
    port: i64,
    #[serde(deserialize_with = "null_as_default")]
    protocol: String,
    #[serde(deserialize_with = "null_as_default")]
    version: String,
    #[serde(deserialize_with = "null_as_default")]
    labels: BTreeMap<String, Option<String>>,
    #[serde(deserialize_with = "null_as_default")]
    healthy: bool,
    #[serde(deserialize_with = "null_as_default")]
    last_seen: i64,
    #[serde(deserialize_with = "null_as_default")]
    generation: String,
}

impl EndpointRow {
    /// The endpoint at one of its addresses; `None` if its port is invalid.
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
        decode_labels(&mut endpoint);
        Some(endpoint)
    }

    /// Whether this is the record of an entry.
    pub(super) fn is_of(&self, entry: &RegistryEntry) -> bool {
        let instance = &entry.instance;
        self.instance_id == instance.instance_id
            && self.ip == instance.host
            && self.port == i64::from(instance.port)
            && self.protocol == instance.protocol
            && self.service_name == instance.service
    }
}

/// The response to a watch request.
#[derive(Debug, Deserialize)]
pub(super) struct PlumWatchResponse {
    pub(super) since: String,
    #[serde(default)]
    pub(super) services: BTreeMap<String, WatchedListing>,
}

impl PlumWatchResponse {
    /// The part of `since` that changes whenever the controller starts.
    pub(super) fn epoch(&self) -> &str {
        epoch_of(&self.since)
    }
}

pub(super) fn epoch_of(since: &str) -> &str {
    since.split(':').next().unwrap_or_default()
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WatchedListing {
    #[serde(deserialize_with = "null_as_default")]
    pub(super) endpoints: Vec<EndpointRow>,
    #[serde(deserialize_with = "null_as_default")]
    removed: Vec<RemovedRow>,
}

impl WatchedListing {
    /// The listing, with the endpoints of these rows.
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
    fn removed(&self) -> Option<RemovedRecord> {
        let reason = match self.why.as_str() {
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
        Some(RemovedRecord { id, reason })
    }
}

/// The registration of one entry.
pub(super) fn register_request(entry: &RegistryEntry) -> RegisterRequest<'_> {
    let instance = &entry.instance;
    RegisterRequest {
        instance_id: instance.instance_id.as_str().into(),
        node_id: "".into(),
        ip: instance.host.as_str().into(),
        generation: entry.generation.as_str().into(),
        endpoints: vec![RegisterEndpoint {
            service_name: instance.service.as_str().into(),
            port: i64::from(instance.port),
            protocol: instance.protocol.as_str().into(),
            version: instance.version.as_str().into(),
            labels: Some(encode_labels(instance)),
        }],
    }
}

/// The health of one entry.
pub(super) fn health_of(entry: &RegistryEntry, healthy: bool) -> EndpointHealth<'_> {
    let instance = &entry.instance;
    EndpointHealth {
        service_name: instance.service.as_str().into(),
        ip: instance.host.as_str().into(),
        port: i64::from(instance.port),
        protocol: instance.protocol.as_str().into(),
        healthy,
    }
}
