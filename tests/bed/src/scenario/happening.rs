//! What happens in the bed.

use schemars::JsonSchema;
use serde::Deserialize;

use super::server::{Known, Reply};

/// Something that happens in the bed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Happening {
    /// An endpoint is registered with the controller.
    Register(Known),
    /// It is no longer.
    Deregister(Known),
    /// The controller cannot be reached; what it knows is kept.
    ControllerDown {},
    /// It can be reached again.
    ControllerUp {},
    /// It takes connections and never answers.
    ControllerHangs {},
    /// It is started anew, empty, in the same place.
    ControllerRestarts {},
    /// What the controller lists for a service: `[{"address", "version", "labels", "instance_id"}]` is compared.
    Registered {
        /// The service.
        service: String,
    },
    /// The registry it is played on cannot be reached.
    RegistryDown {},
    /// It can be reached again.
    RegistryUp {},
    /// What that registry lists for a service, asked without Plumline: a list of addresses is compared.
    Listed {
        /// The service.
        service: String,
    },
    /// An endpoint's process dies: its connections break, nobody listens.
    Down {
        /// The endpoint.
        endpoint: String,
    },
    /// It listens again.
    Up {
        /// The endpoint.
        endpoint: String,
    },
    /// Its open connections are closed; it goes on listening.
    Cut {
        /// The endpoint.
        endpoint: String,
    },
    /// From now on it answers so, beginning with the first.
    Answers {
        /// The endpoint.
        endpoint: String,
        /// The answers.
        answers: Vec<Reply>,
    },
    /// What an endpoint has seen so far: `{"requests", "connections", "list"}` is compared.
    Saw {
        /// The endpoint.
        endpoint: String,
    },
    /// A file in `${tmp}` is replaced.
    Write {
        /// Its name.
        file: String,
        /// What it holds.
        text: String,
    },
    /// Time passes, where time itself is what is looked at.
    Pause {
        /// Milliseconds.
        ms: u64,
    },
}

impl Happening {
    /// The endpoint it concerns.
    pub fn endpoint(&self) -> Option<&str> {
        match self {
            Happening::Register(known) | Happening::Deregister(known) => Some(&known.endpoint),
            Happening::Down { endpoint }
            | Happening::Up { endpoint }
            | Happening::Cut { endpoint }
            | Happening::Answers { endpoint, .. }
            | Happening::Saw { endpoint } => Some(endpoint),
            _ => None,
        }
    }
}
