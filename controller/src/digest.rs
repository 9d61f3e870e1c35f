//! The fingerprint of an instance's rows, by which a batched heartbeat proves that both sides hold the same.
//!
//! A beat that only said "I am alive" would hide a registry that lost the registration, or kept an old one.
//! So each beat carries the digest of what the client believes is stored, and the registry compares it with
//! the digest of what it does store. Client and registry must therefore agree on every byte:
//!
//! 1. One array per live row of the instance: `[serviceName, ip, port, protocol, version, nodeId, labels]`.
//!    An empty `nodeId` is written as `"manual"`, absent labels as `{}`, label keys in ascending byte order.
//! 2. The arrays sorted by service name, ip, port (as a number), protocol; texts compared by their bytes.
//! 3. One JSON array around them without any white space. In texts only `"`, `\` and the control characters
//!    below U+0020 are escaped (`\b \f \n \r \t`, else `\u00xx` in lower case); everything else is plain UTF-8.
//! 4. XXH64 of these bytes with seed 0, as sixteen lower-case hexadecimal digits.
//!
//! No rows at all give the digest of `[]`.

use std::collections::BTreeMap;

use xxhash_rust::xxh64::xxh64;

/// What a row's `nodeId` becomes when a registration leaves it empty.
pub const MANUAL_NODE: &str = "manual";

/// The part of one stored endpoint that the digest covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DigestRow<'a> {
    /// The service's name.
    pub service: &'a str,
    /// The address as registered.
    pub ip: &'a str,
    /// The port as registered.
    pub port: i64,
    /// The protocol, such as `http`.
    pub protocol: &'a str,
    /// The version, empty if there is none.
    pub version: &'a str,
    /// The node; empty stands for `manual`.
    pub node: &'a str,
    /// The labels; `None` stands for an empty map.
    pub labels: Option<&'a BTreeMap<String, String>>,
}

/// The digest of an instance's rows, in any order.
///
/// ```
/// use plumline_controller::digest::{DigestRow, digest, to_hex};
///
/// let row = DigestRow {
///     service: "orders", ip: "10.0.0.7", port: 8080, protocol: "http", version: "v2", node: "", labels: None,
/// };
/// // XXH64 of [["orders","10.0.0.7",8080,"http","v2","manual",{}]]
/// assert_eq!(to_hex(digest([row])), "e64182b5cdf906dc");
/// ```
pub fn digest<'a>(rows: impl IntoIterator<Item = DigestRow<'a>>) -> u64 {
    xxh64(canonical(rows).as_bytes(), 0)
}

/// The digest as it travels: sixteen lower-case hexadecimal digits.
pub fn to_hex(digest: u64) -> String {
    format!("{digest:016x}")
}

/// The text that is hashed; public so that another implementation can be compared step by step.
pub fn canonical<'a>(rows: impl IntoIterator<Item = DigestRow<'a>>) -> String {
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_by_key(|row| (row.service, row.ip, row.port, row.protocol));
    let none = BTreeMap::new();
    let arrays: Vec<_> = rows
        .iter()
        .map(|row| {
            let node = if row.node.is_empty() { MANUAL_NODE } else { row.node };
            let labels = row.labels.unwrap_or(&none);
            (row.service, row.ip, row.port, row.protocol, row.version, node, labels)
        })
        .collect();
    serde_json::to_string(&arrays).expect("texts, numbers and maps of texts always serialise")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<'a>(service: &'a str, port: i64, labels: Option<&'a BTreeMap<String, String>>) -> DigestRow<'a> {
        DigestRow { service, ip: "10.0.0.7", port, protocol: "http", version: "v2", node: "n1", labels }
    }

    #[test]
    fn the_golden_example_holds_to_the_byte() {
        let labels = BTreeMap::from([
            ("zone".to_owned(), "a".to_owned()),
            ("env".to_owned(), "prod\n\"é\"".to_owned()),
        ]);
        let rows = [row("orders", 10_000, None), row("orders", 9, Some(&labels)), row("订单", 1, None)];
        assert_eq!(
            canonical(rows),
            concat!(
                r#"[["orders","10.0.0.7",9,"http","v2","n1",{"env":"prod\n\"é\"","zone":"a"}],"#,
                r#"["orders","10.0.0.7",10000,"http","v2","n1",{}],"#,
                r#"["订单","10.0.0.7",1,"http","v2","n1",{}]]"#
            )
        );
        assert_eq!(to_hex(digest(rows)), "91124ae36e2d4bec");
    }

    #[test]
    fn the_order_of_the_rows_does_not_matter() {
        let (first, second) = (row("a", 1, None), row("b", 2, None));
        assert_eq!(digest([first, second]), digest([second, first]));
    }

    #[test]
    fn an_empty_node_is_manual_and_absent_labels_are_empty_ones() {
        let none = BTreeMap::new();
        let bare = DigestRow { node: "", ..row("a", 1, None) };
        let spelt_out = DigestRow { node: "manual", ..row("a", 1, Some(&none)) };
        assert_eq!(digest([bare]), digest([spelt_out]));
    }

    #[test]
    fn no_rows_are_an_empty_list() {
        assert_eq!(canonical([]), "[]");
        assert_eq!(to_hex(digest([])), "ccab0b28617f1f56");
    }
}
