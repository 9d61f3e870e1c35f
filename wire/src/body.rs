//! JSON bodies. The client serializes the requests and reads the responses; the controller does the reverse.
//!
//! Strings are `Cow`: the client writes strings that it owns elsewhere, and the controller borrows from the request
//! body. Ports are `i64`, because the original controller accepts and stores any integer.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::Labels;
use crate::lenient::{Text, labels, null_as_default};

/// `POST /v1/services/register`: the endpoints of one instance.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, bound(deserialize = "'de: 'a"))]
pub struct RegisterRequest<'a> {
    /// The id of the instance.
    pub instance_id: Text<'a>,
    /// The node it runs on; empty is stored as [`MANUAL_NODE`](crate::digest::MANUAL_NODE).
    pub node_id: Text<'a>,
    /// The address of all its endpoints.
    pub ip: Text<'a>,
    /// A random string per registration.
    pub generation: Text<'a>,
    /// The endpoints.
    #[serde(deserialize_with = "null_as_default")]
    pub endpoints: Vec<RegisterEndpoint<'a>>,
}

/// One endpoint of a [`RegisterRequest`].
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, bound(deserialize = "'de: 'a"))]
pub struct RegisterEndpoint<'a> {
    /// The service.
    pub service_name: Text<'a>,
    /// The port.
    #[serde(deserialize_with = "null_as_default")]
    pub port: i64,
    /// The protocol, such as `http`.
    pub protocol: Text<'a>,
    /// The version; may be empty.
    pub version: Text<'a>,
    /// The labels.
    #[serde(deserialize_with = "labels")]
    pub labels: Option<Labels>,
}

/// `POST /v1/services/registrations`: up to [`MAX_BATCH`](crate::MAX_BATCH) registrations.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct RegistrationsRequest<'a> {
    /// The registrations.
    #[serde(deserialize_with = "null_as_default")]
    pub registrations: Vec<RegisterRequest<'a>>,
}

/// The response to a [`RegistrationsRequest`].
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RegistrationsResponse<'a> {
    /// The ids of instances that were not registered, because their generation was closed.
    #[serde(deserialize_with = "null_as_default")]
    pub refused: Vec<Cow<'a, str>>,
}

/// `POST /v1/services/heartbeat`, and one entry of a [`HeartbeatsRequest`].
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, bound(deserialize = "'de: 'a"))]
pub struct HeartbeatRequest<'a> {
    /// The id of the instance.
    pub instance_id: Text<'a>,
    /// The [digest](mod@crate::digest) of what the client registered. Only in batches.
    #[serde(skip_serializing_if = "is_empty")]
    pub digest: Text<'a>,
    /// The health of single endpoints. Where any is given, only these endpoints are renewed.
    #[serde(deserialize_with = "null_as_default")]
    pub health: Vec<EndpointHealth<'a>>,
}

/// The health of one endpoint in a [`HeartbeatRequest`].
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, bound(deserialize = "'de: 'a"))]
pub struct EndpointHealth<'a> {
    /// The service.
    pub service_name: Text<'a>,
    /// The address.
    pub ip: Text<'a>,
    /// The port.
    #[serde(deserialize_with = "null_as_default")]
    pub port: i64,
    /// The protocol.
    pub protocol: Text<'a>,
    /// Whether it is healthy.
    #[serde(deserialize_with = "null_as_default")]
    pub healthy: bool,
}

/// `POST /v1/services/heartbeats`: the heartbeats of many instances.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct HeartbeatsRequest<'a> {
    /// One heartbeat per instance.
    #[serde(deserialize_with = "null_as_default")]
    pub instances: Vec<HeartbeatRequest<'a>>,
}

/// The response to a [`HeartbeatsRequest`].
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HeartbeatsResponse<'a> {
    /// Random per start of the controller.
    #[serde(deserialize_with = "null_as_default")]
    pub epoch: Cow<'a, str>,
    /// The ids of instances that the controller does not know as their digest says. They must register again.
    #[serde(deserialize_with = "null_as_default")]
    pub unknown: Vec<Cow<'a, str>>,
}

/// `POST /v1/watch`: waits until one of the services changes.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct WatchRequest<'a> {
    /// The services to watch; `None` watches every service.
    pub services: Option<Vec<Cow<'a, str>>>,
    /// The services whose whole list the client wants at once.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub fresh: Vec<Cow<'a, str>>,
    /// The `since` of the last response; empty in the first request.
    pub since: Text<'a>,
    /// How long the controller may hold the request; its default is 10 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<WatchWait<'a>>,
}

/// How long a watch may wait: `"10s"`, or a number of seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, bound(deserialize = "'de: 'a"))]
pub enum WatchWait<'a> {
    /// See [`parse_duration`](crate::duration::parse_duration).
    Text(Cow<'a, str>),
    /// Seconds.
    Seconds(f64),
}

fn is_empty(text: &Text<'_>) -> bool {
    text.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_missing_fields_are_empty() {
        let body = br#"{"instanceId":null,"endpoints":null,"ip":"1.2.3.4","other":[1]}"#;
        let read: RegisterRequest<'_> = serde_json::from_slice(body).unwrap();
        assert!(read.instance_id.is_empty() && read.endpoints.is_empty());
        assert_eq!(&*read.ip, "1.2.3.4");
    }

    #[test]
    fn plain_strings_are_borrowed_and_escaped_ones_are_not() {
        let body = br#"{"instanceId":"plain","ip":"a\u0062"}"#;
        let read: RegisterRequest<'_> = serde_json::from_slice(body).unwrap();
        assert!(matches!(read.instance_id.0, Cow::Borrowed("plain")));
        assert!(matches!(read.ip.0, Cow::Owned(ref text) if text == "ab"));
    }

    #[test]
    fn rejects_a_number_in_place_of_a_string() {
        assert!(serde_json::from_slice::<RegisterRequest<'_>>(br#"{"instanceId":7}"#).is_err());
    }

    #[test]
    fn watch_request_round_trips() {
        let request = WatchRequest {
            services: Some(vec!["orders".into()]),
            since: "e:7".into(),
            wait: Some(WatchWait::Text("10s".into())),
            ..WatchRequest::default()
        };
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(text, r#"{"services":["orders"],"since":"e:7","wait":"10s"}"#);
        let read: WatchRequest<'_> = serde_json::from_str(&text).unwrap();
        assert_eq!(read.wait, request.wait);
        let seconds: WatchRequest<'_> =
            serde_json::from_str(r#"{"services":null,"since":null,"wait":1.5}"#).unwrap();
        assert_eq!((seconds.services, seconds.wait), (None, Some(WatchWait::Seconds(1.5))));
    }
}
