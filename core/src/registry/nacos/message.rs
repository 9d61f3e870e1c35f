//! The JSON of all requests and responses. Unknown keys are ignored: servers differ in them.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::proto::{Body, Metadata, Payload};
use crate::error::{Error, Kind, Result};

/// The client version that the server receives.
const VERSION: &str = concat!("Plumline:v", env!("CARGO_PKG_VERSION"));
/// The number of names on one page of a list.
pub(super) const PAGE_SIZE: usize = 500;
/// The largest number of pages. A server with more pages of names never ends the list.
pub(super) const MAX_PAGES: usize = 200;

/// A message before it is sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NacosMessage {
    pub(super) kind: &'static str,
    pub(super) body: Value,
}

impl NacosMessage {
    fn new(kind: &'static str, body: Value) -> NacosMessage {
        NacosMessage { kind, body }
    }

    /// Its envelope. The token is a header.
    pub(super) fn payload(&self, token: Option<&str>) -> Payload {
        let headers: HashMap<String, String> =
            token.map(|token| ("accessToken".to_owned(), token.to_owned())).into_iter().collect();
        let metadata = Metadata { r#type: self.kind.to_owned(), headers, client_ip: String::new() };
        let body = Body { type_url: String::new(), value: self.body.to_string().into_bytes() };
        Payload { metadata: Some(metadata), body: Some(body) }
    }
}

/// The type of a message.
pub(super) fn kind_of(payload: &Payload) -> &str {
    payload.metadata.as_ref().map_or("", |metadata| &metadata.r#type)
}

/// Deserializes the body of a message.
pub(super) fn read<T: DeserializeOwned>(payload: &Payload, whose: &str) -> Result<T> {
    let body = payload.body.as_ref().map_or(&[] as &[u8], |body| &body.value);
    serde_json::from_slice(body).map_err(|error| {
        let message = format!("{whose} sent a malformed {}: {error}", describe_type(kind_of(payload)));
        Error::new(Kind::Protocol, message)
    })
}

fn describe_type(kind: &str) -> &str {
    if kind.is_empty() { "message without a type" } else { kind }
}

// === the connection ===

pub(super) fn server_check() -> NacosMessage {
    NacosMessage::new("ServerCheckRequest", json!({"module": "internal"}))
}

/// Without a table of abilities, so that the server does not ask about them.
pub(super) fn connection_setup(namespace: &str) -> NacosMessage {
    let labels = json!({"source": "sdk", "module": "naming"});
    let tenant = if namespace == super::client::PUBLIC { "" } else { namespace };
    NacosMessage::new(
        "ConnectionSetupRequest",
        json!({"clientVersion": VERSION, "labels": labels, "tenant": tenant, "module": "internal"}),
    )
}

pub(super) fn health_check() -> NacosMessage {
    NacosMessage::new("HealthCheckRequest", json!({"module": "internal"}))
}

/// The response to a request of the server.
pub(super) fn response(kind: &'static str, request_id: &str) -> NacosMessage {
    NacosMessage::new(
        kind,
        json!({"requestId": request_id, "resultCode": 200, "errorCode": 0, "success": true}),
    )
}

// === services ===

/// The namespace and group of all requests about services.
#[derive(Clone, Debug)]
pub(super) struct ServiceScope {
    pub(super) namespace: String,
    pub(super) group: String,
}

impl ServiceScope {
    fn service_request(&self, kind: &'static str, name: &str, more: Value) -> NacosMessage {
        let mut body = json!({"module": "naming", "namespace": self.namespace, "groupName": self.group,
                              "serviceName": name});
        if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
            body.extend(more);
        }
        NacosMessage::new(kind, body)
    }

    pub(super) fn register(&self, name: &str, instance: &Value) -> NacosMessage {
        self.service_request(
            "InstanceRequest",
            name,
            json!({"type": "registerInstance", "instance": instance}),
        )
    }

    pub(super) fn deregister(&self, name: &str, instance: &Value) -> NacosMessage {
        self.service_request(
            "InstanceRequest",
            name,
            json!({"type": "deregisterInstance", "instance": instance}),
        )
    }

    pub(super) fn batch(&self, name: &str, instances: &[Value]) -> NacosMessage {
        let more = json!({"type": "batchRegisterInstance", "instances": instances});
        self.service_request("BatchInstanceRequest", name, more)
    }

    /// Subscribes to all clusters. The client filters by cluster, because not every server filters its pushes.
    pub(super) fn subscribe(&self, name: &str, subscribe: bool) -> NacosMessage {
        self.service_request("SubscribeServiceRequest", name, json!({"clusters": "", "subscribe": subscribe}))
    }

    pub(super) fn query(&self, name: &str) -> NacosMessage {
        let more = json!({"cluster": "", "healthyOnly": false, "udpPort": 0});
        self.service_request("ServiceQueryRequest", name, more)
    }

    /// Requests a page of names, counted from 1.
    pub(super) fn list(&self, page: usize) -> NacosMessage {
        self.service_request("ServiceListRequest", "", json!({"pageNo": page, "pageSize": PAGE_SIZE}))
    }
}

// === responses ===

/// The status in every response.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResponseStatus {
    #[serde(default)]
    pub(super) result_code: i64,
    #[serde(default)]
    pub(super) error_code: i64,
    #[serde(default)]
    pub(super) message: Option<String>,
    /// Nacos always sends it; rnacos never does.
    #[serde(default)]
    pub(super) success: Option<bool>,
}

