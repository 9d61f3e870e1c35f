//! Staying known.
//! (signatures first; bodies follow)
#![allow(unused_variables, clippy::todo)]

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::config::RegistrationConfig;
use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::model::Instance;
use crate::registry::{Registry, Wait};
use crate::runtime::Runtime;

/// All registrations of one client, and the one scheduler that keeps them.
#[derive(Clone)]
pub struct Registrations {
    _inner: Arc<()>,
}

impl Registrations {
    /// A scheduler for these stores (`Opened::writes` of every registry). Opens nothing.
    pub fn new(
        stores: Vec<Arc<dyn Registry>>,
        config: RegistrationConfig,
        zone: String,
        runtime: Runtime,
    ) -> Registrations {
        todo!()
    }

    /// Registers an instance and keeps it registered until the handle is closed.
    pub fn register(&self, instance: Instance, interrupt: &dyn Interrupt) -> Result<Registration> {
        todo!()
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        todo!()
    }

    /// Closes every one of them: deregisters, then drains.
    pub fn close(&self, drain: Duration, wait: &Wait<'_>) {
        todo!()
    }

    /// How they fare.
    pub fn stats(&self) -> Vec<RegistrationStats> {
        todo!()
    }
}

/// Keeps an instance known. Dropping it deregisters, waiting at most 2 s, unless it was detached.
#[must_use = "dropping the handle deregisters the instance; call detach() to keep it registered"]
pub struct Registration {
    _inner: Arc<()>,
}

/// Where a registration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// Its port does not answer yet; it is published once it does.
    WaitingForPort,
    /// On its way to the registry for the first time.
    Registering,
    /// Known to at least one registry.
    Registered,
    /// No registry answers; it is registered as soon as one does.
    Unreachable,
    /// The registry said no; tried again with every beat.
    Refused,
    /// Closed.
    Closed,
}

impl Registration {
    /// Where it stands.
    pub fn state(&self) -> State {
        todo!()
    }

    /// `host:port` as others see it.
    pub fn address(&self) -> String {
        todo!()
    }

    /// The instance as registered, with everything that was found out for it.
    pub fn instance(&self) -> Instance {
        todo!()
    }

    /// What last went wrong; `None` once it is registered again.
    pub fn last_error(&self) -> Option<Error> {
        todo!()
    }

    /// Waits until it is registered; the last error if that does not come about in time.
    pub fn wait(&self, timeout: Duration, interrupt: &dyn Interrupt) -> Result<()> {
        todo!()
    }

    /// Replaces what is registered, now and after every outage to come.
    pub fn update(&self, instance: Instance) -> Result<()> {
        todo!()
    }

    /// Deregisters, then waits for `drain`. Again: does nothing.
    pub fn close(&self, drain: Duration, interrupt: &dyn Interrupt) -> Result<()> {
        todo!()
    }

    /// Gives the registration to the client: from now on dropping this handle does nothing.
    pub fn detach(self) -> Registration {
        todo!()
    }
}

/// How one registration fares.
#[derive(Clone, Debug, Serialize)]
pub struct RegistrationStats {
    /// The service.
    pub service: String,
    /// The instance's id.
    pub instance_id: String,
    /// `host:port` as others see it.
    pub address: String,
    /// Where it stands.
    pub state: State,
    /// Seconds since a registry last confirmed it; `None` if none ever has.
    pub last_beat_s: Option<f64>,
    /// Beats that were confirmed.
    pub beats: u64,
    /// How often it had to be registered anew.
    pub reregistrations: u64,
    /// What last went wrong.
    pub last_error: Option<String>,
}
