//! The fingerprint of an instance's endpoints. A batch heartbeat carries it to show that client and controller hold the
//! same registration.
//!
//! A heartbeat that only said "alive" would hide a controller that lost a registration or kept an old one. So each
//! heartbeat carries the digest of what the client registered, and the controller compares it with the digest of what
//! it stores. Client and controller must therefore agree on every byte:
//!
//! 1. One array per endpoint of the instance that has not expired:
//!    `[serviceName, ip, port, protocol, version, nodeId, labels]`. An empty `nodeId` is written as `"manual"`, absent
//!    labels as `{}`, label keys in ascending byte order.
//! 2. The arrays are sorted by service name, ip, port (as a number), protocol. Strings are compared by their bytes.
//! 3. One JSON array around them, without white space. In strings only `"`, `\` and the control characters below U+0020
//!    are escaped (`\b \f \n \r \t`, else `\u00xx` in lower case); everything else is plain UTF-8.
//! 4. XXH64 of these bytes with seed 0, as sixteen lower-case hexadecimal digits.
//!
//! The digest of an instance without endpoints is the digest of `[]`.

use xxhash_rust::xxh64::xxh64;

use crate::Labels;

/// The `nodeId` that is stored when a registration leaves it empty.
pub const MANUAL_NODE: &str = "manual";

/// The fields of one stored endpoint that the digest covers.
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
    /// The version; may be empty.
    pub version: &'a str,
    /// The node; empty means `manual`.
    pub node: &'a str,
    /// The labels; `None` means an empty map.
    pub labels: Option<&'a Labels>,
}

/// The digest of an instance's endpoints, given in any order.
///
/// ```
/// use plumline_wire::digest::{DigestRow, digest, to_hex};
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

/// The digest as it is sent: sixteen lower-case hexadecimal digits.
pub fn to_hex(digest: u64) -> String {
    format!("{digest:016x}")
}

/// Reads what [`to_hex`] writes; `None` for anything else.
pub fn from_hex(text: &str) -> Option<u64> {
    let is_canonical =
        text.len() == 16 && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    is_canonical.then(|| u64::from_str_radix(text, 16).ok())?
}

/// The text that is hashed; public so that another implementation can be compared step by step.
pub fn canonical<'a>(rows: impl IntoIterator<Item = DigestRow<'a>>) -> String {
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_by_key(|row| (row.service, row.ip, row.port, row.protocol));
    let no_labels = Labels::new();
    let arrays: Vec<_> = rows
        .iter()
        .map(|row| {
            let node = if row.node.is_empty() { MANUAL_NODE } else { row.node };
            let labels = row.labels.unwrap_or(&no_labels);
            (row.service, row.ip, row.port, row.protocol, row.version, node, labels)
        })
        .collect();
    serde_json::to_string(&arrays).expect("strings, numbers and maps of strings always serialise")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<'a>(service: &'a str, port: i64, labels: Option<&'a Labels>) -> DigestRow<'a> {
        DigestRow { service, ip: "10.0.0.7", port, protocol: "http", version: "v2", node: "n1", labels }
    }

    #[test]
    fn canonical_text_matches_the_golden_example() {
        let labels =
            Labels::from([("zone".to_owned(), "a".to_owned()), ("env".to_owned(), "prod\n\"é\"".to_owned())]);
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
    fn digest_does_not_depend_on_row_order() {
        let (first, second) = (row("a", 1, None), row("b", 2, None));
        assert_eq!(digest([first, second]), digest([second, first]));
    }

    #[test]
    fn empty_node_is_manual_and_absent_labels_are_empty() {
        let none = Labels::new();
        let bare = DigestRow { node: "", ..row("a", 1, None) };
        let spelt_out = DigestRow { node: "manual", ..row("a", 1, Some(&none)) };
        assert_eq!(digest([bare]), digest([spelt_out]));
    }

    #[test]
    fn digest_without_rows_is_that_of_an_empty_list() {
        assert_eq!(canonical([]), "[]");
        assert_eq!(to_hex(digest([])), "ccab0b28617f1f56");
    }

    #[test]
    fn from_hex_takes_sixteen_lower_case_digits_only() {
        assert_eq!(from_hex(&to_hex(7)), Some(7));
        for wrong in ["", "7", "000000000000000G", "00000000000000AB", "+000000000000007"] {
            assert_eq!(from_hex(wrong), None, "{wrong}");
        }
    }
}
