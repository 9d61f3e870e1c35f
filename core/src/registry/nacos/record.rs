//! The JSON of an instance, as a server lists and stores it.
//!
//! Nacos has fields for address, port, weight and health. All other values are in the metadata: the labels, `version`,
//! `protocol`, `health`, `created_at`, `updated_at`, `last_check`, `ttl`, `tags` and `zone`. There is no field for an id:
//! readers identify an instance by service, address and port.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::connection::ServerKind;
use crate::model::{Endpoint, Labels, default_instance_id};
use crate::registry::labels::encode_labels;
use crate::registry::types::{DEFAULT_TTL, RegistryEntry};

/// The metadata keys that are not labels.
const METADATA_KEYS: [&str; 7] =
    ["version", "protocol", "health", "created_at", "updated_at", "last_check", "ttl"];
/// The maximum number of characters of metadata since Nacos 2.3, unless the check is disabled.
const MAX_METADATA: usize = 1024;
/// The default cluster.
const CLUSTER: &str = "DEFAULT";
/// rnacos treats a weight of exactly 1 as not set, and keeps the previous weight.
const ALMOST_ONE: f64 = 1.000_001;

/// An instance, as a server lists it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListedInstance {
    ip: String,
    port: u16,
    #[serde(default = "one")]
    weight: f64,
    #[serde(default = "yes")]
    healthy: bool,
    #[serde(default = "yes")]
    enabled: bool,
    #[serde(default)]
    cluster_name: Option<String>,
    #[serde(default)]
    metadata: Option<BTreeMap<String, Value>>,
}

const fn one() -> f64 {
    1.0
}

const fn yes() -> bool {
    true
}

impl ListedInstance {
    /// Deserializes an instance, or says what is wrong with it.
    pub(super) fn read(row: &Value) -> Result<ListedInstance, String> {
        let listed = ListedInstance::deserialize(row).map_err(|error| error.to_string())?;
        match (listed.ip.is_empty(), listed.port) {
            (true, _) => Err("the ip is empty".into()),
            (_, 0) => Err("the port is 0".into()),
            _ => Ok(listed),
        }
    }

    /// The host it listens on: a name or an IP address.
    pub(super) fn host(&self) -> &str {
        &self.ip
    }

    /// The address that identifies the instance within its service.
    pub(super) fn address(&self) -> (String, u16) {
        (self.ip.clone(), self.port)
    }

    /// Whether it is enabled and in the requested cluster.
    pub(super) fn is_visible(&self, cluster: Option<&str>) -> bool {
        let own = self.cluster_name.as_deref().filter(|name| !name.is_empty()).unwrap_or(CLUSTER);
        self.enabled && cluster.is_none_or(|cluster| cluster == own)
    }

    /// Whether it is only [`announced`](announcement). It may be listed as healthy: servers list all instances as healthy
    /// while none is.
    pub(super) fn is_announcement(&self) -> bool {
        self.weight == 0.0 && self.metadata.as_ref().is_none_or(BTreeMap::is_empty)
    }

    /// The endpoint at one of its addresses.
    pub(super) fn endpoint(&self, service: &str, ip: IpAddr, source: &str) -> Endpoint {
        let mut labels: Labels = self.metadata.iter().flatten().filter_map(text_of).collect();
        let [version, protocol, health, created, ..] =
            METADATA_KEYS.map(|name| labels.remove(name).unwrap_or_default());
        let endpoint = Endpoint::new(service, ip, self.port);
        Endpoint {
            instance_id: default_instance_id(service, &self.ip, self.port),
            host: self.ip.clone(),
            protocol: if protocol.is_empty() { "http".into() } else { protocol },
            version,
            zone: labels.get("zone").cloned().unwrap_or_default(),
            labels,
            weight: weight_of(self.weight),
            healthy: self.healthy && health != "unhealthy",
            // Some programs write the zero time of Go: it identifies nothing.
            generation: if created.starts_with("0001-") { String::new() } else { created },
            source: source.to_owned(),
            ..endpoint
        }
    }
}

