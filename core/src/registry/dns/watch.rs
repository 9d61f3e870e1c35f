//! Watches services: each service in use is looked up again when its records have expired.
//!
//! One job looks up the due services one after the other. A failure that a name server reports for one name concerns only
//! that name: it is retried separately, and the others go on. If no server answers, all lookups pause for a while
//! ([`ReconnectBackoff`]).

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Dns;
use crate::clock::{self, Tick};
use crate::error::Error;
use crate::interrupt::Closing;
use crate::registry::reconnect::ReconnectBackoff;
use crate::registry::types::{Registry, RegistryUpdate, UpdateSink, WaitLimit, WatchHandle};
use crate::runtime::Priority;
use crate::sync::Mutex;

/// Everything that one client watches in one registry.
struct Rounds {
    dns: Arc<Dns>,
    sink: Arc<dyn UpdateSink>,
    /// Interrupts a lookup in flight once the watch is dropped.
    closing: Closing,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    names: BTreeMap<String, Followed>,
    /// Numbers the scheduled rounds; only the latest one runs.
    appointment: u64,
    is_running: bool,
    /// The backoff while no server answers.
    reconnect: ReconnectBackoff,
}

/// One watched service.
struct Followed {
    due: Tick,
    /// To be looked up even if it is not in use.
    is_urgent: bool,
    /// How long its records are valid.
    lasts: Duration,
    /// The backoff of this name alone.
    reconnect: ReconnectBackoff,
}

struct Handle(Arc<Rounds>);

pub(super) fn begin(dns: Arc<Dns>, sink: Arc<dyn UpdateSink>) -> Box<dyn WatchHandle> {
    Box::new(Handle(Arc::new(Rounds { dns, sink, closing: Closing::default(), state: Mutex::default() })))
}

impl WatchHandle for Handle {
    fn subscribe(&self, service: &str) {
        if let Err(error) = self.0.dns.template.wanted(service) {
            // The name will never be valid; reading it returns the error.
            tracing::warn!(source = %self.0.dns.source(), service, %error, "service is not watched");
            return;
        }
        let mut state = self.0.state.lock();
        if !state.names.contains_key(service) {
            state.names.insert(service.to_owned(), Followed::new());
            self.0.hurry(&mut state);
        }
    }

    fn unsubscribe(&self, service: &str) {
        self.0.state.lock().names.remove(service);
    }

    fn subscribe_all(&self) {
        // Services that are used by name are watched anyway.
        tracing::warn!(source = %self.0.dns.source(), "DNS cannot list all services; only services in use are watched");
    }

    fn refresh(&self, service: &str) {
        let mut state = self.0.state.lock();
        if let Some(followed) = state.names.get_mut(service) {
            followed.hurry();
            self.0.hurry(&mut state);
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.closing.close();
    }
}

impl Followed {
    fn new() -> Followed {
        let (lasts, reconnect) = (Duration::ZERO, ReconnectBackoff::default());
        Followed { due: Tick::ZERO, is_urgent: true, lasts, reconnect }
    }

    fn hurry(&mut self) {
        self.due = Tick::ZERO;
        self.is_urgent = true;
    }
}

impl Rounds {
    /// Starts a round at once, unless one is running or no server answers.
    fn hurry(self: &Arc<Self>, state: &mut State) {
        if !state.is_running && !state.reconnect.is_failing() {
            self.appoint(state, Tick::ZERO);
        }
    }

    fn appoint(self: &Arc<Self>, state: &mut State, at: Tick) {
        state.appointment += 1;
        let (appointment, rounds) = (state.appointment, Arc::downgrade(self));
        let work = move || Rounds::begin(&rounds, appointment);
        self.dns.runtime.at(at, self.dns.queue(), Priority::Poll, work);
    }

    fn begin(rounds: &Weak<Rounds>, appointment: u64) {
        let Some(rounds) = rounds.upgrade() else { return };
        {
            let mut state = rounds.state.lock();
            if state.appointment != appointment || state.is_running {
                return;
            }
            state.is_running = true;
        }
        let pause = rounds.round();
        let mut state = rounds.state.lock();
        state.is_running = false;
        let next = pause.or_else(|| state.names.values().map(|followed| followed.due).min());
        if let Some(at) = next.filter(|_| !rounds.closing.is_closed()) {
            rounds.appoint(&mut state, at);
        }
    }

    /// Looks up all due services. If no server answers: when to go on.
    fn round(&self) -> Option<Tick> {
        while let Some((service, is_urgent)) = self.next_due() {
            if !is_urgent && !self.sink.is_in_use(&service) {
                self.look_later(&service);
                continue;
            }
            match self.dns.look(&service, &WaitLimit::new(self.dns.timeout, &self.closing)) {
                _ if self.closing.is_closed() => return None,
                Ok((heard, lasts)) => self.heard(&service, heard, lasts),
                Err(failure) if failure.is_heard => self.failed(&service, failure.error),
                Err(failure) => return Some(self.lost(&service, failure.error)),
            }
        }
        None
    }

    /// The service that has been due the longest, and whether it is urgent.
    fn next_due(&self) -> Option<(String, bool)> {
        let now = clock::now();
        let state = self.state.lock();
        let (service, followed) = state.names.iter().min_by_key(|(_, followed)| followed.due)?;
        (followed.due <= now).then(|| (service.clone(), followed.is_urgent))
    }

    fn look_later(&self, service: &str) {
        if let Some(followed) = self.state.lock().names.get_mut(service) {
            followed.due = clock::now().after(later(followed.lasts));
        }
    }

    fn heard(&self, service: &str, heard: RegistryUpdate, lasts: Duration) {
        self.sink.on_update(heard);
        let mut state = self.state.lock();
        state.reconnect.succeeded();
        if let Some(followed) = state.names.get_mut(service) {
            *followed = Followed {
                due: clock::now().after(later(lasts)),
                is_urgent: false,
                lasts,
                reconnect: ReconnectBackoff::default(),
            };
        }
    }

    /// No server answered. Returns when to go on; other names come first then, in case this name causes the failure.
    fn lost(&self, service: &str, error: Error) -> Tick {
        self.sink.on_failure(error);
        let mut state = self.state.lock();
        let next = clock::now().after(state.reconnect.failed(self.dns.ttl(), fastrand::f64()));
        if let Some(followed) = state.names.get_mut(service) {
            followed.due = next;
        }
        next
    }

    /// A server reported a failure for this name.
    fn failed(&self, service: &str, error: Error) {
        let mut state = self.state.lock();
        state.reconnect.succeeded();
        let are_others_well =
            state.names.iter().any(|(name, followed)| name != service && followed.is_well());
        let Some(followed) = state.names.get_mut(service) else { return };
        let is_news = !followed.reconnect.is_failing();
        let pause = followed.reconnect.failed(self.dns.ttl(), fastrand::f64());
        followed.due = clock::now().after(pause);
        followed.is_urgent = false;
        drop(state);
        if !are_others_well {
            self.sink.on_failure(error);
        } else if is_news {
            tracing::warn!(source = %self.dns.source(), service, %error, "lookup failed; the last list stays in use");
        }
    }
}

impl Followed {
    /// Whether the last lookup succeeded.
    fn is_well(&self) -> bool {
        !self.lasts.is_zero() && !self.reconnect.is_failing()
    }
}

/// The next lookup is due after the records have expired, because a cache would only return them again. Up to 20 % later,
/// so that clients do not send their queries at the same time.
fn later(lasts: Duration) -> Duration {
    lasts.mul_f64(1.0 + 0.2 * fastrand::f64())
}
