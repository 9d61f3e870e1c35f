//! Watching a registry that has nothing to listen to: `read` each service in use, every so often.
//!
//! One job at a time goes through the services one after the other, so that a registry that has stalled
//! holds up one worker for one request. A registry that fails is left alone for a while
//! ([`Reconnect`]) before anything else is asked of it.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::sync::Mutex;

use super::reconnect::Reconnect;
use super::{Registry, Sink, Wait, Watch};
use crate::error::Result;
use crate::interrupt::Closing;
use crate::runtime::{Priority, Runtime};

/// A watch by polling.
pub struct Polling {
    rounds: Arc<Rounds>,
}

struct Rounds {
    registry: Arc<dyn Registry>,
    sink: Arc<dyn Sink>,
    runtime: Runtime,
    interval: Duration,
    timeout: Duration,
    state: Mutex<State>,
    /// Ends requests under way once the watch is dropped.
    closing: Closing,
}

#[derive(Default)]
struct State {
    wanted: BTreeSet<String>,
    /// To be asked about at once, used or not.
    urgent: BTreeSet<String>,
    all: bool,
    /// Counts the appointments made; only the latest is kept.
    appointment: u64,
    running: bool,
    reconnect: Reconnect,
}

impl Polling {
    /// Polls `registry` every `interval` ±20 %, each request within `timeout`.
    pub fn new(
        registry: Arc<dyn Registry>,
        sink: Arc<dyn Sink>,
        runtime: Runtime,
        interval: Duration,
        timeout: Duration,
    ) -> Polling {
        Polling {
            rounds: Arc::new(Rounds {
                registry,
                sink,
                runtime,
                interval,
                timeout,
                state: Mutex::default(),
                closing: Closing::default(),
            }),
        }
    }
}

impl Watch for Polling {
    fn want(&self, service: &str) {
        self.rounds.hurry(|state| {
            state.wanted.insert(service.to_owned()) && state.urgent.insert(service.to_owned())
        });
    }

    fn forget(&self, service: &str) {
        self.rounds.state.lock().wanted.remove(service);
    }

    fn want_all(&self) {
        self.rounds.hurry(|state| !std::mem::replace(&mut state.all, true));
    }

    fn refresh(&self, service: &str) {
        self.rounds.hurry(|state| state.urgent.insert(service.to_owned()));
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        self.rounds.closing.close();
    }
}

impl Rounds {
    /// Notes something, and if it was news begins a round at once, unless one runs or the registry is lost.
    fn hurry(self: &Arc<Self>, note: impl FnOnce(&mut State) -> bool) {
        let mut state = self.state.lock();
        if note(&mut state) && !state.running && !state.reconnect.is_lost() {
            self.appoint(&mut state, Duration::ZERO);
        }
    }

    fn appoint(self: &Arc<Self>, state: &mut State, wait: Duration) {
        state.appointment += 1;
        let (appointment, rounds) = (state.appointment, Arc::downgrade(self));
        self.runtime
            .after(wait, self.registry.lane(), Priority::Poll, move || Rounds::begin(&rounds, appointment));
    }

    fn begin(rounds: &Weak<Rounds>, appointment: u64) {
        let Some(rounds) = rounds.upgrade() else { return };
        {
            let mut state = rounds.state.lock();
            if state.appointment != appointment || state.running {
                return;
            }
            state.running = true;
        }
        let outcome = rounds.round();
        let mut state = rounds.state.lock();
        state.running = false;
        let wait = match outcome {
            Ok(()) => {
                state.reconnect.found();
                if state.urgent.is_empty() { jittered(rounds.interval) } else { Duration::ZERO }
            }
            Err(_) => state.reconnect.lost(rounds.registry.ttl(), fastrand::f64()),
        };
        rounds.appoint(&mut state, wait);
    }

    fn round(&self) -> Result<()> {
        let outcome =
            self.services().and_then(|due| due.iter().try_for_each(|service| self.look_at(service)));
        if let Err(error) = &outcome
            && !self.closing.is_closed()
        {
            self.sink.lost(error.clone());
        }
        outcome
    }

    fn services(&self) -> Result<BTreeSet<String>> {
        let (mut due, all) = {
            let mut state = self.state.lock();
            let mut due = std::mem::take(&mut state.urgent);
            due.extend(state.wanted.iter().filter(|service| self.sink.is_used(service)).cloned());
            (due, state.all)
        };
        if all {
            let names = self.registry.services(&Wait::new(self.timeout, &self.closing))?;
            // A name once seen is asked about ever after: its end is to be seen too.
            let mut state = self.state.lock();
            state.wanted.extend(names);
            due.extend(state.wanted.iter().cloned());
        }
        Ok(due)
    }

    fn look_at(&self, service: &str) -> Result<()> {
        let heard = self.registry.read(service, &Wait::new(self.timeout, &self.closing))?;
        self.sink.heard(heard);
        Ok(())
    }
}

/// ±20 %, so that many clients do not ask in step.
pub(super) fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(0.8 + 0.4 * fastrand::f64())
}
