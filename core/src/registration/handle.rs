//! The handle of one registration.

use std::sync::Arc;
use std::time::Duration;

use super::slot::{Slot, State};
use super::{PATIENCE, Shared, pause};
use crate::error::{Error, Result};
use crate::interrupt::{Interrupt, Interruptible, Never};
use crate::model::Instance;
use crate::registry::WaitLimit;
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

    /// Waits until it is registered. Fails with the last error when the timeout has passed.
    pub fn wait(&self, timeout: Duration) -> Result<()> {
        self.with_interrupt(&Never).wait(timeout)
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
        let instance = shared.complete(instance, &WaitLimit::new(PATIENCE, &Never))?;
        self.slot.update(instance)?;
        (0..shared.stores.len()).for_each(|store| shared.hurry(store));
        Ok(())
    }

    /// Deregisters within 2 s, then waits for `drain`. Closing it again does nothing.
    pub fn close(&self, drain: Duration) -> Result<()> {
        self.with_interrupt(&Never).close(drain)
    }

    /// Borrows the registration for waits that `interrupt` can end.
    pub fn with_interrupt<'a>(&'a self, interrupt: &'a dyn Interrupt) -> Interruptible<'a, Registration> {
        Interruptible::new(self, interrupt)
    }

    /// Gives the registration to the client: from now on dropping this handle does nothing.
    pub fn detach(mut self) -> Registration {
        self.detached = true;
        self
    }

    /// `register()` failed after all.
    pub(super) fn withdraw(self) {
        self.shared.close(&self.slot, &WaitLimit::new(PATIENCE, &Never));
    }

    /// The same for a caller who was interrupted: he does not wait for it.
    pub(super) fn withdraw_in_background(self) {
        let handle = self.detach();
        let (shared, slot) = (handle.shared.clone(), handle.slot.clone());
        handle.shared.runtime.post(&handle.shared.ports, Priority::Heartbeat, move || {
            shared.close(&slot, &WaitLimit::new(PATIENCE, &Never));
        });
    }
}

impl Interruptible<'_, Registration> {
    /// See [`Registration::wait`].
    pub fn wait(&self, timeout: Duration) -> Result<()> {
        self.target.shared.check_open()?;
        self.target.slot.wait_registered(&WaitLimit::new(timeout, self.interrupt))
    }

    /// See [`Registration::close`].
    pub fn close(&self, drain: Duration) -> Result<()> {
        let Registration { shared, slot, .. } = self.target;
        if shared.is_inherited() {
            return Ok(());
        }
        if shared.close(slot, &WaitLimit::new(PATIENCE, self.interrupt)) {
            pause(drain, self.interrupt);
        }
        self.interrupt.check()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if self.shared.is_inherited() {
            // One count too many: never freed, for what it locks and owns is the parent's.
            std::mem::forget((self.shared.clone(), self.slot.clone()));
        } else if !self.detached {
            self.shared.close(&self.slot, &WaitLimit::new(PATIENCE, &Never));
        }
    }
}

impl std::fmt::Debug for Registration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Registration({}, {:?})", self.address(), self.state())
    }
}
