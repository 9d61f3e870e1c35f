//! The JSON that programs send, read without copying where the text allows it.
//!
//! The original decodes leniently: a field that is missing or `null` is empty, and unknown fields are ignored.
//! Programs rely on that, so it is the same here.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::de::{Deserialize, Deserializer, Visitor};

use crate::store::Labels;

/// A text borrowed from the body; `null` is the empty one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Text<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Text::default())
            }
        }

        deserializer.deserialize_any(Reader)
    }
}

/// A value whose `null` means its default.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Label values may be `null` too.
fn labels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Labels>, D::Error> {
    let read = Option::<std::collections::BTreeMap<String, Option<String>>>::deserialize(deserializer)?;
    Ok(read.map(|map| map.into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect()))
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default, bound(deserialize = "'de: 'a"))]
pub(crate) struct RegisterBody<'a> {
    pub(crate) instance_id: Text<'a>,
    pub(crate) node_id: Text<'a>,
    /// Read from the top level only, never from an endpoint.
    pub(crate) ip: Text<'a>,
    pub(crate) generation: Text<'a>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) endpoints: Vec<EndpointBody<'a>>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default, bound(deserialize = "'de: 'a"))]
pub(crate) struct EndpointBody<'a> {
    pub(crate) service_name: Text<'a>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) port: i64,
    pub(crate) protocol: Text<'a>,
    pub(crate) version: Text<'a>,
    #[serde(deserialize_with = "labels")]
    pub(crate) labels: Option<Labels>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct RegistrationsBody<'a> {
    #[serde(deserialize_with = "or_default")]
    pub(crate) registrations: Vec<RegisterBody<'a>>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default, bound(deserialize = "'de: 'a"))]
pub(crate) struct HeartbeatBody<'a> {
    pub(crate) instance_id: Text<'a>,
    /// Only used in batches.
    pub(crate) digest: Text<'a>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) health: Vec<HealthBody<'a>>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default, bound(deserialize = "'de: 'a"))]
pub(crate) struct HealthBody<'a> {
    pub(crate) service_name: Text<'a>,
    pub(crate) ip: Text<'a>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) port: i64,
    pub(crate) protocol: Text<'a>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) healthy: bool,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct HeartbeatsBody<'a> {
    #[serde(deserialize_with = "or_default")]
    pub(crate) instances: Vec<HeartbeatBody<'a>>,
}

/// The whole endpoint that a PATCH or PUT carries. What it leaves out of the identity stays as it is.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default, bound(deserialize = "'de: 'a"))]
pub(crate) struct MovedBody<'a> {
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
    #[serde(deserialize_with = "or_default")]
    pub(crate) healthy: bool,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct NodeBody {
    #[serde(deserialize_with = "or_default")]
    pub(crate) node_id: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) ip: String,
    #[serde(deserialize_with = "labels")]
    pub(crate) labels: Option<Labels>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(crate) struct ValueBody {
    #[serde(deserialize_with = "or_default")]
    pub(crate) key: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) value: String,
    #[serde(deserialize_with = "or_default", rename = "type")]
    pub(crate) kind: String,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(crate) struct ValuesBody {
    #[serde(deserialize_with = "or_default")]
    pub(crate) items: Vec<ValueBody>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(crate) struct WatchBody {
    /// `null` is every service.
    pub(crate) services: Option<Vec<String>>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) fresh: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) since: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) wait: Option<Wait>,
}

/// How long a watch may take: `"10s"`, or a number of seconds.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(untagged)]
pub(crate) enum Wait {
    Text(String),
    Seconds(f64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_missing_are_empty() {
        let body = br#"{"instanceId":null,"endpoints":null,"ip":"1.2.3.4","other":[1]}"#;
        let read: RegisterBody<'_> = serde_json::from_slice(body).unwrap();
        assert!(read.instance_id.is_empty() && read.endpoints.is_empty());
        assert_eq!(&*read.ip, "1.2.3.4");
    }

    #[test]
    fn plain_text_is_borrowed_and_escaped_text_is_not() {
        let body = br#"{"instanceId":"plain","ip":"a\u0062"}"#;
        let read: RegisterBody<'_> = serde_json::from_slice(body).unwrap();
        assert!(matches!(read.instance_id.0, Cow::Borrowed("plain")));
        assert!(matches!(read.ip.0, Cow::Owned(ref text) if text == "ab"));
    }

    #[test]
    fn a_number_where_a_text_belongs_is_an_error() {
        assert!(serde_json::from_slice::<RegisterBody<'_>>(br#"{"instanceId":7}"#).is_err());
    }
}