/// A request of the server.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServerRequest {
    #[serde(default)]
    pub(super) request_id: Option<String>,
    /// The server to move to.
    #[serde(default)]
    pub(super) server_ip: Option<String>,
    /// Its HTTP port, as a string or a number.
    #[serde(default)]
    pub(super) server_port: Value,
    #[serde(default)]
    pub(super) service_info: Option<ServiceInfo>,
}

/// A response about one service.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServiceInfoResponse {
    #[serde(default)]
    pub(super) service_info: Option<ServiceInfo>,
}

/// The instances of a service.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServiceInfo {
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) group_name: Option<String>,
    #[serde(default)]
    pub(super) hosts: Option<Vec<Value>>,
    /// By the clock of the server, in milliseconds.
    #[serde(default)]
    pub(super) last_ref_time: i64,
}

/// A page of names.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NamesPage {
    #[serde(default)]
    pub(super) count: usize,
    #[serde(default)]
    pub(super) service_names: Option<Vec<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> ServiceScope {
        ServiceScope { namespace: "public".into(), group: "DEFAULT_GROUP".into() }
    }

    /// Checks against a message of an official Nacos client, without the keys that do not matter.
    fn assert_message(message: &NacosMessage, kind: &str, seen: &str) {
        assert_eq!(message.kind, kind);
        assert_eq!(message.body, serde_json::from_str::<Value>(seen).unwrap());
    }

    #[test]
    fn requests_match_those_of_official_clients() {
        assert_message(&server_check(), "ServerCheckRequest", r#"{"module": "internal"}"#);
        assert_message(&health_check(), "HealthCheckRequest", r#"{"module": "internal"}"#);
        let mut setup = connection_setup("public");
        setup.body.as_object_mut().unwrap().remove("clientVersion").unwrap();
        assert_message(
            &setup,
            "ConnectionSetupRequest",
            r#"{"labels": {"module": "naming", "source": "sdk"}, "module": "internal", "tenant": ""}"#,
        );
        assert_message(
            &scope().subscribe("orders", true),
            "SubscribeServiceRequest",
            r#"{"clusters": "", "groupName": "DEFAULT_GROUP", "module": "naming", "namespace": "public", "serviceName": "orders", "subscribe": true}"#,
        );
        assert_message(
            &scope().query("orders"),
            "ServiceQueryRequest",
            r#"{"cluster": "", "groupName": "DEFAULT_GROUP", "healthyOnly": false, "module": "naming", "namespace": "public", "serviceName": "orders", "udpPort": 0}"#,
        );
        assert_message(
            &scope().list(1),
            "ServiceListRequest",
            r#"{"groupName": "DEFAULT_GROUP", "module": "naming", "namespace": "public", "pageNo": 1, "pageSize": 500, "serviceName": ""}"#,
        );
        assert_message(
            &scope().register("orders", &json!({"ip": "127.0.0.1"})),
            "InstanceRequest",
            r#"{"groupName": "DEFAULT_GROUP", "instance": {"ip": "127.0.0.1"}, "module": "naming", "namespace": "public", "serviceName": "orders", "type": "registerInstance"}"#,
        );
        assert_message(
            &scope().batch("billing", &[json!({}), json!({})]),
            "BatchInstanceRequest",
            r#"{"groupName": "DEFAULT_GROUP", "instances": [{}, {}], "module": "naming", "namespace": "public", "serviceName": "billing", "type": "batchRegisterInstance"}"#,
        );
        assert_message(
            &response("NotifySubscriberResponse", "5"),
            "NotifySubscriberResponse",
            r#"{"errorCode": 0, "requestId": "5", "resultCode": 200, "success": true}"#,
        );
    }

    #[test]
    fn token_is_sent_in_the_headers_only() {
        let payload = scope().query("orders").payload(Some("hush"));
        assert_eq!(payload.metadata.as_ref().unwrap().headers["accessToken"], "hush");
        assert_eq!(kind_of(&payload), "ServiceQueryRequest");
        assert!(!String::from_utf8(payload.body.unwrap().value).unwrap().contains("hush"));
    }

    #[test]
    fn reads_responses_of_both_servers_and_names_malformed_ones() {
        for seen in [
            r#"{"errorCode": 0, "message": "success", "resultCode": 200, "serviceInfo": {"allIps": false, "hosts": [], "lastRefTime": 7, "name": "orders", "valid": true}, "success": true}"#,
            r#"{"errorCode": 0, "message": null, "requestId": null, "resultCode": 200, "serviceInfo": {"allIPs": false, "hosts": [], "lastRefTime": 7, "name": "orders"}}"#,
        ] {
            let mut payload = scope().query("orders").payload(None);
            payload.body.as_mut().unwrap().value = seen.into();
            let told: ServiceInfoResponse = read(&payload, "nacos://a").unwrap();
            assert_eq!(told.service_info.unwrap().last_ref_time, 7);
            assert_eq!(read::<ResponseStatus>(&payload, "nacos://a").unwrap().result_code, 200);
            payload.body.as_mut().unwrap().value.truncate(9);
            let error = read::<ServiceInfoResponse>(&payload, "nacos://a").unwrap_err();
            assert_eq!(error.kind(), Kind::Protocol);
            assert!(error.message().contains("nacos://a sent a malformed ServiceQueryRequest"), "{error}");
        }
    }
}
