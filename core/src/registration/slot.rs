//! One registration: what the program said last, and how far each registry knows it.

use std::time::Duration;

use crate::sync::{Condvar, Mutex};
use serde::Serialize;

use super::RegistrationStats;
use super::standing::{AtStore, is_refusal};
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::interrupt::SLICE;
use crate::model::Instance;
use crate::registry::{HeartbeatResult, RegistryEntry, ReportedHealth, WaitLimit};

/// How long closing waits for a beat on its way before it goes ahead all the same.
const BEAT_ON_ITS_WAY: Duration = Duration::from_millis(500);

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

pub(super) struct Slot {
    pub(super) id: u64,
    data: Mutex<Data>,
    changed: Condvar,
}

struct Data {
    entry: RegistryEntry,
    /// Counts what was said; a registry knows the latest if it knows this one.
    revision: u64,
    published: bool,
    closing: Closing,
    at: Vec<AtStore>,
    last_error: Option<Error>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Closing {
    Open,
    Begun,
    Done,
}

/// What is to be done for a slot at one registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// It does not know the latest.
    Register,
    /// It does.
    Heartbeat,
}

/// What a round is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Everybody.
    Everything,
    /// Those of whom the registry does not know the latest.
    News,
}

/// What was sent, to be reported on.
pub(super) struct Sent {
    pub(super) entry: RegistryEntry,
    pub(super) revision: u64,
    pub(super) task: Task,
}

impl Slot {
    pub(super) fn new(instance: Instance, stores: usize, id: u64) -> Slot {
        let health =
            if instance.healthy { ReportedHealth::Unspecified } else { ReportedHealth::Reported(false) };
        let entry = RegistryEntry { instance, generation: generation(), health };
        let data = Data {
            entry,
            revision: 1,
            published: false,
            closing: Closing::Open,
            at: (0..stores).map(|_| AtStore::default()).collect(),
            last_error: None,
        };
        Slot { id, data: Mutex::new(data), changed: Condvar::new() }
    }

    // === what it is ===

    pub(super) fn instance(&self) -> Instance {
        self.data.lock().entry.instance.clone()
    }

    pub(super) fn address(&self) -> String {
        address_of(&self.data.lock().entry.instance)
    }

