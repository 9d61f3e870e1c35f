//! The fingerprint of an instance's rows: a beat carries it, and the controller compares it with its own.
//!
//! Both sides hash the same text: one array `[serviceName, ip, port, protocol, version, nodeId, labels]` per row,
//! sorted, as JSON without white space, through XXH64 with seed 0. An empty node is `manual`, no labels are `{}`.

use std::collections::BTreeMap;

use xxhash_rust::xxh64::xxh64;

use crate::model::Instance;
use crate::registry::carried_labels;

/// What an empty node is stored as.
const NODE: &str = "manual";

type Row<'a> = (&'a str, &'a str, u16, &'a str, &'a str, &'a str, BTreeMap<String, String>);

/// The digest of these instances, which share one id, as it travels.
pub fn digest<'a>(instances: impl IntoIterator<Item = &'a Instance>) -> String {
    let mut rows: Vec<Row<'_>> = instances
        .into_iter()
        .map(|i| (&*i.service, &*i.host, i.port, &*i.protocol, &*i.version, NODE, carried_labels(i)))
        .collect();
    rows.sort();
    let text = serde_json::to_string(&rows).unwrap_or_default();
    format!("{:016x}", xxh64(text.as_bytes(), 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_the_hash_of_the_agreed_text() {
        let instance = Instance::new("orders", 8080).host("10.0.0.7").version("v2");
        let agreed = r#"[["orders","10.0.0.7",8080,"http","v2","manual",{}]]"#;
        assert_eq!(digest([&instance]), format!("{:016x}", xxh64(agreed.as_bytes(), 0)));
        assert_eq!(digest([]), format!("{:016x}", xxh64(b"[]", 0)));
    }

    #[test]
    fn the_order_of_the_rows_does_not_matter() {
        let (a, b) = (Instance::new("a", 1).host("10.0.0.7"), Instance::new("b", 2).host("10.0.0.7"));
        assert_eq!(digest([&a, &b]), digest([&b, &a]));
    }
}
