//! Watches a registry that does not push changes: reads every service in use at an interval.
//!
//! One job reads the services one after the other, so that a stalled registry occupies one worker for one request. After
//! a failure no request is sent for a while ([`ReconnectBackoff`](super::reconnect::ReconnectBackoff)).

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::sync::Mutex;

use crate::error::Result;
use crate::interrupt::Closing;
use crate::registry::reconnect::ReconnectBackoff;
use crate::registry::types::{Registry, UpdateSink, WaitLimit, WatchHandle};
use crate::runtime::{Priority, Runtime};

/// The handle of a watch by polling.
pub struct Polling {
    rounds: Arc<Rounds>,
}

struct Rounds {
    registry: Arc<dyn Registry>,
    sink: Arc<dyn UpdateSink>,
    runtime: Runtime,
    interval: Duration,
    timeout: Duration,
    state: Mutex<State>,
    /// Interrupts requests in flight once the watch is dropped.
    closing: Closing,
}

#[derive(Default)]
struct State {
    wanted: BTreeSet<String>,
    /// To be read at once, whether in use or not.
    urgent: BTreeSet<String>,
    all: bool,
    /// Numbers the scheduled rounds; only the latest one runs.
    appointment: u64,
    running: bool,
    reconnect: ReconnectBackoff,
}

impl Polling {
    /// Polls `registry` every `interval` ±20 %, with `timeout` for each request.
    pub fn new(
        registry: Arc<dyn Registry>,
        sink: Arc<dyn UpdateSink>,
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

impl WatchHandle for Polling {
    fn subscribe(&self, service: &str) {
        self.rounds.hurry(|state| {
            state.wanted.insert(service.to_owned()) && state.urgent.insert(service.to_owned())
        });
    }

    fn unsubscribe(&self, service: &str) {
        self.rounds.state.lock().wanted.remove(service);
    }

    fn subscribe_all(&self) {
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
    /// Applies a change. If it has an effect, starts a round at once, unless one is running or the registry has failed.
    fn hurry(self: &Arc<Self>, note: impl FnOnce(&mut State) -> bool) {
        let mut state = self.state.lock();
        if note(&mut state) && !state.running && !state.reconnect.is_failing() {
            self.appoint(&mut state, Duration::ZERO);
        }
    }

    fn appoint(self: &Arc<Self>, state: &mut State, wait: Duration) {
        state.appointment += 1;
        let (appointment, rounds) = (state.appointment, Arc::downgrade(self));
        self.runtime
            .after(wait, self.registry.queue(), Priority::Poll, move || Rounds::begin(&rounds, appointment));
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
                state.reconnect.succeeded();
                if state.urgent.is_empty() { jittered(rounds.interval) } else { Duration::ZERO }
            }
            Err(_) => state.reconnect.failed(rounds.registry.ttl(), fastrand::f64()),
        };
        rounds.appoint(&mut state, wait);
    }

    fn round(&self) -> Result<()> {
        let outcome =
            self.services().and_then(|due| due.iter().try_for_each(|service| self.look_at(service)));
        if let Err(error) = &outcome
            && !self.closing.is_closed()
        {
            self.sink.on_failure(error.clone());
        }
        outcome
    }

    fn services(&self) -> Result<BTreeSet<String>> {
        let (mut due, all) = {
            let mut state = self.state.lock();
            let mut due = std::mem::take(&mut state.urgent);
            due.extend(state.wanted.iter().filter(|service| self.sink.is_in_use(service)).cloned());
            (due, state.all)
        };
        if all {
            let names = self.registry.services(&WaitLimit::new(self.timeout, &self.closing))?;
            // A name that was listed once is read from then on, so that its end is noticed too.
            let mut state = self.state.lock();
            state.wanted.extend(names);
            due.extend(state.wanted.iter().cloned());
        }
        Ok(due)
    }

    fn look_at(&self, service: &str) -> Result<()> {
        let heard = self.registry.read(service, &WaitLimit::new(self.timeout, &self.closing))?;
        self.sink.on_update(heard);
        Ok(())
    }
}

/// ±20 %, so that many clients do not send their requests at the same time.
pub(super) fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(0.8 + 0.4 * fastrand::f64())
}
