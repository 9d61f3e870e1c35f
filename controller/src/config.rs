//! The configuration of a controller.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Where registrations and key-value entries are stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum StoreKind {
    /// In memory: a restart begins empty, and clients register again.
    #[default]
    Memory,
    /// In an SQLite file.
    Sqlite(PathBuf),
}

impl FromStr for StoreKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "memory" => Ok(Self::Memory),
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            _ => Err(format!("`{text}` is not a valid store; use `memory` or `sqlite:PATH`")),
        }
    }
}

/// The certificate and key of a TLS listener, both PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Limits for clients that send too much, too slowly or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The largest request body in bytes (8 MiB). A larger one gets status 413.
    pub body: usize,
    /// How long the headers of a request, or a TLS handshake, may take (10 s).
    pub headers: Duration,
    /// How long the body of a request may take (30 s).
    pub body_time: Duration,
    /// How long a connection may be idle (75 s).
    pub idle: Duration,
    /// The most open connections (60,000). The limit of open files may allow fewer.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 8 * 1024 * 1024,
            headers: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            idle: Duration::from_secs(75),
            connections: 60_000,
        }
    }
}

/// The configuration of a [`Controller`](crate::Controller): defaults for development, and a method for each setting.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) store: StoreKind,
    pub(crate) service_ttl: Duration,
    pub(crate) node_ttl: Duration,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) token: Option<String>,
    pub(crate) limits: Limits,
    pub(crate) threads: Option<usize>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8080).into(),
            store: StoreKind::Memory,
            service_ttl: Duration::from_secs(15),
            node_ttl: Duration::from_secs(3),
            tls: None,
            token: None,
            limits: Limits::default(),
            threads: None,
        }
    }
}

impl Config {
    /// The defaults: `127.0.0.1:8080`, in memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// The address to listen on; port 0 takes a free one.
    pub fn listen(self, listen: SocketAddr) -> Self {
        Self { listen, ..self }
    }

    /// Where registrations and key-value entries are stored.
    pub fn store(self, store: StoreKind) -> Self {
        Self { store, ..self }
    }

    /// How long an endpoint stays listed after its last heartbeat (15 s).
    pub fn service_ttl(self, service_ttl: Duration) -> Self {
        Self { service_ttl, ..self }
    }

    /// How long a node counts as healthy after its last heartbeat (3 s).
    pub fn node_ttl(self, node_ttl: Duration) -> Self {
        Self { node_ttl, ..self }
    }

    /// Serves HTTPS with this certificate.
    pub fn tls(self, tls: TlsFiles) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// Requires, for every request but `/healthz`, the header `Authorization: Bearer <token>`.
    pub fn token(self, token: impl Into<String>) -> Self {
        Self { token: Some(token.into()), ..self }
    }

    /// Limits for clients.
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The number of threads that serve requests (one per processor).
    pub fn threads(self, threads: usize) -> Self {
        Self { threads: Some(threads), ..self }
    }

    /// Rejects invalid settings; the error names the setting.
    pub(crate) fn check(&self) -> Result<(), String> {
        let positive = |name: &str, ttl: Duration| {
            (ttl >= Duration::from_millis(100))
                .then_some(())
                .ok_or_else(|| format!("{name} must be at least 100ms, not {ttl:?}"))
        };
        positive("service_ttl", self.service_ttl)?;
        positive("node_ttl", self.node_ttl)?;
        match &self.token {
            Some(token) if token.is_empty() => Err("token must not be empty".to_owned()),
            _ if self.threads == Some(0) => Err("threads must be at least 1".to_owned()),
            _ => Ok(()),
        }
    }
}

/// Shows everything but the token.
impl fmt::Debug for Config {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Config")
            .field("listen", &self.listen)
            .field("store", &self.store)
            .field("service_ttl", &self.service_ttl)
            .field("node_ttl", &self.node_ttl)
            .field("tls", &self.tls)
            .field("token", &self.token.as_ref().map(|_| "***"))
            .field("limits", &self.limits)
            .field("threads", &self.threads)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_kind_parses_memory_and_sqlite() {
        assert_eq!("memory".parse(), Ok(StoreKind::Memory));
        assert_eq!("sqlite:/var/plum.db".parse(), Ok(StoreKind::Sqlite("/var/plum.db".into())));
        for wrong in ["", "sqlite", "sqlite:", "postgres:x", "Memory"] {
            assert!(wrong.parse::<StoreKind>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn debug_output_hides_the_token() {
        let shown = format!("{:?}", Config::new().token("secret"));
        assert!(!shown.contains("secret"));
    }

    #[test]
    fn rejects_a_ttl_of_zero() {
        assert!(Config::new().service_ttl(Duration::ZERO).check().is_err());
    }
}
