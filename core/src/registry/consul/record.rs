//! The JSON that an agent lists and stores.
//!
//! Consul has fields for id, name, address, port and tags. All other values are in `Meta`: the labels, `version`,
//! `protocol`, `weight` and `zone`. Existing programs store version and protocol in the key-value store instead, under
//! `{prefix}/{name}/{id}/metadata`. If both exist, `Meta` has precedence.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::{Endpoint, Instance, Labels};
use crate::registry::labels::{decode_labels, encode_labels};
use crate::registry::types::{DEFAULT_TTL, RegistryEntry};

/// When Consul removes a critical service. This is the minimum that Consul allows.
const DEREGISTER_AFTER: &str = "1m";
/// The limits of Consul for `Meta`.
const MAX_PAIRS: usize = 64;
const MAX_KEY_LENGTH: usize = 128;
const MAX_VALUE_LENGTH: usize = 512;

/// An instance of a service, as `/v1/health/service` lists it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListedService {
    node: NodeRow,
    service: ServiceRow,
    #[serde(default)]
    checks: Vec<CheckRow>,
}

/// The last status of a check of an instance or of its node.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CheckRow {
    status: String,
    #[serde(rename = "ServiceID", default)]
    service_id: String,
    #[serde(default)]
    output: String,
}

impl CheckRow {
    fn is_passing(&self) -> bool {
        self.status == "passing"
    }

    /// Whether the status says nothing about the instance: its TTL expired, the check has no output since the agent
    /// started, or the check belongs to the node. After an outage, such a check reflects the outage.
    fn is_unconfirmed(&self) -> bool {
        let says_nothing = self.output.is_empty() || self.output.starts_with("TTL expired");
        !self.is_passing() && (self.service_id.is_empty() || says_nothing)
    }
}

