//! From an address to the registry that it names.

use std::sync::Arc;
use std::time::Duration;

use super::consul::Consul;
#[cfg(feature = "etcd")]
use super::etcd::Etcd;
#[cfg(feature = "nacos")]
use super::nacos::Nacos;
#[cfg(feature = "zookeeper")]
use super::zookeeper::ZooKeeper;
use super::{Address, Memory, Registry, dns, file, fixed, plum};
use crate::config::TlsConfig;
use crate::error::{Error, Kind, Result};
use crate::runtime::Runtime;

/// What registries are made with.
#[derive(Clone)]
pub struct Setup {
    /// The background.
    pub runtime: Runtime,
    /// How often to look where there is nothing to listen to.
    pub poll_interval: Duration,
    /// How long one request may take.
    pub timeout: Duration,
    /// Opening one connection.
    pub connect_timeout: Duration,
    /// How to speak TLS.
    pub tls: TlsConfig,
    /// Whether a stub plays the endpoints: then names need no address of their own.
    pub is_stub: bool,
}

/// A registry address, opened: whom to ask, and where to register.
pub struct Opened {
    /// Answers every question.
    pub reads: Arc<dyn Registry>,
    /// Where registrations go: each of them. More than one where an address names independent stores.
    pub writes: Vec<Arc<dyn Registry>>,
}

impl Opened {
    /// One system for both.
    pub(super) fn one(registry: Arc<dyn Registry>) -> Opened {
        let writes = if registry.is_writable() { vec![registry.clone()] } else { Vec::new() };
        Opened { reads: registry, writes }
    }
}

/// Opens the registry that an address names. Connects to nothing yet.
///
/// Clients that name one system of others' in the same words and with the same settings share what is opened, and so
/// its connection.
pub fn open(text: &str, setup: &Setup) -> Result<Opened> {
    let address = Address::parse(text)?;
    match address.scheme {
        "memory" => Ok(Opened::one(Memory::shared(&address.name))),
        "static" => Ok(Opened::one(Arc::new(fixed::Fixed::new(address, setup)))),
        "file" => Ok(Opened::one(Arc::new(file::File::new(&address, setup)?))),
        "consul" | "consul+tls" => shared(text, setup, |setup| Consul::new(&address, setup)),
        "dns" | "dns+srv" => dns::open(address, setup),
        #[cfg(feature = "etcd")]
        "etcd" | "etcd+tls" => shared(text, setup, |setup| Etcd::new(&address, setup)),
        #[cfg(feature = "nacos")]
        "nacos" => shared(text, setup, |setup| Nacos::new(&address, setup)),
        "plum" | "plum+tls" | "http" | "https" => plum::open(&address, setup),
        #[cfg(feature = "zookeeper")]
        "zookeeper" => shared(text, setup, |setup| ZooKeeper::new(&address, setup)),
        other => Err(left_out(other)),
    }
}

/// The registry that another client has opened so, or a new one.
fn shared<R: Registry>(text: &str, setup: &Setup, new: impl FnOnce(&Setup) -> Result<R>) -> Result<Opened> {
    // What decides how it is spoken to. The interval of polls does not: none of these is polled.
    let key = format!("{text} {:?}", (setup.timeout, setup.connect_timeout, &setup.tls, setup.is_stub));
    let unkept = Setup { runtime: setup.runtime.unkept(), ..setup.clone() };
    Ok(Opened::one(setup.runtime.common(&key, || new(&unkept).map(Arc::new))?))
}

/// What is left out of a build that was not asked for it.
fn left_out(scheme: &str) -> Error {
    let feature = scheme.trim_end_matches("+tls");
    let message =
        format!("this build has no {scheme}://; turn on the feature {feature:?} of the crate plumline");
    Error::new(Kind::Unsupported, message)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What tests make registries with.
    pub(in crate::registry) fn setup() -> Setup {
        Setup {
            runtime: Runtime::get(),
            poll_interval: Duration::from_millis(50),
            timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(1),
            tls: TlsConfig::default(),
            is_stub: false,
        }
    }

    #[test]
    fn an_address_opens_the_registry_it_names() {
        for (address, source, writes) in [
            ("memory://", "memory://", 1),
            ("static://10.0.0.7:80", "static://10.0.0.7:80", 0),
            ("file:///nowhere/s.yaml", "file:///nowhere/s.yaml", 0),
            ("plum://127.0.0.1:1,127.0.0.1:2?token=hush", "plum://127.0.0.1:1,127.0.0.1:2", 2),
            ("consul://127.0.0.1,127.0.0.1:2?token=hush&dc=a", "consul://127.0.0.1:8500,127.0.0.1:2?dc=a", 1),
            ("dns://a/{service}.b:80?protocol=https", "dns://a:53/{service}.b:80?protocol=https", 0),
            ("dns+srv:///_http._tcp.{service}.b", "dns+srv:///_http._tcp.{service}.b", 0),
        ] {
            let opened = open(address, &setup()).unwrap();
            assert_eq!((&**opened.reads.source(), opened.writes.len()), (source, writes));
        }
    }

    #[test]
    fn what_is_opened_in_the_same_words_with_the_same_settings_is_shared() {
        let setup = setup();
        let opened = |address: &str, setup: &Setup| open(address, setup).unwrap().reads;
        let address = "consul://127.0.0.1?token=a";
        let first = opened(address, &setup);
        let is_shared = |other: &Arc<dyn Registry>| Arc::ptr_eq(&first, other);
        assert!(is_shared(&opened(address, &Setup { poll_interval: Duration::ZERO, ..setup.clone() })));
        for other in ["consul://127.0.0.1?token=A", "consul://127.0.0.1", "consul+tls://127.0.0.1?token=a"] {
            assert!(!is_shared(&opened(other, &setup)), "{other}");
        }
        let tls = TlsConfig { server_name: Some("other".into()), ..TlsConfig::default() };
        for other in [
            Setup { timeout: Duration::from_secs(3), ..setup.clone() },
            Setup { connect_timeout: Duration::from_secs(3), ..setup.clone() },
            Setup { tls, ..setup.clone() },
            Setup { is_stub: true, ..setup.clone() },
        ] {
            assert!(!is_shared(&opened(address, &other)));
        }
        drop(first);
    }
}
