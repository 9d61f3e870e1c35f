//! Operations for the runner; see `tests/conformance/README.md` for what each answers.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::server::{CallerHook, OwnBalancer, RequestHook, Stub};

type Labels = BTreeMap<String, String>;
type Pairs = Vec<(String, String)>;

/// Declares operations: one struct each, every field said or left out.
macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty $(= $default:literal)?,)* })*) => {
        /// An operation for the runner.
        #[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case", deny_unknown_fields)]
        pub enum Ask {
            $($(#[$doc])* #[doc = ""] $name($name),)*
        }
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
            #[serde(deny_unknown_fields)]
            pub struct $name {
                $($(#[$field_doc])* $(#[serde(default = $default)])? pub $field: $type,)*
            }
        )*
    };
}

operations! {
    /// Makes a client.
    Client {
        /// Its name.
        r#as: String = "plum",
        /// Handed over as it stands, the registry included.
        config: Map<String, Value>,
        /// What it does before each attempt.
        on_request: Option<RequestHook>,
        /// What it does after each attempt.
        on_response: Option<CallerHook>,
        /// How it chooses.
        balancer: Option<OwnBalancer>,
        /// Answers instead of a socket.
        transport: Option<Stub>,
    }
    /// Binds a handle to a service.
    Service {
        /// The client.
        client: String = "plum",
        /// The handle's name.
        r#as: String,
        /// The service.
        service: String,
        /// Only endpoints of this version.
        version: Option<String>,
        /// Only endpoints of this protocol.
        protocol: Option<String>,
        /// Only endpoints with these labels.
        labels: Option<Labels>,
    }
    /// Makes a call.
    Call {
        /// The client, where no handle is meant.
        client: Option<String>,
        /// A bound handle in place of client and service.
        handle: Option<String>,
        /// The service.
        service: Option<String>,
        /// The method.
        method: String = "get",
        /// Path and query.
        path: String,
        /// Query parameters.
        params: Option<Pairs>,
        /// Headers.
        headers: Option<Pairs>,
        /// Sent as JSON.
        json: Option<Value>,
        /// Sent as it stands.
        body: Option<String>,
        /// Sent as a form.
        form: Option<Pairs>,
        /// The whole call, ms.
        timeout: Option<u64>,
        /// One attempt, ms.
        attempt_timeout: Option<u64>,
        /// Attempts in all.
        attempts: Option<u32>,
        /// Whether it may be seen twice.
        idempotent: Option<bool>,
        /// The largest body taken, bytes.
        max_body: Option<u64>,
        /// Only endpoints of this version.
        version: Option<String>,
        /// Only endpoints with these labels.
        labels: Option<Labels>,
        /// Through `raise_for_status()`.
        raise_for_status: Option<bool>,
    }
    /// Lists the endpoints of a service.
    Discover {
        /// The client.
        client: String = "plum",
        /// The service.
        service: String,
        /// Only endpoints of this version.
        version: Option<String>,
        /// Only endpoints of this protocol.
        protocol: Option<String>,
        /// Only endpoints with these labels.
        labels: Option<Labels>,
    }
    /// Lists the services.
    Services {
        /// The client.
        client: String = "plum",
    }
    /// Picks an endpoint.
    Pick {
        /// The client, where no handle is meant.
        client: Option<String>,
        /// A bound handle in place of client and service.
        handle: Option<String>,
        /// The pick's name.
        r#as: String = "pick",
        /// The service.
        service: Option<String>,
        /// Only endpoints of this version.
        version: Option<String>,
        /// Only endpoints of this protocol.
        protocol: Option<String>,
        /// Only endpoints with these labels.
        labels: Option<Labels>,
    }
    /// Says how a pick went.
    Report {
        /// The pick.
        pick: String = "pick",
        /// How it went.
        outcome: Outcome,
    }
    /// Registers an instance.
    Register {
        /// The client.
        client: String = "plum",
        /// The registration's name.
        r#as: String = "me",
        /// What is registered.
        instance: Instance,
    }
    /// Tells how a registration fares.
    Registration {
        /// The registration.
        registration: String = "me",
    }
    /// Waits until it is registered.
    Wait {
        /// The registration.
        registration: String = "me",
        /// At most so long, ms.
        timeout: u64,
    }
    /// Changes what is registered.
    Update {
        /// The registration.
        registration: String = "me",
        /// What is laid over it.
        fields: Instance,
    }
    /// Deregisters.
    CloseRegistration {
        /// The registration.
        registration: String = "me",
        /// Waits afterwards, ms.
        drain: Option<u64>,
    }
    /// Watches a service.
    Watch {
        /// The client.
        client: String = "plum",
        /// The watch's name.
        r#as: String = "watch",
        /// The service.
        service: String,
    }
    /// Watches every service.
    WatchAll {
        /// The client.
        client: String = "plum",
        /// The watch's name.
        r#as: String = "watch",
    }
    /// Waits for a change.
    Next {
        /// The watch.
        watch: String = "watch",
        /// At most so long, ms.
        timeout: u64,
    }
    /// Ends a watch.
    CloseWatch {
        /// The watch.
        watch: String = "watch",
    }
    /// Waits until a service has an endpoint.
    WaitFor {
        /// The client.
        client: String = "plum",
        /// The service.
        service: String,
        /// Only endpoints of this version.
        version: Option<String>,
        /// Only endpoints of this protocol.
        protocol: Option<String>,
        /// Only endpoints with these labels.
        labels: Option<Labels>,
        /// At most so long, ms.
        timeout: u64,
    }
    /// Says why calls go where they go.
    Explain {
        /// The client.
        client: String = "plum",
        /// The service.
        service: String,
        /// Only endpoints of this version.
        version: Option<String>,
        /// Only endpoints of this protocol.
        protocol: Option<String>,
        /// Only endpoints with these labels.
        labels: Option<Labels>,
    }
    /// Tells what was counted.
    Stats {
        /// The client.
        client: String = "plum",
    }
    /// Says what exists of a service.
    Publish {
        /// The client.
        client: String = "plum",
        /// The service.
        service: String,
        /// All of its endpoints.
        endpoints: Vec<Published>,
    }
    /// Has every list asked for anew.
    ClearCache {
        /// The client.
        client: String = "plum",
    }
    /// Changes settings.
    Configure {
        /// The client.
        client: String = "plum",
        /// Handed over as it stands.
        changes: Map<String, Value>,
    }
    /// Closes the client.
    Close {
        /// The client.
        client: String = "plum",
        /// Waits afterwards, ms.
        drain: Option<u64>,
    }
    /// Whether the client was closed.
    IsClosed {
        /// The client.
        client: String = "plum",
    }
    /// Tells what the user's own code noted.
    Recorded {
        /// The client.
        client: String = "plum",
    }
    /// Waits for a task.
    Join {
        /// The task.
        task: String,
    }
}

/// How a pick went.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Well.
    Success,
    /// Not well.
    Failure,
}

/// An instance, or a part of one. Ports may be text such as `${a.port}`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Instance {
    service: Option<String>,
    port: Option<Value>,
    host: Option<String>,
    protocol: Option<String>,
    version: Option<String>,
    labels: Option<Labels>,
    weight: Option<u32>,
    zone: Option<String>,
    tags: Option<Vec<String>>,
    ttl: Option<u64>,
    instance_id: Option<String>,
    healthy: Option<bool>,
}

