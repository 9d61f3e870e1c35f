//! Following what happens: each service in use is looked at again when its records have run out.
//!
//! One job at a time goes through the services that are due, one after the other. What a name server answers about
//! one name (that it failed, that it refuses) is that name's affair: it is tried again by itself, and the others go on.
//! When no server answers at all, nothing is asked for a while ([`Reconnect`]).

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Dns;
use crate::clock::{self, Tick};
use crate::error::Error;
use crate::interrupt::Closing;
use crate::registry::reconnect::Reconnect;
use crate::registry::{Registry, RegistryUpdate, Sink, Wait, Watch};
use crate::runtime::Priority;
use crate::sync::Mutex;

/// Everything that is followed in one registry by one client.
struct Rounds {
    dns: Arc<Dns>,
    sink: Arc<dyn Sink>,
    /// Ends a look under way once the watch is dropped.
    closing: Closing,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    names: BTreeMap<String, Followed>,
    /// Counts the appointments made; only the latest is kept.
    appointment: u64,
    is_running: bool,
    /// How it stands with the servers.
    reconnect: Reconnect,
}

/// One service.
struct Followed {
    due: Tick,
    /// To be looked at even if nobody uses it.
    is_urgent: bool,
    /// How long its records last.
    lasts: Duration,
    /// How it stands with this name alone.
    reconnect: Reconnect,
}

struct Handle(Arc<Rounds>);

pub(super) fn begin(dns: Arc<Dns>, sink: Arc<dyn Sink>) -> Box<dyn Watch> {
    Box::new(Handle(Arc::new(Rounds { dns, sink, closing: Closing::default(), state: Mutex::default() })))
}

impl Watch for Handle {
    fn want(&self, service: &str) {
        if let Err(error) = self.0.dns.template.wanted(service) {
            // It will never be anything else; whoever reads it is told so.
            tracing::warn!(source = %self.0.dns.source(), service, %error, "not followed");
            return;
        }
        let mut state = self.0.state.lock();
        if !state.names.contains_key(service) {
            state.names.insert(service.to_owned(), Followed::new());
            self.0.hurry(&mut state);
        }
    }

    fn forget(&self, service: &str) {
        self.0.state.lock().names.remove(service);
    }

    fn want_all(&self) {
        // Nobody can say which there are: those that are used by their names are followed anyway.
        tracing::warn!(source = %self.0.dns.source(), "DNS does not say which services there are; only those in use are followed");
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
        let (lasts, reconnect) = (Duration::ZERO, Reconnect::default());
        Followed { due: Tick::ZERO, is_urgent: true, lasts, reconnect }
    }

    fn hurry(&mut self) {
        self.due = Tick::ZERO;
        self.is_urgent = true;
    }
}

impl Rounds {
    /// Something is due; nothing is hurried that runs already, or whose servers are away.
    fn hurry(self: &Arc<Self>, state: &mut State) {
        if !state.is_running && !state.reconnect.is_lost() {
            self.appoint(state, Tick::ZERO);
        }
    }

    fn appoint(self: &Arc<Self>, state: &mut State, at: Tick) {
        state.appointment += 1;
        let (appointment, rounds) = (state.appointment, Arc::downgrade(self));
        let work = move || Rounds::begin(&rounds, appointment);
        self.dns.runtime.at(at, self.dns.lane(), Priority::Poll, work);
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

    /// Looks at all that is due; when to go on, if the servers are away.
    fn round(&self) -> Option<Tick> {
        while let Some((service, is_urgent)) = self.next_due() {
            if !is_urgent && !self.sink.is_used(&service) {
                self.look_later(&service);
                continue;
            }
            match self.dns.look(&service, &Wait::new(self.dns.timeout, &self.closing)) {
                _ if self.closing.is_closed() => return None,
                Ok((heard, lasts)) => self.heard(&service, heard, lasts),
                Err(failure) if failure.is_heard => self.failed(&service, failure.error),
                Err(failure) => return Some(self.lost(&service, failure.error)),
            }
        }
        None
    }

    /// The one that has been due the longest, and whether it is urgent.
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
        self.sink.heard(heard);
        let mut state = self.state.lock();
        state.reconnect.found();
        if let Some(followed) = state.names.get_mut(service) {
            *followed = Followed {
                due: clock::now().after(later(lasts)),
                is_urgent: false,
                lasts,
                reconnect: Reconnect::default(),
            };
        }
    }

    /// No server answered: when to go on. The others have their turn first then, should it be this name's fault.
    fn lost(&self, service: &str, error: Error) -> Tick {
        self.sink.lost(error);
        let mut state = self.state.lock();
        let next = clock::now().after(state.reconnect.lost(self.dns.ttl(), fastrand::f64()));
        if let Some(followed) = state.names.get_mut(service) {
            followed.due = next;
        }
        next
    }

    /// A server answered, but not what there is of this name.
    fn failed(&self, service: &str, error: Error) {
        let mut state = self.state.lock();
        state.reconnect.found();
        let are_others_well =
            state.names.iter().any(|(name, followed)| name != service && followed.is_well());
        let Some(followed) = state.names.get_mut(service) else { return };
        let is_news = !followed.reconnect.is_lost();
        let pause = followed.reconnect.lost(self.dns.ttl(), fastrand::f64());
        followed.due = clock::now().after(pause);
        followed.is_urgent = false;
        drop(state);
        if !are_others_well {
            self.sink.lost(error);
        } else if is_news {
            tracing::warn!(source = %self.dns.source(), service, %error, "its last list serves on");
        }
    }
}

impl Followed {
    /// Whether the last look at it brought an answer.
    fn is_well(&self) -> bool {
        !self.lasts.is_zero() && !self.reconnect.is_lost()
    }
}

/// After the records have run out, for a cache on the way would only repeat them; and not all clients in step.
fn later(lasts: Duration) -> Duration {
    lasts.mul_f64(1.0 + 0.2 * fastrand::f64())
}
