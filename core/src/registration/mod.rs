//! Staying known: every registration of a client, kept by one schedule per registry.
//!
//! ```text
//!  register() ──► Slot (latest data) ──► port answers? ──► round of each Store ──► registered
//!                   ▲                                         │  beats all slots together, every TTL/3 ±15 %
//!        update() ──┘                                         └─ unknown to the registry: registered again at once
//! ```
//!
//! A slot always holds what the program said last, so whatever brings a registration back (an outage, an empty
//! registry, a lost lease) brings it back with its latest data. A client with open registrations is held by the
//! runtime until they are closed or the process exits; a forked child neither beats nor deregisters them.

mod handle;
mod host;
mod listening;
mod round;
mod slot;
mod standing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::sync::Mutex;
use serde::Serialize;

use self::round::Store;
use self::slot::Slot;
use crate::clock;
use crate::config::RegistrationConfig;
use crate::error::{Error, Kind, Result};
use crate::interrupt::{Closing, Interrupt, SLICE};
use crate::model::{Instance, default_instance_id};
use crate::registry::{Registry, WaitLimit};
use crate::runtime::{self, Hold, Runtime, TaskQueue};

pub use handle::Registration;
pub use slot::State;

/// How long `register()` waits to hear whether it is allowed, and `close()` to deregister.
const PATIENCE: Duration = Duration::from_secs(2);

/// All registrations of one client, and the schedules that keep them.
#[derive(Clone)]
pub struct Registrations {
    shared: Arc<Shared>,
}

struct Shared {
    stores: Vec<Store>,
    slots: Mutex<BTreeMap<u64, Arc<Slot>>>,
    /// What keeps us alive while slots are open.
    hold: Mutex<Option<Hold>>,
    config: RegistrationConfig,
    zone: String,
    runtime: Runtime,
    /// For connecting to ports that are still to open.
    ports: Arc<TaskQueue>,
    next: AtomicU64,
    closing: Closing,
    /// The process that registered; a forked child leaves everything as it is.
    generation: u64,
}

impl Registrations {
    /// A scheduler for these stores (`Opened::writes` of every registry). Opens nothing.
    pub fn new(
        stores: Vec<Arc<dyn Registry>>,
        config: RegistrationConfig,
        zone: String,
        runtime: Runtime,
    ) -> Registrations {
        Registrations {
            shared: Arc::new(Shared {
                stores: stores.into_iter().map(Store::new).collect(),
                slots: Mutex::default(),
                hold: Mutex::default(),
                config,
                zone,
                runtime,
                ports: TaskQueue::new(2),
                next: AtomicU64::new(0),
                closing: Closing::default(),
                generation: runtime::generation(),
            }),
        }
    }

    /// Registers an instance and keeps it registered until the handle is closed.
    ///
    /// Returns at once while the port does not answer yet, else once a registry has answered, at the latest
    /// after 2 s. Fails if the instance cannot be right, if no registry takes registrations, if the client is
    /// closed, or if a registry asks who we are or says no; everything else is tried again in the background.
    pub fn register(&self, instance: Instance, interrupt: &dyn Interrupt) -> Result<Registration> {
        let shared = &self.shared;
        shared.check_open()?;
        if shared.stores.is_empty() {
            let message = "no registry of this client takes registrations";
            return Err(Error::new(Kind::Unsupported, message).for_service(instance.service));
        }
        let wait = WaitLimit::new(PATIENCE, interrupt);
        let instance = shared.complete(instance, &wait)?;
        let slot = shared.open(instance);
        let handle = Registration::new(shared.clone(), slot.clone());
        if shared.config.wait_listening.is_zero() || listening::is_open_at_once(&slot.instance()) {
            shared.publish(&slot);
            if let Err(error) = slot.verdict(&wait) {
                match error.kind() {
                    Kind::Cancelled => handle.withdraw_in_background(),
                    _ => handle.withdraw(),
                }
                return Err(error);
            }
        } else {
            listening::wait(shared, &slot);
        }
        Ok(handle)
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        if self.shared.is_inherited() { 0 } else { self.shared.slots.lock().len() }
    }