/// An endpoint that is published. Its port may be text such as `${a.port}`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Published {
    host: String,
    port: Value,
    protocol: Option<String>,
    version: Option<String>,
    labels: Option<Labels>,
    weight: Option<u32>,
    zone: Option<String>,
    healthy: Option<bool>,
    instance_id: Option<String>,
}

fn plum() -> String {
    "plum".into()
}

fn get() -> String {
    "GET".into()
}

fn pick() -> String {
    "pick".into()
}

fn me() -> String {
    "me".into()
}

fn watch() -> String {
    "watch".into()
}

impl Ask {
    /// As it is written for the runner: what is not said is left out, what is implied is said.
    pub fn line(&self) -> Result<Map<String, Value>, String> {
        let Value::Object(tagged) = serde_json::to_value(self).map_err(|error| error.to_string())? else {
            return Err("an operation is an object".into());
        };
        let Some((word, Value::Object(mut fields))) = tagged.into_iter().next() else {
            return Err("an operation has a name".into());
        };
        fields.retain(|_, value| !value.is_null());
        let names_service = matches!(self, Ask::Call(_) | Ask::Pick(_));
        if names_service && !fields.contains_key("handle") {
            if !fields.contains_key("service") {
                return Err(format!("{word} needs a service or a handle"));
            }
            fields.entry("client").or_insert_with(|| "plum".into());
        }
        for nested in ["instance", "fields"] {
            if let Some(Value::Object(part)) = fields.get_mut(nested) {
                part.retain(|_, value| !value.is_null());
            }
        }
        if let Some(Value::Array(endpoints)) = fields.get_mut("endpoints") {
            endpoints
                .iter_mut()
                .filter_map(Value::as_object_mut)
                .for_each(|part| part.retain(|_, value| !value.is_null()));
        }
        let mut line = Map::from_iter([("do".to_owned(), Value::String(word))]);
        line.extend(fields);
        Ok(line)
    }
}
