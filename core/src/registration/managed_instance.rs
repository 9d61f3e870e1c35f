//! One registration: its latest data and its state at each registry.

use std::time::Duration;

use crate::sync::{Condvar, Mutex};
use serde::Serialize;

use super::RegistrationStats;
use super::registry_status::{RegistryStatus, is_refusal};
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::interrupt::SLICE;
use crate::model::Instance;
use crate::registry::{HeartbeatResult, RegistryEntry, ReportedHealth, WaitLimit};

/// How long closing waits for a heartbeat in flight before it deregisters anyway.
const IN_FLIGHT_HEARTBEAT_TIMEOUT: Duration = Duration::from_millis(500);

/// The state of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RegistrationState {
    /// Its port does not accept connections yet; it is registered once it does.
    WaitingForPort,
    /// Its first registration is in progress.
    Registering,
    /// At least one registry holds it.
    Registered,
    /// No registry is available; it is registered as soon as one is.
    Unreachable,
    /// The registry refused it; retried with every heartbeat.
    Refused,
    /// Closed.
    Closed,
}

pub(super) struct ManagedInstance {
    pub(super) id: u64,
    data: Mutex<ManagedState>,
    changed: Condvar,
}

struct ManagedState {
    entry: RegistryEntry,
    /// Counts the changes of the data; a registry that confirmed this revision holds the latest data.
    revision: u64,
    published: bool,
    closing: Closing,
    at: Vec<RegistryStatus>,
    last_error: Option<Error>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Closing {
    Open,
    Begun,
    Done,
}

/// The request to send for an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RoundTask {
    /// The registry does not hold the latest data.
    Register,
    /// The registry holds the latest data.
    Heartbeat,
}

/// Which instances a round covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RoundScope {
    /// All instances.
    Everything,
    /// Instances whose latest data the registry does not hold.
    News,
}

/// An entry as it was sent.
pub(super) struct SentEntry {
    pub(super) entry: RegistryEntry,
    pub(super) revision: u64,
    pub(super) task: RoundTask,
}

impl ManagedInstance {
    pub(super) fn new(instance: Instance, writers: usize, id: u64) -> ManagedInstance {
        let health =
            if instance.healthy { ReportedHealth::Unspecified } else { ReportedHealth::Reported(false) };
        let entry = RegistryEntry { instance, generation: generation(), health };
        let data = ManagedState {
            entry,
            revision: 1,
            published: false,
            closing: Closing::Open,
            at: (0..writers).map(|_| RegistryStatus::default()).collect(),
            last_error: None,
        };
        ManagedInstance { id, data: Mutex::new(data), changed: Condvar::new() }
    }

    // === properties ===

    pub(super) fn instance(&self) -> Instance {
        self.data.lock().entry.instance.clone()
    }

    pub(super) fn address(&self) -> String {
        address_of(&self.data.lock().entry.instance)
    }

    pub(super) fn state(&self) -> RegistrationState {
        self.data.lock().state()
    }

    pub(super) fn last_error(&self) -> Option<Error> {
        self.data.lock().shown_error().cloned()
    }

    pub(super) fn ttl(&self) -> Duration {
        self.data.lock().entry.instance.ttl.unwrap_or(crate::registry::DEFAULT_TTL)
    }

    pub(super) fn stats(&self) -> RegistrationStats {
        let data = self.data.lock();
        let now = clock::now();
        let confirmed = data.at.iter().filter_map(|at| at.confirmed).max();
        RegistrationStats {
            service: data.entry.instance.service.clone(),
            instance_id: data.entry.instance.instance_id.clone(),
            address: address_of(&data.entry.instance),
            state: data.state(),
            last_beat_s: confirmed.map(|at| now.since(at).as_secs_f64()),
            beats: data.at.iter().map(|at| at.heartbeats).sum(),
            reregistrations: data.at.iter().map(|at| at.reregistrations).sum(),
            last_error: data.shown_error().map(ToString::to_string),
        }
    }

    // === what the program says ===

    /// The port answers. `lost`: what is known to be wrong with each registry at present.
    pub(super) fn publish(&self, lost: &[Option<Error>]) {
        let mut data = self.data.lock();
        data.published = true;
        data.at
            .iter_mut()
            .zip(lost)
            .for_each(|(at, lost)| at.error = at.error.take().or_else(|| lost.clone()));
        self.changed.notify_all();
    }

    /// Replaces the data that registries receive.
    pub(super) fn update(&self, instance: Instance) -> Result<()> {
        let mut data = self.data.lock();
        if data.closing != Closing::Open {
            return Err(Error::new(Kind::Closed, "the registration was closed"));
        }
        let before = data.entry.clone();
        if instance.healthy != before.instance.healthy || before.health != ReportedHealth::Unspecified {
            data.entry.health = ReportedHealth::Reported(instance.healthy);
        }
        let moved = identity(&instance) != identity(&before.instance);
        if moved {
            // A new generation, so that closing the old identity does not remove a new one with the same id.
            data.entry.generation = generation();
            data.at.iter_mut().filter(|at| at.sent).for_each(|at| {
                at.former.push(before.clone());
                at.sent = false;
                at.known = None;
            });
        }
        if (Instance { healthy: before.instance.healthy, ..instance.clone() }) != before.instance {
            data.revision += 1;
        }
        data.entry.instance = instance;
        Ok(())
    }

