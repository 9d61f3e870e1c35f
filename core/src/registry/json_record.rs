//! The record of an instance in etcd and ZooKeeper, and its path: `{prefix}/{service}/{instance id}`.
//!
//! The record is a JSON object. Existing programs define its keys and their order. Weight and zone are entries of
//! `metadata`. Readers ignore unknown keys; older writers omit `version`, `protocol`, the timestamps and `ttl`.
//!
//! Path segments are written unchanged, except for characters that are not allowed in a segment. These are
//! percent-encoded, and decoded when the path is read.

use std::borrow::Cow;
use std::net::IpAddr;
#[cfg(any(feature = "etcd", test))]
use std::time::Duration;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::model::{Endpoint, Labels};
use crate::registry::labels::{decode_labels, encode_labels};
use crate::registry::types::{DEFAULT_TTL, RegistryEntry};

/// The stored form of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct JsonRecord {
    #[serde(default, deserialize_with = "null_as_default")]
    id: String,
    #[serde(default, deserialize_with = "null_as_default")]
    name: String,
    #[serde(default, deserialize_with = "null_as_default")]
    version: String,
    address: String,
    port: u16,
    #[serde(default, deserialize_with = "null_as_default")]
    protocol: String,
    #[serde(default, deserialize_with = "null_as_default")]
    health: String,
    #[serde(default)]
    metadata: Option<Labels>,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default, deserialize_with = "null_as_default")]
    created_at: String,
    #[serde(default, deserialize_with = "null_as_default")]
    updated_at: String,
    #[serde(default, deserialize_with = "null_as_default")]
    last_check: String,
    /// In nanoseconds.
    #[serde(default, deserialize_with = "null_as_default")]
    ttl: i64,
}

fn null_as_default<'de, T: Default + Deserialize<'de>, D: serde::Deserializer<'de>>(
    from: D,
) -> std::result::Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

impl JsonRecord {
    /// The record of an entry. `now` is the current time in the form of [`timestamp`](super::timestamp).
    pub(super) fn of(entry: &RegistryEntry, now: &str) -> JsonRecord {
        let instance = &entry.instance;
        let mut metadata = encode_labels(instance);
        metadata.remove("tags");
        let ttl = instance.ttl.unwrap_or(DEFAULT_TTL);
        JsonRecord {
            id: instance.instance_id.clone(),
            name: instance.service.clone(),
            version: instance.version.clone(),
            address: instance.host.clone(),
            port: instance.port,
            protocol: instance.protocol.clone(),
            health: if entry.is_healthy() { "healthy" } else { "unhealthy" }.into(),
            metadata: Some(metadata).filter(|metadata| !metadata.is_empty()),
            tags: Some(instance.tags.clone()).filter(|tags| !tags.is_empty()),
            created_at: now.into(),
            updated_at: now.into(),
            last_check: now.into(),
            ttl: i64::try_from(ttl.as_nanos()).unwrap_or(i64::MAX),
        }
    }

    /// Serializes the record.
    pub(super) fn write(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| Error::new(Kind::Internal, error.to_string()))
    }

    /// Deserializes a record, or says what is wrong with it.
    pub(super) fn read(bytes: &[u8]) -> std::result::Result<JsonRecord, String> {
        let record: JsonRecord = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        match (record.address.is_empty(), record.port) {
            (true, _) => Err("the address is empty".into()),
            (_, 0) => Err("the port is 0".into()),
            _ => Ok(record),
        }
    }

    /// The host it listens on: a name or an IP address.
    pub(super) fn host(&self) -> &str {
        &self.address
    }

    /// How long the registry keeps it, if the record contains that.
    #[cfg(any(feature = "etcd", test))]
    pub(super) fn ttl(&self) -> Option<Duration> {
        u64::try_from(self.ttl).ok().filter(|ttl| *ttl > 0).map(Duration::from_nanos)
    }

    /// The endpoint at one of its addresses. `generation` identifies the registration.
    pub(super) fn endpoint(&self, key: &InstanceKey, ip: IpAddr, generation: &str, source: &str) -> Endpoint {
        let mut labels = self.metadata.clone().unwrap_or_default();
        if let Some(tags) = self.tags.as_ref().filter(|tags| !tags.is_empty()) {
            labels.insert("tags".into(), serde_json::json!(tags).to_string());
        }
        let protocol = if self.protocol.is_empty() { "http" } else { &self.protocol };
        let mut endpoint = Endpoint {
            instance_id: key.instance_id.clone(),
            host: self.address.clone(),
            protocol: protocol.into(),
            version: self.version.clone(),
            labels,
            healthy: self.health != "unhealthy",
            generation: generation.into(),
            source: source.into(),
            ..Endpoint::new(&key.service, ip, self.port)
        };
        decode_labels(&mut endpoint);
        endpoint
    }
}

