//! The digest of registered instances: a heartbeat carries it, and the controller compares it with its own.

use plumline_wire::Labels;
use plumline_wire::digest::{DigestRow, digest as digest_of_rows, to_hex};

use crate::model::Instance;
use crate::registry::labels::encode_labels;

/// The digest of these instances, which share one id, as it is sent.
pub fn digest<'a>(instances: impl IntoIterator<Item = &'a Instance>) -> String {
    let instances: Vec<(&Instance, Labels)> =
        instances.into_iter().map(|instance| (instance, encode_labels(instance))).collect();
    to_hex(digest_of_rows(instances.iter().map(|(instance, labels)| DigestRow {
        service: &instance.service,
        ip: &instance.host,
        port: i64::from(instance.port),
        protocol: &instance.protocol,
        version: &instance.version,
        node: "",
        labels: Some(labels),
    })))
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh64::xxh64;

    use super::*;

    #[test]
    fn digest_is_the_hash_of_the_specified_text() {
        let instance = Instance::new("orders", 8080).host("10.0.0.7").version("v2");
        let agreed = r#"[["orders","10.0.0.7",8080,"http","v2","manual",{}]]"#;
        assert_eq!(digest([&instance]), format!("{:016x}", xxh64(agreed.as_bytes(), 0)));
        assert_eq!(digest([]), format!("{:016x}", xxh64(b"[]", 0)));
    }

    #[test]
    fn digest_does_not_depend_on_the_order() {
        let (a, b) = (Instance::new("a", 1).host("10.0.0.7"), Instance::new("b", 2).host("10.0.0.7"));
        assert_eq!(digest([&a, &b]), digest([&b, &a]));
    }
}
