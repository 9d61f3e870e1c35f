//! What a registry is opened with, and the result of opening one.

use std::sync::Arc;
use std::time::Duration;

use crate::config::TlsConfig;
use crate::registry::types::Registry;
use crate::runtime::Runtime;

/// The settings that registries are opened with.
#[derive(Clone)]
pub struct RegistrySetup {
    /// Runs background work.
    pub runtime: Runtime,
    /// How often to read a registry that does not push changes.
    pub poll_interval: Duration,
    /// How long one request may take.
    pub timeout: Duration,
    /// How long it may take to open one connection.
    pub connect_timeout: Duration,
    /// The TLS settings.
    pub tls: TlsConfig,
    /// Whether stubs stand in for the endpoints. Host names are then not resolved.
    pub is_stub: bool,
}

/// An opened registry address: where to read, and where to register.
pub struct OpenedRegistry {
    /// Answers all reads.
    pub reader: Arc<dyn Registry>,
    /// Registrations go to each of these. More than one if the address names independent stores.
    pub writers: Vec<Arc<dyn Registry>>,
}

impl OpenedRegistry {
    /// One system for both.
    pub(super) fn one(registry: Arc<dyn Registry>) -> OpenedRegistry {
        let writers = if registry.is_writable() { vec![registry.clone()] } else { Vec::new() };
        OpenedRegistry { reader: registry, writers }
    }
}

/// Settings for tests.
#[cfg(test)]
pub(super) fn test_setup() -> RegistrySetup {
    RegistrySetup {
        runtime: Runtime::get(),
        poll_interval: Duration::from_millis(50),
        timeout: Duration::from_secs(2),
        connect_timeout: Duration::from_secs(1),
        tls: TlsConfig::default(),
        is_stub: false,
    }
}
