//! What the bed plays, and what the user's own code in the runner does.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A server that does as it is told.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerScript {
    /// Given in turn, the last one again and again; none: 200.
    pub answers: Vec<Reply>,
    /// Nobody listens.
    pub down: bool,
    /// Connections are never completed.
    pub black_hole: bool,
    /// Speaks TLS, with a certificate for these names (or addresses).
    pub tls: Option<Vec<String>>,
}

/// What it does with one request.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools)] // each is a word of its own
pub struct Reply {
    /// The status (200).
    pub status: Option<u16>,
    /// Headers beside Content-Length.
    pub headers: Vec<(String, String)>,
    /// The body; `${big:N}` stands for N times `x`.
    pub body: String,
    /// The body where it is no text.
    pub bytes: Option<Vec<u8>>,
    /// Milliseconds before it answers.
    pub delay: u64,
    /// Packed, with Content-Encoding.
    pub gzip: bool,
    /// Announces all of the body, sends half and closes.
    pub cut: bool,
    /// Closes the connection afterwards without having said so.
    pub then_close: bool,
    /// The connection is reset.
    pub reset: Option<Broken>,
    /// Reads the request and closes.
    pub close: bool,
    /// Reads the request and says nothing.
    pub hang: bool,
    /// Sends this, whatever it is, and closes.
    pub raw: Option<String>,
}

/// When a connection is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Broken {
    /// Before a request was read.
    Before,
    /// After the request was read.
    After,
}

/// How our controller is set, where that matters.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ControllerScript {
    /// How long it believes an endpoint, ms (15,000).
    pub ttl: Option<u64>,
    /// Who asks must show this.
    pub token: Option<String>,
    /// Speaks TLS as `127.0.0.1`.
    pub tls: bool,
}

/// How the registry is at first.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RegistryScript {
    /// What others have registered.
    pub knows: Vec<Known>,
    /// It cannot be reached.
    pub down: bool,
}

/// An endpoint that others register: by hand, as services written without Plumline do.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// The endpoint.
    pub endpoint: String,
    /// The service.
    pub service: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// Its labels; `weight` and `zone` are labels too.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Its protocol (`http`).
    #[serde(default)]
    pub protocol: Option<String>,
}

/// What `on_request` does, in this order.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestHook {
    /// Headers it sets; `{attempt}` stands for the attempt's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    set_headers: Option<Vec<(String, String)>>,
    /// Raises this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    raise: Option<String>,
    /// Closes the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    close: Option<bool>,
}

/// What `on_response` does, in this order.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CallerHook {
    /// Raises this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    raise: Option<String>,
    /// Closes the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    close: Option<bool>,
}

/// A balancer of the user's own.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum OwnBalancer {
    /// Index 0.
    First,
    /// The last index.
    Last,
    /// As many as there are: one too many.
    OutOfRange,
    /// Raises this.
    Raise(String),
}

/// A stub: by host, or `*`, what it answers in turn, the last one again and again.
pub type Stub = BTreeMap<String, Vec<StubAnswer>>;

/// One answer of a stub.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StubAnswer {
    /// The status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// The headers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    headers: Option<Vec<(String, String)>>,
    /// The body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    /// No answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fail: Option<Failing>,
    /// Raises this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    raise: Option<String>,
}

/// How a stub's attempt fails.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Failing {
    /// No connection.
    Refused,
    /// It broke after the request went out.
    Reset,
    /// No answer in time.
    Timeout,
}
