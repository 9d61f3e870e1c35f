//! What happens in the bed.

use schemars::JsonSchema;
use serde::Deserialize;

use super::server::{Known, Reply};

/// Something that happens in the bed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Happening {
    /// Others register an endpoint, or register it anew.
    Register(Known),
    /// They deregister it.
    Deregister(Known),
    /// The registry cannot be reached; what it knows is kept.
    RegistryDown {},
    /// It can be reached again.
    RegistryUp {},
    /// It takes what is asked and never answers.
    RegistryHangs {},
    /// It is started anew, empty, in the same place.
    RegistryRestarts {},
    /// What the registry lists of a service, asked without Plumline: a sorted list of addresses is compared.
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