/// The health of an instance according to its checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CheckStatus {
    /// All of them pass.
    Healthy,
    /// A check reports a problem of the instance.
    Unhealthy,
    /// A check failed without saying anything about the instance.
    Unconfirmed,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NodeRow {
    node: String,
    address: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ServiceRow {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Service")]
    name: String,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    address: String,
    port: u16,
    #[serde(default)]
    meta: Option<Labels>,
    #[serde(default)]
    weights: Option<ConsulWeights>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ConsulWeights {
    passing: u32,
    #[serde(default)]
    warning: u32,
}

/// The metadata of existing programs in the key-value store.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct KvMetadata {
    version: String,
    protocol: String,
}

impl ListedService {
    /// The instance id.
    pub(super) fn id(&self) -> &str {
        &self.service.id
    }

    /// The health according to the checks.
    pub(super) fn check_status(&self) -> CheckStatus {
        let failing = || self.checks.iter().filter(|check| !check.is_passing());
        if failing().next().is_none() {
            CheckStatus::Healthy
        } else if failing().any(CheckRow::is_unconfirmed) {
            CheckStatus::Unconfirmed
        } else {
            CheckStatus::Unhealthy
        }
    }

    /// The host it listens on: a name or an IP address.
    pub(super) fn host(&self) -> &str {
        if self.service.address.is_empty() { &self.node.address } else { &self.service.address }
    }

    /// Whether `Meta` lacks the values that existing programs keep in the key-value store.
    pub(super) fn is_incomplete(&self) -> bool {
        let says = |name| self.service.meta.as_ref().is_some_and(|meta| meta.contains_key(name));
        !says("version") && !says("protocol")
    }

    /// The endpoint at one of its addresses.
    pub(super) fn endpoint(&self, ip: IpAddr, metadata: Option<&KvMetadata>, source: &str) -> Endpoint {
        let ServiceRow { id, name, tags, port, meta, weights, .. } = &self.service;
        let mut labels = meta.clone().unwrap_or_default();
        let metadata = metadata.map_or((String::new(), String::new()), |metadata| {
            (metadata.version.clone(), metadata.protocol.clone())
        });
        let version = labels.remove("version").unwrap_or(metadata.0);
        let protocol =
            labels.remove("protocol").filter(|protocol| !protocol.is_empty()).unwrap_or(metadata.1);
        if let Some(tags) = tags.as_ref().filter(|tags| !tags.is_empty()) {
            labels.insert("tags".into(), serde_json::json!(tags).to_string());
        }
        let mut endpoint = Endpoint {
            instance_id: id.clone(),
            node_id: self.node.node.clone(),
            host: self.host().to_owned(),
            protocol: if protocol.is_empty() { "http".into() } else { protocol },
            version,
            labels,
            weight: weights.map_or(1, |weights| weights.passing),
            healthy: self.check_status() == CheckStatus::Healthy,
            source: source.to_owned(),
            ..Endpoint::new(name, ip, *port)
        };
        decode_labels(&mut endpoint);
        endpoint
    }
}

/// The body of `/v1/agent/service/register`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RegisterBody<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    name: &'a str,
    address: &'a str,
    port: u16,
    tags: &'a [String],
    meta: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weights: Option<ConsulWeights>,
    check: TtlCheck,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct TtlCheck {
    #[serde(rename = "CheckID")]
    id: String,
    name: &'static str,
    #[serde(rename = "TTL")]
    ttl: String,
    status: &'static str,
    deregister_critical_service_after: &'static str,
}

impl<'a> RegisterBody<'a> {
    /// The body for an entry, or an error that names the part that Consul would reject.
    pub(super) fn of(entry: &'a RegistryEntry) -> Result<RegisterBody<'a>> {
        check_name(&entry.instance.service)?;
        check_name(&entry.instance.instance_id)?;
        let instance = &entry.instance;
        let Instance { instance_id, service, host, port, tags, weight, .. } = instance;
        let mut meta = encode_labels(instance);
        meta.remove("tags"); // tags have their own field
        meta.insert("version".into(), instance.version.clone());
        meta.insert("protocol".into(), instance.protocol.clone());
        meta.insert("weight".into(), weight.to_string());
        check_meta(&meta)?;
        Ok(RegisterBody {
            id: instance_id,
            name: service,
            address: host,
            port: *port,
            tags,
            meta,
            weights: (*weight > 0).then_some(ConsulWeights { passing: *weight, warning: 1 }),
            check: TtlCheck {
                id: check_id(instance_id),
                name: "heartbeat",
                ttl: go_duration(instance.ttl.unwrap_or(DEFAULT_TTL)),
                status: if entry.is_healthy() { "passing" } else { "critical" },
                deregister_critical_service_after: DEREGISTER_AFTER,
            },
        })
    }
}

/// The id of the TTL check of an instance.
pub(super) fn check_id(instance_id: &str) -> String {
    format!("service:{instance_id}")
}

/// Rejects names that servers resolve as relative path segments, encoded or not.
pub(super) fn check_name(name: &str) -> Result<()> {
    if matches!(name, "." | "..") {
        return Err(Error::invalid(format!(
            "{name:?} is not a valid name in Consul: it is a relative path segment"
        )));
    }
    Ok(())
}

fn check_meta(meta: &Labels) -> Result<()> {
    if meta.len() > MAX_PAIRS {
        let message = format!(
            "{} labels are too many: Consul allows {MAX_PAIRS}, including version, protocol, weight and zone",
            meta.len()
        );
        return Err(Error::invalid(message));
    }
    for (name, value) in meta {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > MAX_KEY_LENGTH || !name.chars().all(is_name) {
            return Err(Error::invalid(format!(
                "label {name:?}: Consul allows names of 1 to {MAX_KEY_LENGTH} letters, digits, - and _"
            )));
        }
        if value.len() > MAX_VALUE_LENGTH {
            return Err(Error::invalid(format!(
                "label {name}: the value has {} bytes; Consul allows {MAX_VALUE_LENGTH}",
                value.len()
            )));
        }
    }
    Ok(())
}

/// A duration in milliseconds in the syntax of Go.
fn go_duration(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::types::ReportedHealth;

    const SOURCE: &str = "consul://127.0.0.1:8500";

    fn check_status(checks: &serde_json::Value) -> CheckStatus {
        let node = serde_json::json!({"Node": "n", "Address": "10.0.0.1"});
        let service = serde_json::json!({"ID": "a", "Service": "s", "Port": 80});
        listed(serde_json::json!({"Node": node, "Service": service, "Checks": checks})).check_status()
    }

    #[test]
    fn distinguishes_unhealthy_from_unconfirmed_instances() {
        let check = |of: &str, status: &str, output: &str| serde_json::json!({"ServiceID": of, "Status": status, "Output": output});
        let alive = check("", "passing", "Agent alive");
        let of = |check| check_status(&serde_json::json!([alive, check]));
        assert_eq!(of(check("a", "passing", "")), CheckStatus::Healthy);
        assert_eq!(of(check("a", "critical", "HTTP GET: 500")), CheckStatus::Unhealthy);
        assert_eq!(of(check("a", "warning", "slow")), CheckStatus::Unhealthy);
        assert_eq!(
            of(check("a", "critical", "")),
            CheckStatus::Unconfirmed,
            "loaded by an agent that has just started"
        );
        assert_eq!(
            of(check("a", "critical", "TTL expired (last output before timeout follows): ")),
            CheckStatus::Unconfirmed
        );
        assert_eq!(of(check("", "critical", "Agent not live or unreachable")), CheckStatus::Unconfirmed);
        assert_eq!(check_status(&serde_json::json!([])), CheckStatus::Healthy);
    }

    fn listed(json: serde_json::Value) -> ListedService {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn reads_records_of_existing_services() {
        let entry = listed(serde_json::json!({
            "Node": {"Node": "n1", "Address": "10.0.0.1"},
            "Service": {
                "ID": "user-service-1", "Service": "user-service", "Tags": ["api", "user"], "Address": "127.0.0.1",
                "Meta": {"environment": "production", "region": "us-west-1"}, "Port": 8080,
                "Weights": {"Passing": 1, "Warning": 1}
            }
        }));
        assert!(entry.is_incomplete());
        let metadata = r#"{"created_at":"0001-01-01T00:00:00Z","health":"healthy","protocol":"grpc","ttl":"30s","version":"1.0.0"}"#;
        let metadata: KvMetadata = serde_json::from_str(metadata).unwrap();
        let endpoint = entry.endpoint("127.0.0.1".parse().unwrap(), Some(&metadata), SOURCE);
        assert_eq!(
            (endpoint.version.as_str(), endpoint.protocol.as_str(), endpoint.weight),
            ("1.0.0", "grpc", 1)
        );
        assert_eq!(endpoint.labels["tags"], r#"["api","user"]"#);
        assert_eq!(endpoint.labels["region"], "us-west-1");
        assert_eq!(endpoint.address(), "127.0.0.1:8080");
    }

    #[test]
    fn meta_precedes_key_value_store_and_node_address_is_default() {
        let entry = listed(serde_json::json!({
            "Node": {"Node": "n1", "Address": "10.0.0.1"},
            "Service": {"ID": "a", "Service": "s", "Port": 80, "Meta": {"version": "v2", "weight": "7", "zone": "z"}}
        }));
        assert!(!entry.is_incomplete());
        let metadata = KvMetadata { version: "v1".into(), protocol: "tcp".into() };
        let endpoint = entry.endpoint("10.0.0.1".parse().unwrap(), Some(&metadata), SOURCE);
        assert_eq!((endpoint.host.as_str(), endpoint.version.as_str()), ("10.0.0.1", "v2"));
        assert_eq!((endpoint.weight, endpoint.zone.as_str(), endpoint.protocol.as_str()), (7, "z", "tcp"));
    }

    #[test]
    fn rejects_entries_that_exceed_consul_limits() {
        let entry = |instance: Instance| RegistryEntry {
            instance,
            generation: String::new(),
            health: ReportedHealth::Unspecified,
        };
        let refused = |instance: Instance| RegisterBody::of(&entry(instance)).unwrap_err().to_string();
        let orders = || Instance::new("orders", 80).host("10.0.0.7");
        assert!(
            refused(orders().label("huge", "x".repeat(1 << 20)))
                .contains("label huge: the value has 1048576 bytes")
        );
        assert!(refused(orders().label("bl ank", "x")).contains("label \"bl ank\""));
        let many = (0..80).fold(orders(), |orders, n| orders.label(format!("l{n}"), "x"));
        assert!(refused(many).contains("too many"));
        let fine = entry(orders().version("v2").weight(0).ttl(Duration::from_millis(1500)));
        let body = serde_json::to_value(RegisterBody::of(&fine).unwrap()).unwrap();
        assert_eq!(body["Check"]["TTL"], "1500ms");
        assert_eq!(body["Meta"]["weight"], "0");
        assert!(body.get("Weights").is_none(), "Consul rejects a weight of 0; it is in Meta");
        assert_eq!(body["Check"]["Status"], "passing");
        let unwell = RegistryEntry { health: ReportedHealth::Reported(false), ..fine };
        let body = serde_json::to_value(RegisterBody::of(&unwell).unwrap()).unwrap();
        assert_eq!(body["Check"]["Status"], "critical", "it receives no calls in the meantime");
    }
}
