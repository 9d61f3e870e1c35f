//! The handle of one registration.

use std::sync::Arc;
use std::time::Duration;

use super::slot::{Slot, State};
use super::{PATIENCE, Shared, pause};
use crate::error::{Error, Result};
use crate::interrupt::{Interrupt, Never};
use crate::model::Instance;
use crate::registry::Wait;
use crate::runtime::Priority;

/// Keeps an instance known. Dropping it deregisters, waiting at most 2 s, unless it was detached.
///
/// In a child after `fork` it does nothing: the instance is the parent's.
#[must_use = "dropping the handle deregisters the instance; call detach() to keep it registered"]
pub struct Registration {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
    detached: bool,
}

impl Registration {
    pub(super) fn new(shared: Arc<Shared>, slot: Arc<Slot>) -> Registration {
        Registration { shared, slot, detached: false }
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        if self.shared.is_inherited() { State::Closed } else { self.slot.state() }
    }

    /// `host:port` as others see it.
    pub fn address(&self) -> String {
        if self.shared.is_inherited() { String::new() } else { self.slot.address() }
    }

    /// The instance as registered, with everything that was found out for it.
    pub fn instance(&self) -> Instance {
        if self.shared.is_inherited() { Instance::default() } else { self.slot.instance() }
    }

    /// What last went wrong; `None` while it is registered.
    pub fn last_error(&self) -> Option<Error> {
        if self.shared.is_inherited() { None } else { self.slot.last_error() }
    }

    /// Waits until it is registered; the last error if that does not come about in time.
    pub fn wait(&self, timeout: Duration, interrupt: &dyn Interrupt) -> Result<()> {
        self.shared.check_open()?;
        self.slot.wait_registered(&Wait::new(timeout, interrupt))
    }

    /// Replaces what is registered, now and after every outage to come. An empty host stays what it was.
    pub fn update(&self, mut instance: Instance) -> Result<()> {
        let shared = &self.shared;
        shared.check_open()?;
        let before = self.slot.instance();
        if instance.host.is_empty() {
            instance.host.clone_from(&before.host);
        }
        let same_place = (&instance.service, &instance.host, instance.port)
            == (&before.service, &before.host, before.port);
        if instance.instance_id.is_empty() && same_place {
            instance.instance_id = before.instance_id;
        }
        let instance = shared.complete(instance, &Wait::new(PATIENCE, &Never))?;
        self.slot.update(instance)?;
        (0..shared.stores.len()).for_each(|store| shared.hurry(store));
        Ok(())
    }

    /// Deregisters within 2 s, then waits for `drain`. Again: does nothing.
    pub fn close(&self, drain: Duration, interrupt: &dyn Interrupt) -> Result<()> {
        if self.shared.is_inherited() {
            return Ok(());
        }
        if self.shared.close(&self.slot, &Wait::new(PATIENCE, interrupt)) {
            pause(drain, interrupt);
        }
        interrupt.check()
    }

    /// Gives the registration to the client: from now on dropping this handle does nothing.
    pub fn detach(mut self) -> Registration {
        self.detached = true;
        self
    }

    /// `register()` failed after all.
    pub(super) fn withdraw(self) {
        self.shared.close(&self.slot, &Wait::new(PATIENCE, &Never));
    }

    /// The same for a caller who was interrupted: he does not wait for it.
    pub(super) fn withdraw_in_background(self) {
        let handle = self.detach();
        let (shared, slot) = (handle.shared.clone(), handle.slot.clone());
        handle.shared.runtime.post(&handle.shared.ports, Priority::Heartbeat, move || {
            shared.close(&slot, &Wait::new(PATIENCE, &Never));
        });
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if self.shared.is_inherited() {
            // One count too many: never freed, for what it locks and owns is the parent's.
            std::mem::forget((self.shared.clone(), self.slot.clone()));
        } else if !self.detached {
            self.shared.close(&self.slot, &Wait::new(PATIENCE, &Never));
        }
    }
}

impl std::fmt::Debug for Registration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Registration({}, {:?})", self.address(), self.state())
    }
}