/// The service and the instance id that a record is stored under.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct InstanceKey {
    pub(super) service: String,
    pub(super) instance_id: String,
}

impl InstanceKey {
    /// The key of an entry.
    pub(super) fn of(entry: &RegistryEntry) -> InstanceKey {
        let instance = &entry.instance;
        InstanceKey { service: instance.service.clone(), instance_id: instance.instance_id.clone() }
    }

    /// The path of the record below `prefix`.
    pub(super) fn path(&self, prefix: &str) -> String {
        format!("{}/{}", service_path(prefix, &self.service), escape(&self.instance_id))
    }

    /// The key in a path below `prefix`; `None` if the path is not the path of a record.
    #[cfg(any(feature = "etcd", test))]
    pub(super) fn parse(prefix: &str, path: &str) -> Option<InstanceKey> {
        let (service, instance_id) = path.strip_prefix(prefix)?.strip_prefix('/')?.split_once('/')?;
        let is_segment = |segment: &str| !segment.is_empty() && !segment.contains('/');
        (is_segment(service) && is_segment(instance_id))
            .then(|| InstanceKey { service: unescape(service), instance_id: unescape(instance_id) })
    }
}

/// The path of a service below `prefix`.
pub(super) fn service_path(prefix: &str, service: &str) -> String {
    format!("{prefix}/{}", escape(service))
}

/// Encodes a name as a path segment.
pub(super) fn escape(name: &str) -> Cow<'_, str> {
    let is_relative = name == "." || name == "..";
    if !is_relative && !name.contains(is_special) {
        return name.into();
    }
    let mut segment = String::with_capacity(name.len() + 8);
    for c in name.chars() {
        if is_relative || is_special(c) {
            c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| segment.push_str(&format!("%{byte:02X}")));
        } else {
            segment.push(c);
        }
    }
    segment.into()
}

/// Decodes a path segment. A segment that [`escape`] would not produce is returned unchanged.
pub(super) fn unescape(segment: &str) -> String {
    let decoded =
        percent_decode_str(segment).decode_utf8().map_or_else(|_| segment.to_owned(), Cow::into_owned);
    if escape(&decoded) == segment { decoded } else { segment.to_owned() }
}

