//! Keeps the instances of a client registered, with one heartbeat schedule per registry.
//!
//! ```text
//!  register() ──► ManagedInstance (latest data) ──► port answers? ──► round of each RegistryWriter ──► registered
//!                   ▲                                         │  one heartbeat for all, every TTL/3 ±15 %
//!        update() ──┘                                         └─ unknown to the registry: registers again at once
//! ```
//!
//! A `ManagedInstance` holds the latest data of the program. A registration that is restored after an outage, an empty
//! registry or a lost lease is therefore restored with its latest data. The runtime keeps a client with open
//! registrations alive until they are closed or the process exits. A forked child sends no heartbeat for them and does
//! not deregister them.

mod handle;
mod heartbeat_rounds;
mod host;
mod managed_instance;
mod port_check;
mod registry_status;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::sync::Mutex;
use serde::Serialize;

use self::heartbeat_rounds::RegistryWriter;
use self::managed_instance::ManagedInstance;
use crate::clock;
use crate::config::RegistrationConfig;
use crate::error::{Error, Kind, Result};
use crate::interrupt::{Closing, Interrupt, SLICE};
use crate::model::{Instance, default_instance_id};
use crate::registry::{Registry, WaitLimit};
use crate::runtime::{self, KeepAlive, Runtime, TaskQueue};

pub use handle::Registration;
pub use managed_instance::RegistrationState;

/// How long `register()` waits for the first response of the registry, and `close()` to deregister.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(2);

/// All registrations of one client and their heartbeat schedules.
#[derive(Clone)]
pub struct Registrations {
    shared: Arc<Shared>,
}

struct Shared {
    writers: Vec<RegistryWriter>,
    instances: Mutex<BTreeMap<u64, Arc<ManagedInstance>>>,
    /// Keeps this object alive while instances are open.
    keep_alive: Mutex<Option<KeepAlive>>,
    config: RegistrationConfig,
    zone: String,
    runtime: Runtime,
    /// Runs the checks whether a port accepts connections.
    ports: Arc<TaskQueue>,
    next: AtomicU64,
    closing: Closing,
    /// The process that registered. A forked child changes nothing.
    generation: u64,
}

