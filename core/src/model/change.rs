//! The changes that a watch delivers.

use std::sync::Arc;

use super::Endpoint;

/// The kind of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChangeKind {
    /// The present endpoints; always the first change.
    Snapshot,
    /// Endpoints were added, updated or removed.
    Changed,
    /// The registry became unavailable; the list stays in use.
    RegistryDown,
    /// The registry is available again.
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

/// One change of a service, with the full list after it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// The service.
    pub service: String,
    /// The kind of the change.
    pub kind: ChangeKind,
    /// New endpoints.
    pub added: Vec<Arc<Endpoint>>,
    /// Endpoints whose record changed.
    pub updated: Vec<Arc<Endpoint>>,
    /// Removed endpoints.
    pub removed: Vec<Arc<Endpoint>>,
    /// All endpoints after the change.
    pub endpoints: Vec<Arc<Endpoint>>,
}

impl Change {
    /// A change of this kind without endpoints, for tests.
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