fn text_of((name, value): (&String, &Value)) -> Option<(String, String)> {
    let text = match value {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    Some((name.clone(), text))
}

/// Nacos uses fractional weights. Every positive weight becomes at least 1.
fn weight_of(weight: f64) -> u32 {
    if weight > 0.0 { weight.round().clamp(1.0, f64::from(u32::MAX)) as u32 } else { 0 }
}

/// The JSON of an entry. `since`: when it was registered, and when it was last changed.
pub(super) fn instance(
    entry: &RegistryEntry,
    since: &(String, String),
    cluster: Option<&str>,
    server_kind: ServerKind,
) -> Value {
    let instance = &entry.instance;
    let mut metadata = encode_labels(instance);
    metadata.remove("weight"); // the weight has its own field
    let (created, updated) = since.clone();
    let own = [
        instance.version.clone(),
        instance.protocol.clone(),
        if entry.is_healthy() { "healthy" } else { "unhealthy" }.into(),
        created,
        updated.clone(),
        updated,
        go_duration(instance.ttl.unwrap_or(DEFAULT_TTL)),
    ];
    metadata.extend(METADATA_KEYS.iter().map(ToString::to_string).zip(own));
    let weight = match (server_kind, instance.weight) {
        (ServerKind::Rnacos, 1) => json!(ALMOST_ONE),
        (_, weight) => json!(weight),
    };
    json!({
        "ip": instance.host, "port": instance.port, "weight": weight, "healthy": entry.is_healthy(),
        "enabled": true, "ephemeral": true, "clusterName": cluster.unwrap_or(CLUSTER), "metadata": metadata
    })
}

/// Why Nacos rejects an instance with its default settings: the metadata is too long. Keys and values count together, in
/// UTF-16 units like in Java.
pub(super) fn metadata_too_long(row: &Value) -> Option<String> {
    let metadata = row["metadata"].as_object()?;
    let length = |text: &str| text.encode_utf16().count();
    let value_of = |value: &Value| value.as_str().map_or(0, length);
    let all: usize = metadata.iter().map(|(name, value)| length(name) + value_of(value)).sum();
    let (name, longest) = metadata.iter().max_by_key(|(_, value)| value_of(value))?;
    (all > MAX_METADATA).then(|| {
        let longest = value_of(longest);
        format!("the metadata is {all} characters long, {longest} of them the label {name:?}; Nacos takes {MAX_METADATA}")
    })
}

/// The JSON of an instance that is announced: without metadata and with weight 0.
pub(super) fn announcement(entry: &RegistryEntry, cluster: Option<&str>) -> Value {
    let instance = &entry.instance;
    json!({
        "ip": instance.host, "port": instance.port, "weight": 0, "healthy": false,
        "enabled": true, "ephemeral": true, "clusterName": cluster.unwrap_or(CLUSTER), "metadata": {}
    })
}

/// A duration in the syntax of Go.
fn go_duration(duration: Duration) -> String {
    match (duration.as_secs(), duration.subsec_millis()) {
        (seconds, 0) => format!("{seconds}s"),
        _ => format!("{}ms", duration.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Instance;
    use crate::registry::types::ReportedHealth;

    const SOURCE: &str = "nacos://127.0.0.1:8848";

    fn entry(instance: Instance) -> RegistryEntry {
        RegistryEntry { instance, generation: "g".into(), health: ReportedHealth::Unspecified }
    }

    fn endpoint(row: &Value) -> Endpoint {
        let listed = ListedInstance::read(row).unwrap();
        listed.endpoint("user-service", "127.0.0.1".parse().unwrap(), SOURCE)
    }

    /// An instance registered by an existing service.
    fn seen() -> Value {
        json!({
            "ip": "127.0.0.1", "port": 8080, "clusterName": "DEFAULT", "weight": 10.0, "healthy": true,
            "enabled": true, "ephemeral": true, "instanceId": "127.0.0.1#8080", "metadata": {
                "ttl": "30s", "created_at": "0001-01-01T00:00:00Z", "last_check": "0001-01-01T00:00:00Z",
                "tags": "[\"api\",\"user\"]", "version": "1.0.0", "health": "healthy",
                "updated_at": "0001-01-01T00:00:00Z", "environment": "production", "region": "us-west-1",
                "protocol": "http"}
        })
    }

    #[test]
    fn reads_instances_of_existing_services() {
        let endpoint = endpoint(&seen());
        assert_eq!(
            (endpoint.version.as_str(), endpoint.protocol.as_str(), endpoint.weight),
            ("1.0.0", "http", 10)
        );
        assert_eq!(endpoint.instance_id, "user-service-127.0.0.1-8080");
        let labels: Vec<&str> = endpoint.labels.keys().map(String::as_str).collect();
        assert_eq!(labels, ["environment", "region", "tags"]);
        assert_eq!((endpoint.healthy, endpoint.generation.as_str()), (true, ""));
    }

    #[test]
    fn writes_the_same_instance_as_existing_services() {
        let mine = Instance::new("user-service", 8080)
            .host("127.0.0.1")
            .version("1.0.0")
            .label("region", "us-west-1")
            .label("environment", "production")
            .weight(10)
            .tag("api")
            .tag("user")
            .ttl(Duration::from_secs(30));
        let at = "2023-11-14T22:13:20.000000005Z".to_owned();
        let mut set = instance(&entry(mine), &(at.clone(), at), None, ServerKind::Nacos);
        let mut theirs = seen();
        theirs.as_object_mut().unwrap().remove("instanceId");
        theirs["weight"] = 10.into();
        for time in ["created_at", "updated_at", "last_check"] {
            assert_eq!(set["metadata"][time], "2023-11-14T22:13:20.000000005Z");
            set["metadata"][time] = theirs["metadata"][time].clone();
        }
        assert_eq!(set, theirs);
    }

    #[test]
    fn weight_zone_health_and_generation_round_trip() {
        let mine = entry(
            Instance::new("user-service", 80).host("h").weight(7).zone("z").ttl(Duration::from_millis(1500)),
        );
        let at = "2023-11-14T22:13:20Z".to_owned();
        let row = instance(
            &RegistryEntry { health: ReportedHealth::Reported(false), ..mine },
            &(at.clone(), at),
            Some("c"),
            ServerKind::Nacos,
        );
        assert_eq!(
            (row["metadata"]["ttl"].as_str(), row["clusterName"].as_str()),
            (Some("1500ms"), Some("c"))
        );
        let mut saved = row.clone();
        saved["healthy"] = true.into(); // as servers do while nobody is healthy
        for row in [row, saved] {
            let back = endpoint(&row);
            assert_eq!((back.weight, back.zone.as_str(), back.healthy), (7, "z", false));
            assert_eq!((back.host.as_str(), back.labels.len()), ("h", 1));
            assert!(back.generation.starts_with("2023-"));
        }
    }

    #[test]
    fn measures_metadata_like_nacos() {
        let row = |text: String| json!({"metadata": {"ab": "c", "note": text}});
        assert_eq!(metadata_too_long(&row("x".repeat(1024 - 7))), None);
        let why = metadata_too_long(&row("x".repeat(1024 - 6))).unwrap();
        assert!(why.contains("1025 characters long, 1018 of them the label \"note\""), "{why}");
        assert_eq!(metadata_too_long(&row("🦀".repeat(508))), None);
        assert!(metadata_too_long(&row("🦀".repeat(509))).is_some());
    }

    #[test]
    fn rounds_weights_to_at_least_1() {
        for (nacos, set) in
            [(0.0, 0), (-1.0, 0), (0.01, 1), (1.4, 1), (2.5, 3), (1e30, u32::MAX), (f64::NAN, 0)]
        {
            assert_eq!(weight_of(nacos), set, "{nacos}");
        }
    }

    #[test]
    fn skips_disabled_other_cluster_and_malformed_instances() {
        let shown = |more: Value, cluster| {
            let mut row = json!({"ip": "h", "port": 1});
            row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            ListedInstance::read(&row).unwrap().is_visible(cluster)
        };
        assert!(shown(json!({}), None) && shown(json!({}), Some("DEFAULT")));
        assert!(!shown(json!({"enabled": false}), None));
        assert!(
            !shown(json!({"clusterName": "a"}), Some("b")) && shown(json!({"clusterName": "a"}), Some("a"))
        );
        for none in [
            json!({}),
            json!([]),
            json!(null),
            json!({"ip": "h"}),
            json!({"ip": "", "port": 1}),
            json!({"ip": "h", "port": 0}),
            json!({"ip": "h", "port": 70_000}),
        ] {
            assert!(ListedInstance::read(&none).is_err(), "{none}");
        }
        let odd = json!({"ip": "h", "port": 1, "metadata": {"a": 1, "b": null, "c": "x"}, "more": 1});
        let labels: Vec<_> = endpoint(&odd).labels.into_iter().collect();
        assert_eq!(labels, [("a".into(), "1".into()), ("c".into(), "x".into())]);
    }

    #[test]
    fn recognizes_announced_instances() {
        let of_one = |server_kind| {
            let at = ("now".into(), "now".into());
            instance(&entry(Instance::new("s", 1).host("h")), &at, None, server_kind)
        };
        assert_eq!(of_one(ServerKind::Nacos)["weight"], 1);
        let of_one = of_one(ServerKind::Rnacos);
        assert_eq!((of_one["weight"].as_f64(), endpoint(&of_one).weight), (Some(ALMOST_ONE), 1));
        let mut saved = announcement(&entry(Instance::new("s", 1).host("h")), None);
        saved["healthy"] = true.into();
        assert!(ListedInstance::read(&saved).unwrap().is_announcement());
        assert!(
            ListedInstance::read(&announcement(&entry(Instance::new("s", 1).host("h")), None))
                .unwrap()
                .is_announcement()
        );
        assert!(!ListedInstance::read(&seen()).unwrap().is_announcement());
        assert!(!ListedInstance::read(&json!({"ip": "h", "port": 1})).unwrap().is_announcement());
    }
}