    /// Closes every one of them: deregisters within `wait`, then drains.
    pub fn close(&self, drain: Duration, wait: &WaitLimit<'_>) {
        if self.shared.is_inherited() {
            return;
        }
        self.shared.closing.close();
        let slots: Vec<Arc<Slot>> = self.shared.slots.lock().values().cloned().collect();
        let closed = slots.iter().filter(|slot| self.shared.close(slot, wait)).count();
        if closed > 0 {
            pause(drain, wait.interrupt);
        }
    }

    /// How they fare.
    pub fn stats(&self) -> Vec<RegistrationStats> {
        if self.shared.is_inherited() {
            return Vec::new();
        }
        let slots: Vec<Arc<Slot>> = self.shared.slots.lock().values().cloned().collect();
        slots.iter().map(|slot| slot.stats()).collect()
    }
}

impl Shared {
    fn is_inherited(&self) -> bool {
        self.generation != runtime::generation()
    }

    fn check_open(&self) -> Result<()> {
        if self.is_inherited() {
            return Err(Error::new(Kind::Closed, "this client belongs to the parent process"));
        }
        self.closing.check()
    }

    /// Fills in what was left to be found out, and refuses what cannot be right.
    fn complete(&self, mut instance: Instance, wait: &WaitLimit<'_>) -> Result<Instance> {
        host::check(&instance)?;
        if instance.host.is_empty() {
            instance.host = match &self.config.host {
                Some(host) => host.clone(),
                None => host::find(self.stores.iter().map(Store::registry), wait)?,
            };
            host::check(&instance)?;
        }
        if instance.zone.is_empty() {
            instance.zone.clone_from(&self.zone);
        }
        if instance.instance_id.is_empty() {
            instance.instance_id = default_instance_id(&instance.service, &instance.host, instance.port);
        }
        instance.ttl = Some(instance.ttl.unwrap_or(self.config.ttl));
        Ok(instance)
    }

    fn open(self: &Arc<Self>, instance: Instance) -> Arc<Slot> {
        let slot =
            Arc::new(Slot::new(instance, self.stores.len(), self.next.fetch_add(1, Ordering::Relaxed)));
        let mut slots = self.slots.lock();
        slots.insert(slot.id, slot.clone());
        let mut hold = self.hold.lock();
        if hold.is_none() {
            *hold = Some(self.runtime.hold(self.clone()));
        }
        slot
    }

    /// The port answers, or nobody asks whether it does: the registries are told.
    fn publish(self: &Arc<Self>, slot: &Slot) {
        let lost: Vec<Option<Error>> = self.stores.iter().map(Store::lost).collect();
        slot.publish(&lost);
        (0..self.stores.len()).for_each(|store| self.hurry(store));
    }

    /// Deregisters; false if somebody else has already.
    fn close(self: &Arc<Self>, slot: &Arc<Slot>, wait: &WaitLimit<'_>) -> bool {
        if !slot.begin_closing() {
            return false;
        }
        self.slots.lock().remove(&slot.id);
        let own = wait.at_most(PATIENCE);
        for (index, store) in self.stores.iter().enumerate() {
            for (entry, doubtful) in slot.to_withdraw(index, &own) {
                if let Err(error) = store.registry().deregister(&entry, doubtful, &own) {
                    let (source, service) = (store.registry().source(), &entry.instance.service);
                    tracing::warn!(%source, service, %error, "not deregistered; it expires by itself");
                    slot.note(error);
                }
            }
        }
        slot.finish_closing();
        self.release_if_idle();
        true
    }

    /// Without an open slot nothing needs to keep us alive.
    fn release_if_idle(&self) {
        let slots = self.slots.lock();
        let hold = if slots.is_empty() { self.hold.lock().take() } else { None };
        drop(slots);
        if let Some(hold) = hold {
            self.runtime.release(hold);
        }
    }
}

/// Waits for calls still on their way.
fn pause(drain: Duration, interrupt: &dyn Interrupt) {
    let until = clock::now().after(drain);
    loop {
        let left = until.remaining(clock::now());
        if left.is_zero() || interrupt.check().is_err() {
            return;
        }
        std::thread::sleep(left.min(SLICE));
    }
}

/// How one registration fares.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
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