impl Registrations {
    /// Creates the schedules for these registries (`Opened::writes` of each). Opens no connection.
    pub fn new(
        writers: Vec<Arc<dyn Registry>>,
        config: RegistrationConfig,
        zone: String,
        runtime: Runtime,
    ) -> Registrations {
        Registrations {
            shared: Arc::new(Shared {
                writers: writers.into_iter().map(RegistryWriter::new).collect(),
                instances: Mutex::default(),
                keep_alive: Mutex::default(),
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
    /// Returns at once if the port does not accept connections yet. Otherwise it returns after the first response of a
    /// registry, at the latest after 2 s. Fails if the instance is invalid, if no registry accepts registrations, if
    /// the client is closed, or if a registry refuses the credentials or the permission. Other failures are retried in
    /// the background.
    pub fn register(&self, instance: Instance, interrupt: &dyn Interrupt) -> Result<Registration> {
        let shared = &self.shared;
        shared.check_open()?;
        if shared.writers.is_empty() {
            let message = "no registry of this client accepts registrations";
            return Err(Error::new(Kind::Unsupported, message).for_service(instance.service));
        }
        let wait = WaitLimit::new(REGISTER_TIMEOUT, interrupt);
        let instance = shared.complete(instance, &wait)?;
        let managed = shared.open(instance);
        let handle = Registration::new(shared.clone(), managed.clone());
        if shared.config.wait_listening.is_zero() || port_check::is_open_at_once(&managed.instance()) {
            shared.publish(&managed);
            if let Err(error) = managed.wait_for_answer(&wait) {
                match error.kind() {
                    Kind::Cancelled => handle.withdraw_in_background(),
                    _ => handle.withdraw(),
                }
                return Err(error);
            }
        } else {
            port_check::wait(shared, &managed);
        }
        Ok(handle)
    }

    /// The number of open registrations.
    pub fn open(&self) -> usize {
        if self.shared.is_inherited() { 0 } else { self.shared.instances.lock().len() }
    }

    /// Closes all registrations: deregisters within `wait`, then waits for `drain`.
    pub fn close(&self, drain: Duration, wait: &WaitLimit<'_>) {
        if self.shared.is_inherited() {
            return;
        }
        self.shared.closing.close();
        let instances: Vec<Arc<ManagedInstance>> = self.shared.instances.lock().values().cloned().collect();
        let closed = instances.iter().filter(|managed| self.shared.close(managed, wait)).count();
        if closed > 0 {
            pause(drain, wait.interrupt);
        }
    }

    /// The statistics of each registration.
    pub fn stats(&self) -> Vec<RegistrationStats> {
        if self.shared.is_inherited() {
            return Vec::new();
        }
        let instances: Vec<Arc<ManagedInstance>> = self.shared.instances.lock().values().cloned().collect();
        instances.iter().map(|managed| managed.stats()).collect()
    }
}

impl Shared {
    fn is_inherited(&self) -> bool {
        self.generation != runtime::generation()
    }

    fn check_open(&self) -> Result<()> {
        if self.is_inherited() {
            return Err(Error::new(
                Kind::Closed,
                "this client belongs to the parent process; create a new one after fork",
            ));
        }
        self.closing.check()
    }

    /// Fills in the missing fields and refuses an invalid instance.
    fn complete(&self, mut instance: Instance, wait: &WaitLimit<'_>) -> Result<Instance> {
        host::check(&instance)?;
        if instance.host.is_empty() {
            instance.host = match &self.config.host {
                Some(host) => host.clone(),
                None => host::find(self.writers.iter().map(RegistryWriter::registry), wait)?,
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

    fn open(self: &Arc<Self>, instance: Instance) -> Arc<ManagedInstance> {
        let managed = Arc::new(ManagedInstance::new(
            instance,
            self.writers.len(),
            self.next.fetch_add(1, Ordering::Relaxed),
        ));
        let mut instances = self.instances.lock();
        instances.insert(managed.id, managed.clone());
        let mut keep_alive = self.keep_alive.lock();
        if keep_alive.is_none() {
            *keep_alive = Some(self.runtime.hold(self.clone()));
        }
        managed
    }

    /// Starts the registration: the port accepts connections, or its check is switched off.
    fn publish(self: &Arc<Self>, managed: &ManagedInstance) {
        let lost: Vec<Option<Error>> = self.writers.iter().map(RegistryWriter::lost).collect();
        managed.publish(&lost);
        (0..self.writers.len()).for_each(|writer| self.schedule_soon(writer));
    }

    /// Deregisters; false if it was closed before.
    fn close(self: &Arc<Self>, managed: &Arc<ManagedInstance>, wait: &WaitLimit<'_>) -> bool {
        if !managed.begin_closing() {
            return false;
        }
        self.instances.lock().remove(&managed.id);
        let own = wait.at_most(REGISTER_TIMEOUT);
        for (index, writer) in self.writers.iter().enumerate() {
            for (entry, doubtful) in managed.take_entries(index, &own) {
                if let Err(error) = writer.registry().deregister(&entry, doubtful, &own) {
                    let (source, service) = (writer.registry().source(), &entry.instance.service);
                    tracing::warn!(%source, service, %error, "deregistration failed; the registry removes the instance after its TTL");
                    managed.set_last_error(error);
                }
            }
        }
        managed.finish_closing();
        self.release_if_idle();
        true
    }

    /// Stops keeping this object alive once no instance is open.
    fn release_if_idle(&self) {
        let instances = self.instances.lock();
        let keep_alive = if instances.is_empty() { self.keep_alive.lock().take() } else { None };
        drop(instances);
        if let Some(keep_alive) = keep_alive {
            self.runtime.release(keep_alive);
        }
    }
}

/// Waits for calls in flight.
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

/// The statistics of one registration.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct RegistrationStats {
    /// The service.
    pub service: String,
    /// The instance's id.
    pub instance_id: String,
    /// The registered `host:port`.
    pub address: String,
    /// Its state.
    pub state: RegistrationState,
    /// Seconds since a registry last confirmed it; `None` if none ever has.
    pub last_beat_s: Option<f64>,
    /// Confirmed heartbeats.
    pub beats: u64,
    /// How often it had to be registered again.
    pub reregistrations: u64,
    /// The last error.
    pub last_error: Option<String>,
}
