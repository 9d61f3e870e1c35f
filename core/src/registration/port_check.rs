//! Delays the registration of an instance until its port accepts connections.

use std::net::{IpAddr, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Shared;
use super::managed_instance::ManagedInstance;
use crate::clock::{self, Tick};
use crate::model::Instance;
use crate::runtime::Priority;

/// A local port answers within milliseconds or not at all.
const CONNECT: Duration = Duration::from_millis(100);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Whether the host is an IP address and accepts a connection. Resolves no name, so that a caller's thread may run it.
pub(super) fn is_open_at_once(instance: &Instance) -> bool {
    instance.host.parse::<IpAddr>().is_ok() && is_open(instance)
}

/// Whether the instance's port accepts a connection.
fn is_open(instance: &Instance) -> bool {
    let Ok(addresses) = (instance.host.as_str(), instance.port).to_socket_addrs() else { return false };
    addresses.into_iter().any(|address| TcpStream::connect_timeout(&address, CONNECT).is_ok())
}

/// Publishes the instance once its port accepts connections, or after `wait_listening`.
pub(super) fn wait(shared: &Arc<Shared>, managed: &Arc<ManagedInstance>) {
    let until = clock::now().after(shared.config.wait_listening);
    again(shared, managed, until, FIRST_PAUSE);
}

fn again(shared: &Arc<Shared>, managed: &Arc<ManagedInstance>, until: Tick, pause: Duration) {
    let (weak, managed) = (Arc::downgrade(shared), Arc::downgrade(managed));
    shared
        .runtime
        .after(pause, &shared.ports, Priority::Poll, move || check_port(&weak, &managed, until, pause));
}

fn check_port(shared: &Weak<Shared>, managed: &Weak<ManagedInstance>, until: Tick, pause: Duration) {
    let (Some(shared), Some(managed)) = (shared.upgrade(), managed.upgrade()) else { return };
    if managed.is_closing() {
        return;
    }
    let instance = managed.instance();
    if is_open(&instance) {
        shared.publish(&managed);
    } else if clock::now() >= until {
        let (service, address) = (&instance.service, managed.address());
        tracing::warn!(
            service,
            address,
            "the port does not accept connections after wait_listening; registering anyway"
        );
        shared.publish(&managed);
    } else {
        again(&shared, &managed, until, (pause * 3 / 2).min(LONGEST_PAUSE));
    }
}
