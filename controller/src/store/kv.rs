//! The key-value store: configuration that services read.
//!
//! Reads are served from memory. A write becomes visible once it is durable: with SQLite, the writer applies it here
//! after the commit, in commit order.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::RwLock;
use serde::Serialize;

/// The declared type of a value. The value is stored as it was sent; like the original, nothing checks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ValueType {
    String,
    Int,
    Double,
    Bool,
    Bytes,
}

impl ValueType {
    /// The type of this name; an empty name means `string`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "" | "string" => Some(Self::String),
            "int" => Some(Self::Int),
            "double" => Some(Self::Double),
            "bool" => Some(Self::Bool),
            "bytes" => Some(Self::Bytes),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Int => "int",
            Self::Double => "double",
            Self::Bool => "bool",
            Self::Bytes => "bytes",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KvValue {
    pub(crate) text: String,
    pub(crate) kind: ValueType,
    pub(crate) updated_at: i64,
}

/// One atomic write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KvWrite {
    Put { namespace: String, items: Vec<(String, KvValue)> },
    Delete { namespace: String, key: String },
}

/// An entry as the contract returns it.
#[derive(Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EntryView {
    namespace: String,
    key: String,
    value: String,
    #[serde(rename = "type")]
    kind: ValueType,
    updated_at: i64,
}

#[derive(Debug, Default)]
pub(crate) struct KeyValues {
    namespaces: RwLock<BTreeMap<String, BTreeMap<String, KvValue>>>,
}

impl KeyValues {
    pub(crate) fn apply(&self, write: KvWrite) {
        let mut namespaces = self.namespaces.write();
        match write {
            KvWrite::Put { namespace, items } if !items.is_empty() => {
                namespaces.entry(namespace).or_default().extend(items);
            }
            KvWrite::Put { .. } => {}
            KvWrite::Delete { namespace, key } => {
                let Some(values) = namespaces.get_mut(&namespace) else { return };
                values.remove(&key);
                if values.is_empty() {
                    namespaces.remove(&namespace);
                }
            }
        }
    }

    pub(crate) fn get(&self, namespace: &str, key: &str) -> Option<EntryView> {
        let namespaces = self.namespaces.read();
        let value = namespaces.get(namespace)?.get(key)?;
        Some(view(namespace, key, value, value.text.clone()))
    }

    /// The entries whose key begins with `prefix`. For `bytes`, the value is the length.
    pub(crate) fn list(&self, namespace: &str, prefix: &str) -> Vec<EntryView> {
        let namespaces = self.namespaces.read();
        let Some(values) = namespaces.get(namespace) else { return Vec::new() };
        let from = (std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded);
        let begun = values.range::<str, _>(from).take_while(|(key, _)| key.starts_with(prefix));
        begun.map(|(key, value)| view(namespace, key, value, listed(value))).collect()
    }

    pub(crate) fn keys(&self, namespace: &str) -> Vec<String> {
        let namespaces = self.namespaces.read();
        namespaces.get(namespace).map_or_else(Vec::new, |values| values.keys().cloned().collect())
    }

    pub(crate) fn namespaces(&self) -> Vec<String> {
        self.namespaces.read().keys().cloned().collect()
    }
}

fn view(namespace: &str, key: &str, value: &KvValue, text: String) -> EntryView {
    EntryView {
        namespace: namespace.to_owned(),
        key: key.to_owned(),
        value: text,
        kind: value.kind,
        updated_at: value.updated_at,
    }
}

fn listed(value: &KvValue) -> String {
    match value.kind {
        // A value that is not valid base64 counts as 0 bytes.
        ValueType::Bytes => STANDARD.decode(&value.text).map_or(0, |bytes| bytes.len()).to_string(),
        _ => value.text.clone(),
    }
}