    pub(super) fn state(&self) -> State {
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
            beats: data.at.iter().map(|at| at.beats).sum(),
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

    /// Says something else from now on. Whether any registry has to hear of it.
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
            // Closing the old one must not refuse the new one, should they share an id.
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

    /// What is to be sent to a registry now, marked as on its way; `None` if nothing, or no longer.
    pub(super) fn take_task(&self, store: usize, scope: Scope) -> Option<Sent> {
        let mut data = self.data.lock();
        if !data.published || data.closing != Closing::Open || (scope == Scope::News && !data.has_news(store))
        {
            return None;
        }
        let (entry, revision) = (data.entry.clone(), data.revision);
        let at = &mut data.at[store];
        at.in_flight = true;
        at.sent = true;
        let task = if at.known == Some(revision) { Task::Heartbeat } else { Task::Register };
        Some(Sent { entry, revision, task })
    }

    /// Whether a registry does not know the latest.
    pub(super) fn has_news(&self, store: usize) -> bool {
        let data = self.data.lock();
        data.published && data.has_news(store)
    }

    /// It has been registered, or not.
    pub(super) fn registered(&self, store: usize, sent: &Sent, outcome: Result<()>) {
        let mut data = self.data.lock();
        let at = &mut data.at[store];
        let again = at.confirmed.is_some() && sent.task == Task::Heartbeat;
        match outcome {
            Ok(()) => {
                at.known = Some(sent.revision);
                at.health = sent.entry.health;
                at.confirm();
                at.reregistrations += u64::from(again);
                data.health_was_told(sent);
            }
            Err(error) => at.fail(error),
        }
        self.changed.notify_all();
    }

    /// It was beaten for. Whether it has to be registered again.
    pub(super) fn beaten(
        &self,
        store: usize,
        source: &str,
        sent: &Sent,
        outcome: Result<HeartbeatResult>,
    ) -> bool {
        let mut data = self.data.lock();
        let at = &mut data.at[store];
        let is_unknown = matches!(outcome, Ok(HeartbeatResult::Unknown));
        match outcome {
            Ok(HeartbeatResult::Renewed) => {
                at.kept();
                at.health = sent.entry.health;
                at.confirm();
                data.health_was_told(sent);
            }
            Ok(HeartbeatResult::Unknown) => {
                at.known = None;
                if at.forgot() {
                    let id = &sent.entry.instance.instance_id;
                    tracing::warn!(
                        source,
                        instance_id = id,
                        "forgotten at each beat, and registered again: does another program have this instance id?"
                    );
                }
            }
            Err(error) => at.fail(error),
        }
        self.changed.notify_all();
        is_unknown && data.closing == Closing::Open
    }

    /// Nothing of it is on its way any more.
    pub(super) fn landed(&self, store: usize) {
        self.data.lock().at[store].in_flight = false;
        self.changed.notify_all();
    }

    /// The registry is away; this slot's turn did not even come.
    pub(super) fn unreachable(&self, store: usize, error: &Error) {
        self.data.lock().at[store].error = Some(error.clone());
        self.changed.notify_all();
    }

    /// Identities to be removed, now that the registry knows the present one.
    pub(super) fn take_former(&self, store: usize) -> Vec<RegistryEntry> {
        let mut data = self.data.lock();
        let revision = data.revision;
        let at = &mut data.at[store];
        if at.known == Some(revision) { std::mem::take(&mut at.former) } else { Vec::new() }
    }

    /// They could not be removed yet.
    pub(super) fn return_former(&self, store: usize, entry: RegistryEntry) {
        self.data.lock().at[store].former.push(entry);
    }

    // === waiting ===

    /// Waits until some registry knows it, or all have answered; an error only if one wants to know who we are,
    /// or says no.
    pub(super) fn verdict(&self, wait: &WaitLimit<'_>) -> Result<()> {
        loop {
            // The caller's own code, which may ask this very registration: not under its lock.
            wait.interrupt.check()?;
            let mut data = self.data.lock();
            let denied = data.at.iter().filter_map(|at| at.error.as_ref()).find(|error| is_denial(error));
            match data.state() {
                State::Registered | State::Closed => return Ok(()),
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
                (State::Registered, _) => return Ok(()),
                (State::Closed, _) => return Err(Error::new(Kind::Closed, "the registration was closed")),
                (State::Refused, Some(error)) if is_final(error) => return Err(error.clone()),
                _ => {}
            }
            let left = wait.deadline.left(clock::now());
            if left.is_zero() {
                let why = match state {
                    State::WaitingForPort => "its port does not answer yet",
                    _ => "no registry has answered yet",
                };
                let still = Error::new(Kind::Timeout, format!("not registered in time: {why}"));
                return Err(data.shown_error().cloned().unwrap_or(still));
            }
            self.changed.wait_for(&mut data, left.min(SLICE));
        }
    }

    // === the end ===

    pub(super) fn is_closing(&self) -> bool {
        self.data.lock().closing != Closing::Open
    }

    /// From here on nothing of it is sent any more; false if that was so before.
    pub(super) fn begin_closing(&self) -> bool {
        let mut data = self.data.lock();
        let first = data.closing == Closing::Open;
        if first {
            data.closing = Closing::Begun;
            self.changed.notify_all();
        }
        first
    }

    /// Everything that a registry may hold of it, and whether a beat of it may still arrive there.
    pub(super) fn to_withdraw(&self, store: usize, wait: &WaitLimit<'_>) -> Vec<(RegistryEntry, bool)> {
        let mut data = self.data.lock();
        let until = wait.deadline.tightened(clock::now().after(BEAT_ON_ITS_WAY));
        while data.at[store].in_flight && !until.passed(clock::now()) {
            self.changed.wait_for(&mut data, until.left(clock::now()));
        }
        let present = data.entry.clone();
        let at = &mut data.at[store];
        let doubtful = at.in_flight || at.doubtful;
        let present = at.sent.then_some(present);
        std::mem::take(&mut at.former).into_iter().chain(present).map(|entry| (entry, doubtful)).collect()
    }

    pub(super) fn finish_closing(&self) {
        self.data.lock().closing = Closing::Done;
        self.changed.notify_all();
    }

    pub(super) fn note(&self, error: Error) {
        self.data.lock().last_error = Some(error);
    }
}

impl Data {
    fn state(&self) -> State {
        if self.closing != Closing::Open {
            return State::Closed;
        }
        if !self.published {
            return State::WaitingForPort;
        }
        if self.at.iter().any(|at| at.known.is_some() && at.error.is_none()) {
            return State::Registered;
        }
        match self.at.iter().filter_map(|at| at.error.as_ref()).map(is_refusal).max() {
            Some(true) => State::Refused,
            Some(false) => State::Unreachable,
            None => State::Registering,
        }
    }

    fn has_news(&self, store: usize) -> bool {
        let at = &self.at[store];
        let health = self.entry.health;
        at.known != Some(self.revision)
            || !at.former.is_empty()
            || (health != ReportedHealth::Unspecified && health != at.health)
    }

    /// The error that matters most: none while it is registered.
    fn shown_error(&self) -> Option<&Error> {
        if self.state() == State::Registered {
            return None;
        }
        let errors = self.at.iter().filter_map(|at| at.error.as_ref());
        errors.max_by_key(|error| is_refusal(error)).or(self.last_error.as_ref())
    }

    /// "Healthy again" has to be said once; "unhealthy" is said with every beat.
    fn health_was_told(&mut self, sent: &Sent) {
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

/// Waiting does not help: who asks, or what is said, has to be another.
fn is_final(error: &Error) -> bool {
    is_denial(error) || error.kind() == Kind::InvalidArgument
}

fn is_denial(error: &Error) -> bool {
    matches!(error.kind(), Kind::Unauthenticated | Kind::PermissionDenied)
}

/// Tells one `register()` from another.
fn generation() -> String {
    format!("{:016x}", fastrand::u64(..))
}