    // === rounds ===

    /// Takes what to send to a registry now, and marks it as in flight; `None` if there is nothing to send.
    pub(super) fn take_task(&self, writer: usize, scope: RoundScope) -> Option<SentEntry> {
        let mut data = self.data.lock();
        if !data.published
            || data.closing != Closing::Open
            || (scope == RoundScope::News && !data.has_news(writer))
        {
            return None;
        }
        let (entry, revision) = (data.entry.clone(), data.revision);
        let at = &mut data.at[writer];
        at.in_flight = true;
        at.sent = true;
        let task = if at.known == Some(revision) { RoundTask::Heartbeat } else { RoundTask::Register };
        Some(SentEntry { entry, revision, task })
    }

    /// Whether a registry does not hold the latest data.
    pub(super) fn has_news(&self, writer: usize) -> bool {
        let data = self.data.lock();
        data.published && data.has_news(writer)
    }

    /// Records the outcome of a registration.
    pub(super) fn registered(&self, writer: usize, sent: &SentEntry, outcome: Result<()>) {
        let mut data = self.data.lock();
        let at = &mut data.at[writer];
        let again = at.confirmed.is_some() && sent.task == RoundTask::Heartbeat;
        match outcome {
            Ok(()) => {
                at.known = Some(sent.revision);
                at.health = sent.entry.health;
                at.confirm();
                at.reregistrations += u64::from(again);
                data.health_reported(sent);
            }
            Err(error) => at.fail(error),
        }
        self.changed.notify_all();
    }

    /// Records the outcome of a heartbeat. Returns whether it has to be registered again.
    pub(super) fn heartbeat_done(
        &self,
        writer: usize,
        source: &str,
        sent: &SentEntry,
        outcome: Result<HeartbeatResult>,
    ) -> bool {
        let mut data = self.data.lock();
        let at = &mut data.at[writer];
        let is_unknown = matches!(outcome, Ok(HeartbeatResult::Unknown));
        match outcome {
            Ok(HeartbeatResult::Renewed) => {
                at.count_heartbeat();
                at.health = sent.entry.health;
                at.confirm();
                data.health_reported(sent);
            }
            Ok(HeartbeatResult::Unknown) => {
                at.known = None;
                if at.count_forgotten() {
                    let id = &sent.entry.instance.instance_id;
                    tracing::warn!(
                        source,
                        instance_id = id,
                        "the registry keeps losing this instance; is another process using this instance id?"
                    );
                }
            }
            Err(error) => at.fail(error),
        }
        self.changed.notify_all();
        is_unknown && data.closing == Closing::Open
    }

    /// No request of it is in flight any more.
    pub(super) fn no_longer_in_flight(&self, writer: usize) {
        self.data.lock().at[writer].in_flight = false;
        self.changed.notify_all();
    }

    /// The registry became unavailable before this instance was sent.
    pub(super) fn unreachable(&self, writer: usize, error: &Error) {
        self.data.lock().at[writer].error = Some(error.clone());
        self.changed.notify_all();
    }

    /// Takes the former identities to deregister, once the registry holds the present one.
    pub(super) fn take_former(&self, writer: usize) -> Vec<RegistryEntry> {
        let mut data = self.data.lock();
        let revision = data.revision;
        let at = &mut data.at[writer];
        if at.known == Some(revision) { std::mem::take(&mut at.former) } else { Vec::new() }
    }

    /// Keeps a former identity whose deregistration failed.
    pub(super) fn return_former(&self, writer: usize, entry: RegistryEntry) {
        self.data.lock().at[writer].former.push(entry);
    }

    // === waiting ===

    /// Waits until a registry holds it, or all have answered. Fails only if one refuses the credentials or the
    /// permission.
    pub(super) fn wait_for_answer(&self, wait: &WaitLimit<'_>) -> Result<()> {
        loop {
            // Not under the lock: the caller's code may use this registration.
            wait.interrupt.check()?;
            let mut data = self.data.lock();
            let denied = data.at.iter().filter_map(|at| at.error.as_ref()).find(|error| is_denial(error));
            match data.state() {
                RegistrationState::Registered | RegistrationState::Closed => return Ok(()),
                _ if data.at.iter().all(|at| at.error.is_some()) => {
                    return denied.map_or(Ok(()), |error| Err(error.clone()));
                }
                _ => {}
            }
            let left = wait.deadline.left(clock::now());
            if left.is_zero() {
                return denied.map_or(Ok(()), |error| Err(error.clone()));
            }
            self.changed.wait_for(&mut data, left.min(SLICE));
        }
    }