/// Whether a character must be encoded: it ends a segment, starts an escape, or ZooKeeper does not accept it. ZooKeeper
/// rejects all characters that Java stores as two UTF-16 units.
fn is_special(c: char) -> bool {
    matches!(c, '/' | '%' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..) || c.is_control()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;
    use crate::model::Instance;
    use crate::registry::types::ReportedHealth;

    /// A record stored by an existing service.
    const EXISTING: &str = r#"{"id":"user-service-1","name":"user-service","version":"1.0.0","address":"127.0.0.1","port":8080,"protocol":"http","health":"healthy","metadata":{"environment":"production","region":"us-west-1"},"tags":["api","user"],"created_at":"0001-01-01T00:00:00Z","updated_at":"0001-01-01T00:00:00Z","last_check":"0001-01-01T00:00:00Z","ttl":30000000000}"#;

    fn entry(instance: Instance) -> RegistryEntry {
        RegistryEntry { instance, generation: "g".into(), health: ReportedHealth::Unspecified }
    }

    fn key() -> InstanceKey {
        InstanceKey { service: "user-service".into(), instance_id: "user-service-1".into() }
    }

    fn ip() -> IpAddr {
        "127.0.0.1".parse().unwrap()
    }

    #[test]
    fn existing_record_round_trips_byte_for_byte() {
        let record = JsonRecord::read(EXISTING.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(record.write().unwrap()).unwrap(), EXISTING);
        assert_eq!(record.ttl(), Some(Duration::from_secs(30)));
        let endpoint = record.endpoint(&key(), ip(), "7", "etcd://a");
        assert_eq!((endpoint.version.as_str(), endpoint.weight, endpoint.healthy), ("1.0.0", 1, true));
        assert_eq!(endpoint.labels["tags"], r#"["api","user"]"#);
    }

    #[test]
    fn writes_the_same_record_as_existing_services() {
        let instance = Instance::new("user-service", 8080)
            .host("127.0.0.1")
            .instance_id("user-service-1")
            .version("1.0.0")
            .label("region", "us-west-1")
            .label("environment", "production")
            .tag("api")
            .tag("user")
            .ttl(Duration::from_secs(30));
        let ours =
            String::from_utf8(JsonRecord::of(&entry(instance), "0001-01-01T00:00:00Z").write().unwrap())
                .unwrap();
        assert_eq!(ours, EXISTING);
    }

    #[test]
    fn weight_zone_and_health_round_trip() {
        let instance = Instance::new("orders", 80).host("h").weight(7).zone("z");
        let unhealthy = RegistryEntry { health: ReportedHealth::Reported(false), ..entry(instance) };
        let bytes = JsonRecord::of(&unhealthy, "2026-01-01T00:00:00Z").write().unwrap();
        let endpoint = JsonRecord::read(&bytes).unwrap().endpoint(&key(), ip(), "7", "etcd://a");
        assert_eq!((endpoint.weight, endpoint.zone.as_str(), endpoint.healthy), (7, "z", false));
        assert_eq!((endpoint.host.as_str(), endpoint.generation.as_str()), ("h", "7"));
    }

    #[test]
    fn reads_older_records_and_rejects_malformed_ones() {
        let old = br#"{"id":"a","name":null,"version":null,"address":"h","port":1,"metadata":null,"tags":null,"ttl":null,"more":[1]}"#;
        let endpoint = JsonRecord::read(old).unwrap().endpoint(&key(), ip(), "", "");
        assert_eq!((endpoint.protocol.as_str(), endpoint.version.as_str()), ("http", ""));
        for malformed in [
            "",
            "{",
            "[]",
            "null",
            r#"{"address":"h"}"#,
            r#"{"address":"","port":1}"#,
            r#"{"address":"h","port":0}"#,
            r#"{"address":"h","port":99999}"#,
        ] {
            assert!(JsonRecord::read(malformed.as_bytes()).is_err(), "{malformed}");
        }
    }

    #[test]
    fn path_has_prefix_service_and_instance_id() {
        assert_eq!(key().path("/laravel-go/services"), "/laravel-go/services/user-service/user-service-1");
        for other in ["/p", "/p/", "/p/a", "/p//b", "/p/a/", "/p/a/b/c", "/q/a/b", "/pa/b"] {
            assert_eq!(InstanceKey::parse("/p", other), None, "{other}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

        #[test]
        fn every_name_round_trips_through_a_path(service in "\\PC{1,20}|[/%.\u{0}-\u{1f}]{1,4}", id in "\\PC{1,20}|[.]{1,3}") {
            let key = InstanceKey { service, instance_id: id };
            let path = key.path("/a/b");
            prop_assert_eq!(path.matches('/').count(), 4);
            prop_assert!(!path.contains(char::is_control) && !path.split('/').any(|step| step == "." || step == ".."));
            prop_assert_eq!(InstanceKey::parse("/a/b", &path), Some(key));
        }

        #[test]
        fn read_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = JsonRecord::read(&bytes);
        }
    }
}
