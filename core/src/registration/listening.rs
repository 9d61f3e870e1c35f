//! An instance is published once its port answers: until then nobody could use it.

use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Shared;
use super::slot::Slot;
use crate::clock::{self, Tick};
use crate::model::Instance;
use crate::runtime::Priority;

/// A port of this machine answers at once or not at all.
const CONNECT: Duration = Duration::from_millis(100);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Whether a connection to the instance's port succeeds.
pub(super) fn is_open(instance: &Instance) -> bool {
    let Ok(addresses) = (instance.host.as_str(), instance.port).to_socket_addrs() else { return false };
    addresses.into_iter().any(|address| TcpStream::connect_timeout(&address, CONNECT).is_ok())
}

/// Publishes the slot once its port answers, or after `wait_listening`.
pub(super) fn wait(shared: &Arc<Shared>, slot: &Arc<Slot>) {
    let until = clock::now().after(shared.config.wait_listening);
    again(shared, slot, until, FIRST_PAUSE);
}

fn again(shared: &Arc<Shared>, slot: &Arc<Slot>, until: Tick, pause: Duration) {
    let (weak, slot) = (Arc::downgrade(shared), Arc::downgrade(slot));
    shared.runtime.after(pause, &shared.ports, Priority::Poll, move || look(&weak, &slot, until, pause));
}

fn look(shared: &Weak<Shared>, slot: &Weak<Slot>, until: Tick, pause: Duration) {
    let (Some(shared), Some(slot)) = (shared.upgrade(), slot.upgrade()) else { return };
    if slot.is_closing() {
        return;
    }
    let instance = slot.instance();
    if is_open(&instance) {
        shared.publish(&slot);
    } else if clock::now() >= until {
        let (service, address) = (&instance.service, slot.address());
        tracing::warn!(service, address, "the port still does not answer; registered all the same");
        shared.publish(&slot);
    } else {
        again(&shared, &slot, until, (pause * 3 / 2).min(LONGEST_PAUSE));
    }
}
