//! The handle of one registration.

use std::sync::Arc;
use std::time::Duration;

use super::managed_instance::{ManagedInstance, RegistrationState};
use super::{REGISTER_TIMEOUT, Shared, pause};
use crate::error::{Error, Result};
use crate::interrupt::{Interrupt, Interruptible, Never};
use crate::model::Instance;
use crate::registry::WaitLimit;
use crate::runtime::Priority;

/// Keeps an instance registered. Dropping it deregisters the instance within 2 s, unless it was detached.
///
/// In a forked child it does nothing: the instance belongs to the parent.
#[must_use = "dropping the handle deregisters the instance; call detach() to keep it registered"]
pub struct Registration {
    shared: Arc<Shared>,
    managed: Arc<ManagedInstance>,
    detached: bool,
}

impl Registration {
    pub(super) fn new(shared: Arc<Shared>, managed: Arc<ManagedInstance>) -> Registration {
        Registration { shared, managed, detached: false }
    }

    /// Its state.
    pub fn state(&self) -> RegistrationState {
        if self.shared.is_inherited() { RegistrationState::Closed } else { self.managed.state() }
    }

    /// The registered `host:port`.
    pub fn address(&self) -> String {
        if self.shared.is_inherited() { String::new() } else { self.managed.address() }
    }

    /// The instance as registered, with the fields that were filled in.
    pub fn instance(&self) -> Instance {
        if self.shared.is_inherited() { Instance::default() } else { self.managed.instance() }
    }

    /// The last error; `None` while it is registered.
    pub fn last_error(&self) -> Option<Error> {
        if self.shared.is_inherited() { None } else { self.managed.last_error() }
    }

    /// Waits until it is registered. Fails with the last error when the timeout has passed.
    pub fn wait(&self, timeout: Duration) -> Result<()> {
        self.with_interrupt(&Never).wait(timeout)
    }

    /// Replaces the registered data, now and for every later registration. An empty host keeps the current one.
    pub fn update(&self, mut instance: Instance) -> Result<()> {
        let shared = &self.shared;
        shared.check_open()?;
        let before = self.managed.instance();
        if instance.host.is_empty() {
            instance.host.clone_from(&before.host);
        }
        let same_place = (&instance.service, &instance.host, instance.port)
            == (&before.service, &before.host, before.port);
        if instance.instance_id.is_empty() && same_place {
            instance.instance_id = before.instance_id;
        }
        let instance = shared.complete(instance, &WaitLimit::new(REGISTER_TIMEOUT, &Never))?;
        self.managed.update(instance)?;
        (0..shared.writers.len()).for_each(|writer| shared.schedule_soon(writer));
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

    /// Leaves the registration to the client: dropping this handle no longer deregisters it.
    pub fn detach(mut self) -> Registration {
        self.detached = true;
        self
    }

    /// Deregisters after a failed `register()`.
    pub(super) fn withdraw(self) {
        self.shared.close(&self.managed, &WaitLimit::new(REGISTER_TIMEOUT, &Never));
    }

    /// Deregisters in the background after an interrupted `register()`.
    pub(super) fn withdraw_in_background(self) {
        let handle = self.detach();
        let (shared, managed) = (handle.shared.clone(), handle.managed.clone());
        handle.shared.runtime.post(&handle.shared.ports, Priority::Heartbeat, move || {
            shared.close(&managed, &WaitLimit::new(REGISTER_TIMEOUT, &Never));
        });
    }
}

impl Interruptible<'_, Registration> {
    /// See [`Registration::wait`].
    pub fn wait(&self, timeout: Duration) -> Result<()> {
        self.target.shared.check_open()?;
        self.target.managed.wait_registered(&WaitLimit::new(timeout, self.interrupt))
    }

    /// See [`Registration::close`].
    pub fn close(&self, drain: Duration) -> Result<()> {
        let Registration { shared, managed, .. } = self.target;
        if shared.is_inherited() {
            return Ok(());
        }
        if shared.close(managed, &WaitLimit::new(REGISTER_TIMEOUT, self.interrupt)) {
            pause(drain, self.interrupt);
        }
        self.interrupt.check()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if self.shared.is_inherited() {
            // Leaked on purpose: its locks and threads belong to the parent.
            std::mem::forget((self.shared.clone(), self.managed.clone()));
        } else if !self.detached {
            self.shared.close(&self.managed, &WaitLimit::new(REGISTER_TIMEOUT, &Never));
        }
    }
}

impl std::fmt::Debug for Registration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Registration({}, {:?})", self.address(), self.state())
    }
}