    /// Waits until it is registered.
    pub(super) fn wait_registered(&self, wait: &WaitLimit<'_>) -> Result<()> {
        loop {
            wait.interrupt.check()?;
            let mut data = self.data.lock();
            let state = data.state();
            match (state, data.shown_error()) {
                (RegistrationState::Registered, _) => return Ok(()),
                (RegistrationState::Closed, _) => {
                    return Err(Error::new(Kind::Closed, "the registration was closed"));
                }
                (RegistrationState::Refused, Some(error)) if is_final(error) => return Err(error.clone()),
                _ => {}
            }
            let left = wait.deadline.left(clock::now());
            if left.is_zero() {
                let why = match state {
                    RegistrationState::WaitingForPort => "its port does not answer yet",
                    _ => "no registry has answered yet",
                };
                let still = Error::new(Kind::Timeout, format!("registration timed out: {why}"));
                return Err(data.shown_error().cloned().unwrap_or(still));
            }
            self.changed.wait_for(&mut data, left.min(SLICE));
        }
    }

    // === closing ===

    pub(super) fn is_closing(&self) -> bool {
        self.data.lock().closing != Closing::Open
    }

    /// Stops sending it; false if it was closing before.
    pub(super) fn begin_closing(&self) -> bool {
        let mut data = self.data.lock();
        let first = data.closing == Closing::Open;
        if first {
            data.closing = Closing::Begun;
            self.changed.notify_all();
        }
        first
    }

    /// Takes every entry that a registry may hold, and whether a heartbeat of it may still arrive there.
    pub(super) fn take_entries(&self, writer: usize, wait: &WaitLimit<'_>) -> Vec<(RegistryEntry, bool)> {
        let mut data = self.data.lock();
        let until = wait.deadline.tightened(clock::now().after(IN_FLIGHT_HEARTBEAT_TIMEOUT));
        while data.at[writer].in_flight && !until.passed(clock::now()) {
            self.changed.wait_for(&mut data, until.left(clock::now()));
        }
        let present = data.entry.clone();
        let at = &mut data.at[writer];
        let doubtful = at.in_flight || at.doubtful;
        let present = at.sent.then_some(present);
        std::mem::take(&mut at.former).into_iter().chain(present).map(|entry| (entry, doubtful)).collect()
    }

    pub(super) fn finish_closing(&self) {
        self.data.lock().closing = Closing::Done;
        self.changed.notify_all();
    }

    pub(super) fn set_last_error(&self, error: Error) {
        self.data.lock().last_error = Some(error);
    }
}

impl ManagedState {
    fn state(&self) -> RegistrationState {
        if self.closing != Closing::Open {
            return RegistrationState::Closed;
        }
        if !self.published {
            return RegistrationState::WaitingForPort;
        }
        if self.at.iter().any(|at| at.known.is_some() && at.error.is_none()) {
            return RegistrationState::Registered;
        }
        match self.at.iter().filter_map(|at| at.error.as_ref()).map(is_refusal).max() {
            Some(true) => RegistrationState::Refused,
            Some(false) => RegistrationState::Unreachable,
            None => RegistrationState::Registering,
        }
    }

    fn has_news(&self, writer: usize) -> bool {
        let at = &self.at[writer];
        let health = self.entry.health;
        at.known != Some(self.revision)
            || !at.former.is_empty()
            || (health != ReportedHealth::Unspecified && health != at.health)
    }

    /// The most important error; none while it is registered.
    fn shown_error(&self) -> Option<&Error> {
        if self.state() == RegistrationState::Registered {
            return None;
        }
        let errors = self.at.iter().filter_map(|at| at.error.as_ref());
        errors.max_by_key(|error| is_refusal(error)).or(self.last_error.as_ref())
    }

    /// "Healthy again" is sent once; "unhealthy" is sent with every heartbeat.
    fn health_reported(&mut self, sent: &SentEntry) {
        if sent.entry.health == ReportedHealth::Reported(true)
            && self.entry.health == ReportedHealth::Reported(true)
        {
            self.entry.health = ReportedHealth::Unspecified;
        }
    }
}

fn address_of(instance: &Instance) -> String {
    let (host, port) = (&instance.host, instance.port);
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn identity(instance: &Instance) -> (&str, &str, &str, u16, &str) {
    (&instance.service, &instance.instance_id, &instance.host, instance.port, &instance.protocol)
}

/// Whether a retry cannot help: the credentials or the data have to change.
fn is_final(error: &Error) -> bool {
    is_denial(error) || error.kind() == Kind::InvalidArgument
}

fn is_denial(error: &Error) -> bool {
    matches!(error.kind(), Kind::Unauthenticated | Kind::PermissionDenied)
}

/// A random id that distinguishes one `register()` from another.
fn generation() -> String {
    format!("{:016x}", fastrand::u64(..))
}
