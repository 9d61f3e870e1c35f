//! The record of an instance in etcd and ZooKeeper, and the path it lies at: `{prefix}/{service}/{instance id}`.
//!
//! A JSON object whose keys and their order others have settled. Weight and zone lie in `metadata` under these
//! names. Readers ignore keys they do not know; older writers leave out `version`, `protocol`, the timestamps and
//! `ttl`.
//!
//! Steps of a path are written as they are, but for what would be no step or is not allowed there: that is
//! percent-encoded, and comes back as it was.

use std::borrow::Cow;
use std::net::IpAddr;
#[cfg(any(feature = "etcd", test))]
use std::time::Duration;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use super::{DEFAULT_TTL, Entry, carried_labels, read_carried};
use crate::error::{Error, Kind, Result};
use crate::model::{Endpoint, Labels};

/// An instance, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    #[serde(default, deserialize_with = "null_is_nothing")]
    id: String,
    #[serde(default, deserialize_with = "null_is_nothing")]
    name: String,
    #[serde(default, deserialize_with = "null_is_nothing")]
    version: String,
    address: String,
    port: u16,
    #[serde(default, deserialize_with = "null_is_nothing")]
    protocol: String,
    #[serde(default, deserialize_with = "null_is_nothing")]
    health: String,
    #[serde(default)]
    metadata: Option<Labels>,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default, deserialize_with = "null_is_nothing")]
    created_at: String,
    #[serde(default, deserialize_with = "null_is_nothing")]
    updated_at: String,
    #[serde(default, deserialize_with = "null_is_nothing")]
    last_check: String,
    /// Nanoseconds.
    #[serde(default, deserialize_with = "null_is_nothing")]
    ttl: i64,
}

fn null_is_nothing<'de, T: Default + Deserialize<'de>, D: serde::Deserializer<'de>>(
    from: D,
) -> std::result::Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

impl Record {
    /// What is to be stored of an entry at this time, as [`stamp`](super::stamp) writes it.
    pub(super) fn of(entry: &Entry, now: &str) -> Record {
        let instance = &entry.instance;
        let mut metadata = carried_labels(instance);
        metadata.remove("tags");
        let ttl = instance.ttl.unwrap_or(DEFAULT_TTL);
        Record {
            id: instance.instance_id.clone(),
            name: instance.service.clone(),
            version: instance.version.clone(),
            address: instance.host.clone(),
            port: instance.port,
            protocol: instance.protocol.clone(),
            health: if entry.is_well() { "healthy" } else { "unhealthy" }.into(),
            metadata: Some(metadata).filter(|metadata| !metadata.is_empty()),
            tags: Some(instance.tags.clone()).filter(|tags| !tags.is_empty()),
            created_at: now.into(),
            updated_at: now.into(),
            last_check: now.into(),
            ttl: i64::try_from(ttl.as_nanos()).unwrap_or(i64::MAX),
        }
    }

    /// Its bytes.
    pub(super) fn write(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| Error::new(Kind::Internal, error.to_string()))
    }

    /// The record in these bytes, or why there is none.
    pub(super) fn read(bytes: &[u8]) -> std::result::Result<Record, String> {
        let record: Record = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        match (record.address.is_empty(), record.port) {
            (true, _) => Err("its address is empty".into()),
            (_, 0) => Err("its port is 0".into()),
            _ => Ok(record),
        }
    }

    /// Where it listens: a name or an address.
    pub(super) fn host(&self) -> &str {
        &self.address
    }

    /// How long its registry keeps it, where it says so.
    #[cfg(any(feature = "etcd", test))]
    pub(super) fn ttl(&self) -> Option<Duration> {
        u64::try_from(self.ttl).ok().filter(|ttl| *ttl > 0).map(Duration::from_nanos)
    }

    /// The endpoint at one of its addresses. `generation` tells one registration from the next.
    pub(super) fn endpoint(&self, place: &Place, ip: IpAddr, generation: &str, source: &str) -> Endpoint {
        let mut labels = self.metadata.clone().unwrap_or_default();
        if let Some(tags) = self.tags.as_ref().filter(|tags| !tags.is_empty()) {
            labels.insert("tags".into(), serde_json::json!(tags).to_string());
        }
        let protocol = if self.protocol.is_empty() { "http" } else { &self.protocol };
        let mut endpoint = Endpoint {
            instance_id: place.instance_id.clone(),
            host: self.address.clone(),
            protocol: protocol.into(),
            version: self.version.clone(),
            labels,
            healthy: self.health != "unhealthy",
            generation: generation.into(),
            source: source.into(),
            ..Endpoint::new(&place.service, ip, self.port)
        };
        read_carried(&mut endpoint);
        endpoint
    }
}

/// Which instance of which service lies somewhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) service: String,
    pub(super) instance_id: String,
}

impl Place {
    /// Where an entry lies.
    pub(super) fn of(entry: &Entry) -> Place {
        let instance = &entry.instance;
        Place { service: instance.service.clone(), instance_id: instance.instance_id.clone() }
    }

    /// Its path below `prefix`.
    pub(super) fn path(&self, prefix: &str) -> String {
        format!("{}/{}", path_of(prefix, &self.service), escape(&self.instance_id))
    }

    /// The place that a path below `prefix` names; none where it is no such path.
    #[cfg(any(feature = "etcd", test))]
    pub(super) fn at(prefix: &str, path: &str) -> Option<Place> {
        let (service, instance_id) = path.strip_prefix(prefix)?.strip_prefix('/')?.split_once('/')?;
        let is_step = |step: &str| !step.is_empty() && !step.contains('/');
        (is_step(service) && is_step(instance_id))
            .then(|| Place { service: unescape(service), instance_id: unescape(instance_id) })
    }
}

