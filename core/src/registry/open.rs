//! Opens the registry that an address names.

use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::registry::address::Address;
use crate::registry::consul::ConsulRegistry;
#[cfg(feature = "etcd")]
use crate::registry::etcd::EtcdRegistry;
use crate::registry::memory::MemoryRegistry;
#[cfg(feature = "nacos")]
use crate::registry::nacos::NacosRegistry;
use crate::registry::setup::{OpenedRegistry, RegistrySetup};
use crate::registry::types::Registry;
#[cfg(feature = "zookeeper")]
use crate::registry::zookeeper::ZooKeeperRegistry;
use crate::registry::{dns, file, plum, static_list};

/// Opens the registry that an address names. Does not connect yet.
///
/// Clients that use the same address of Consul, etcd, Nacos or ZooKeeper with the same settings share one registry, and
/// so its connection.
pub fn open(text: &str, setup: &RegistrySetup) -> Result<OpenedRegistry> {
    let address = Address::parse(text)?;
    match address.scheme {
        "memory" => Ok(OpenedRegistry::one(MemoryRegistry::shared(&address.name))),
        "static" => Ok(OpenedRegistry::one(Arc::new(static_list::StaticRegistry::new(address, setup)))),
        "file" => Ok(OpenedRegistry::one(Arc::new(file::FileRegistry::new(&address, setup)?))),
        "consul" | "consul+tls" => shared(text, setup, |setup| ConsulRegistry::new(&address, setup)),
        "dns" | "dns+srv" => dns::open(address, setup),
        #[cfg(feature = "etcd")]
        "etcd" | "etcd+tls" => shared(text, setup, |setup| EtcdRegistry::new(&address, setup)),
        #[cfg(feature = "nacos")]
        "nacos" => shared(text, setup, |setup| NacosRegistry::new(&address, setup)),
        "plum" | "plum+tls" | "http" | "https" => plum::open(&address, setup),
        #[cfg(feature = "zookeeper")]
        "zookeeper" => shared(text, setup, |setup| ZooKeeperRegistry::new(&address, setup)),
        other => Err(missing_feature(other)),
    }
}

/// The registry that another client has opened with the same address and settings, or a new one.
fn shared<R: Registry>(
    text: &str,
    setup: &RegistrySetup,
    new: impl FnOnce(&RegistrySetup) -> Result<R>,
) -> Result<OpenedRegistry> {
    // Everything that affects the requests. The poll interval does not: none of these registries is polled.
    let key = format!("{text} {:?}", (setup.timeout, setup.connect_timeout, &setup.tls, setup.is_stub));
    let unkept = RegistrySetup { runtime: setup.runtime.unkept(), ..setup.clone() };
    Ok(OpenedRegistry::one(setup.runtime.common(&key, || new(&unkept).map(Arc::new))?))
}

/// The error for a scheme that this build does not include.
fn missing_feature(scheme: &str) -> Error {
    let feature = scheme.trim_end_matches("+tls");
    let message = format!(
        "this build does not include {scheme}://; enable the feature {feature:?} of the crate plumline"
    );
    Error::new(Kind::Unsupported, message)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::TlsConfig;
    use crate::registry::setup::test_setup;

    #[test]
    fn opens_the_registry_that_the_address_names() {
        for (address, source, writers) in [
            ("memory://", "memory://", 1),
            ("static://10.0.0.7:80", "static://10.0.0.7:80", 0),
            ("file:///nowhere/s.yaml", "file:///nowhere/s.yaml", 0),
            ("plum://127.0.0.1:1,127.0.0.1:2?token=hush", "plum://127.0.0.1:1,127.0.0.1:2", 2),
            ("consul://127.0.0.1,127.0.0.1:2?token=hush&dc=a", "consul://127.0.0.1:8500,127.0.0.1:2?dc=a", 1),
            ("dns://a/{service}.b:80?protocol=https", "dns://a:53/{service}.b:80?protocol=https", 0),
            ("dns+srv:///_http._tcp.{service}.b", "dns+srv:///_http._tcp.{service}.b", 0),
        ] {
            let opened = open(address, &test_setup()).unwrap();
            assert_eq!((&**opened.reader.source(), opened.writers.len()), (source, writers));
        }
    }

    #[test]
    fn registries_with_same_address_and_settings_are_shared() {
        let setup = test_setup();
        let opened = |address: &str, setup: &RegistrySetup| open(address, setup).unwrap().reader;
        let address = "consul://127.0.0.1?token=a";
        let first = opened(address, &setup);
        let is_shared = |other: &Arc<dyn Registry>| Arc::ptr_eq(&first, other);
        assert!(is_shared(&opened(
            address,
            &RegistrySetup { poll_interval: Duration::ZERO, ..setup.clone() }
        )));
        for other in ["consul://127.0.0.1?token=A", "consul://127.0.0.1", "consul+tls://127.0.0.1?token=a"] {
            assert!(!is_shared(&opened(other, &setup)), "{other}");
        }
        let tls = TlsConfig { server_name: Some("other".into()), ..TlsConfig::default() };
        for other in [
            RegistrySetup { timeout: Duration::from_secs(3), ..setup.clone() },
            RegistrySetup { connect_timeout: Duration::from_secs(3), ..setup.clone() },
            RegistrySetup { tls, ..setup.clone() },
            RegistrySetup { is_stub: true, ..setup.clone() },
        ] {
            assert!(!is_shared(&opened(address, &other)));
        }
        drop(first);
    }
}
