//! What a watch tells.

use std::sync::Arc;

use super::Endpoint;

/// What a watch tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChangeKind {
    /// The present state; always the first.
    Snapshot,
    /// Endpoints came, went or changed.
    Changed,
    /// The registry stopped answering; the list stays as it was.
    RegistryDown,
    /// The registry answers again.
    RegistryUp,
}

impl ChangeKind {
    /// Its name, the same in every language.
    pub const fn name(self) -> &'static str {
        match self {
            ChangeKind::Snapshot => "snapshot",
            ChangeKind::Changed => "changed",
            ChangeKind::RegistryDown => "registry_down",
            ChangeKind::RegistryUp => "registry_up",
        }
    }
}

/// One step of a watch: what happened, and the full list after it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// The service it concerns.
    pub service: String,
    /// What happened.
    pub kind: ChangeKind,
    /// Endpoints that were not there before.
    pub added: Vec<Arc<Endpoint>>,
    /// Endpoints whose record is another one now.
    pub updated: Vec<Arc<Endpoint>>,
    /// Endpoints that are gone.
    pub removed: Vec<Arc<Endpoint>>,
    /// Every endpoint there is now.
    pub endpoints: Vec<Arc<Endpoint>>,
}

impl Change {
    /// A change of this kind without endpoints, for tests of one's own code.
    pub fn new(service: impl Into<String>, kind: ChangeKind) -> Change {
        Change {
            service: service.into(),
            kind,
            added: Vec::new(),
            updated: Vec::new(),
            removed: Vec::new(),
            endpoints: Vec::new(),
        }
    }
}