/// The path of a service below `prefix`.
pub(super) fn path_of(prefix: &str, service: &str) -> String {
    format!("{prefix}/{}", escape(service))
}

/// A name as a step of a path.
pub(super) fn escape(name: &str) -> Cow<'_, str> {
    let is_relative = name == "." || name == "..";
    if !is_relative && !name.contains(is_special) {
        return name.into();
    }
    let mut step = String::with_capacity(name.len() + 8);
    for c in name.chars() {
        if is_relative || is_special(c) {
            c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| step.push_str(&format!("%{byte:02X}")));
        } else {
            step.push(c);
        }
    }
    step.into()
}

/// The name that a step of a path stands for: a step that we would not have written so stands for itself.
pub(super) fn unescape(step: &str) -> String {
    let decoded = percent_decode_str(step).decode_utf8().map_or_else(|_| step.to_owned(), Cow::into_owned);
    if escape(&decoded) == step { decoded } else { step.to_owned() }
}

/// What would end a step, what escapes are written with, and what ZooKeeper does not take: among it whatever takes two
/// characters in its Java.
fn is_special(c: char) -> bool {
    matches!(c, '/' | '%' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..) || c.is_control()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;
    use crate::model::Instance;
    use crate::registry::Health;

    /// What a service of another writer was seen to store.
    const SEEN: &str = r#"{"id":"user-service-1","name":"user-service","version":"1.0.0","address":"127.0.0.1","port":8080,"protocol":"http","health":"healthy","metadata":{"environment":"production","region":"us-west-1"},"tags":["api","user"],"created_at":"0001-01-01T00:00:00Z","updated_at":"0001-01-01T00:00:00Z","last_check":"0001-01-01T00:00:00Z","ttl":30000000000}"#;

    fn entry(instance: Instance) -> Entry {
        Entry { instance, generation: "g".into(), health: Health::Unsaid }
    }

    fn place() -> Place {
        Place { service: "user-service".into(), instance_id: "user-service-1".into() }
    }

    fn ip() -> IpAddr {
        "127.0.0.1".parse().unwrap()
    }

    #[test]
    fn a_record_is_read_and_written_to_the_byte_as_others_write_it() {
        let record = Record::read(SEEN.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(record.write().unwrap()).unwrap(), SEEN);
        assert_eq!(record.ttl(), Some(Duration::from_secs(30)));
        let endpoint = record.endpoint(&place(), ip(), "7", "etcd://a");
        assert_eq!((endpoint.version.as_str(), endpoint.weight, endpoint.healthy), ("1.0.0", 1, true));
        assert_eq!(endpoint.labels["tags"], r#"["api","user"]"#);
    }

    #[test]
    fn ours_differs_from_theirs_in_nothing_but_the_time() {
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
            String::from_utf8(Record::of(&entry(instance), "0001-01-01T00:00:00Z").write().unwrap()).unwrap();
        assert_eq!(ours, SEEN);
    }

    #[test]
    fn weight_zone_and_health_come_back() {
        let instance = Instance::new("orders", 80).host("h").weight(7).zone("z");
        let unwell = Entry { health: Health::Says(false), ..entry(instance) };
        let bytes = Record::of(&unwell, "2026-01-01T00:00:00Z").write().unwrap();
        let endpoint = Record::read(&bytes).unwrap().endpoint(&place(), ip(), "7", "etcd://a");
        assert_eq!((endpoint.weight, endpoint.zone.as_str(), endpoint.healthy), (7, "z", false));
        assert_eq!((endpoint.host.as_str(), endpoint.generation.as_str()), ("h", "7"));
    }

    #[test]
    fn an_older_writers_record_is_read_and_what_is_none_is_not() {
        let old = br#"{"id":"a","name":null,"version":null,"address":"h","port":1,"metadata":null,"tags":null,"ttl":null,"more":[1]}"#;
        let endpoint = Record::read(old).unwrap().endpoint(&place(), ip(), "", "");
        assert_eq!((endpoint.protocol.as_str(), endpoint.version.as_str()), ("http", ""));
        for none in [
            "",
            "{",
            "[]",
            "null",
            r#"{"address":"h"}"#,
            r#"{"address":"","port":1}"#,
            r#"{"address":"h","port":0}"#,
            r#"{"address":"h","port":99999}"#,
        ] {
            assert!(Record::read(none.as_bytes()).is_err(), "{none}");
        }
    }

    #[test]
    fn a_path_is_what_others_write() {
        assert_eq!(place().path("/laravel-go/services"), "/laravel-go/services/user-service/user-service-1");
        for not in ["/p", "/p/", "/p/a", "/p//b", "/p/a/", "/p/a/b/c", "/q/a/b", "/pa/b"] {
            assert_eq!(Place::at("/p", not), None, "{not}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

        #[test]
        fn every_name_comes_back_as_it_was(service in "\\PC{1,20}|[/%.\u{0}-\u{1f}]{1,4}", id in "\\PC{1,20}|[.]{1,3}") {
            let place = Place { service, instance_id: id };
            let path = place.path("/a/b");
            prop_assert_eq!(path.matches('/').count(), 4);
            prop_assert!(!path.contains(char::is_control) && !path.split('/').any(|step| step == "." || step == ".."));
            prop_assert_eq!(Place::at("/a/b", &path), Some(place));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Record::read(&bytes);
        }
    }
}
