//! Request bodies that only the controller reads. Those that Plumline clients send too are in `plumline_wire::body`.

use plumline_wire::Labels;
use plumline_wire::lenient::{Text, labels, null_as_default};
use serde::Deserialize;

/// The whole endpoint that a PATCH or PUT carries. Fields of the identity that are missing stay as they are.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, bound(deserialize = "'de: 'a"))]
pub(crate) struct EndpointUpdate<'a> {
    #[serde(borrow)]
    pub(crate) service_name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) instance_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) ip: Option<Text<'a>>,
    pub(crate) port: Option<i64>,
    #[serde(borrow)]
    pub(crate) protocol: Option<Text<'a>>,
    pub(crate) node_id: Text<'a>,
    pub(crate) version: Text<'a>,
    #[serde(deserialize_with = "labels")]
    pub(crate) labels: Option<Labels>,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) healthy: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct NodeHeartbeat {
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) node_id: String,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) ip: String,
    #[serde(deserialize_with = "labels")]
    pub(crate) labels: Option<Labels>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ValueRequest {
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) key: String,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) value: String,
    #[serde(deserialize_with = "null_as_default", rename = "type")]
    pub(crate) kind: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ValueBatch {
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) items: Vec<ValueRequest>,
}
