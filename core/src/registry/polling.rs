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
pub struct PollingWatch {
    poll_loop: Arc<PollLoop>,
}

struct PollLoop {
    registry: Arc<dyn Registry>,
    sink: Arc<dyn UpdateSink>,
    runtime: Runtime,
    interval: Duration,
    timeout: Duration,
    state: Mutex<PollState>,
    /// Interrupts requests in flight once the watch is dropped.
    closing: Closing,
}

#[derive(Default)]
struct PollState {
    subscribed: BTreeSet<String>,
    /// To be read at once, whether in use or not.
    urgent: BTreeSet<String>,
    all: bool,
    /// Numbers the scheduled rounds; only the latest one runs.
    round_id: u64,
    running: bool,
    reconnect: ReconnectBackoff,
}

impl PollingWatch {
    /// Polls `registry` every `interval` ±20 %, with `timeout` for each request.
    pub fn new(
        registry: Arc<dyn Registry>,
        sink: Arc<dyn UpdateSink>,
        runtime: Runtime,
        interval: Duration,
        timeout: Duration,
    ) -> PollingWatch {
        PollingWatch {
            poll_loop: Arc::new(PollLoop {
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

impl WatchHandle for PollingWatch {
    fn subscribe(&self, service: &str) {
        self.poll_loop.schedule_now(|state| {
            state.subscribed.insert(service.to_owned()) && state.urgent.insert(service.to_owned())
        });
    }

    fn unsubscribe(&self, service: &str) {
        self.poll_loop.state.lock().subscribed.remove(service);
    }

    fn subscribe_all(&self) {
        self.poll_loop.schedule_now(|state| !std::mem::replace(&mut state.all, true));
    }

    fn refresh(&self, service: &str) {
        self.poll_loop.schedule_now(|state| state.urgent.insert(service.to_owned()));
    }
}

impl Drop for PollingWatch {
    fn drop(&mut self) {
        self.poll_loop.closing.close();
    }
}

impl PollLoop {
    /// Applies a change. If it has an effect, starts a round at once, unless one is running or the registry has failed.
    fn schedule_now(self: &Arc<Self>, change: impl FnOnce(&mut PollState) -> bool) {
        let mut state = self.state.lock();
        if change(&mut state) && !state.running && !state.reconnect.is_failing() {
            self.schedule(&mut state, Duration::ZERO);
        }
    }

    fn schedule(self: &Arc<Self>, state: &mut PollState, wait: Duration) {
        state.round_id += 1;
        let (round_id, poll_loop) = (state.round_id, Arc::downgrade(self));
        self.runtime.after(wait, self.registry.queue(), Priority::Poll, move || {
            PollLoop::run_round(&poll_loop, round_id);
        });
    }

    fn run_round(poll_loop: &Weak<PollLoop>, round_id: u64) {
        let Some(poll_loop) = poll_loop.upgrade() else { return };
        {
            let mut state = poll_loop.state.lock();
            if state.round_id != round_id || state.running {
                return;
            }
            state.running = true;
        }
        let outcome = poll_loop.read_due();
        let mut state = poll_loop.state.lock();
        state.running = false;
        let wait = match outcome {
            Ok(()) => {
                state.reconnect.succeeded();
                if state.urgent.is_empty() { jittered(poll_loop.interval) } else { Duration::ZERO }
            }
            Err(_) => state.reconnect.failed(poll_loop.registry.ttl(), fastrand::f64()),
        };
        poll_loop.schedule(&mut state, wait);
    }

    fn read_due(&self) -> Result<()> {
        let outcome =
            self.due_services().and_then(|due| due.iter().try_for_each(|service| self.read_service(service)));
        if let Err(error) = &outcome
            && !self.closing.is_closed()
        {
            self.sink.on_failure(error.clone());
        }
        outcome
    }

    fn due_services(&self) -> Result<BTreeSet<String>> {
        let (mut due, all) = {
            let mut state = self.state.lock();
            let mut due = std::mem::take(&mut state.urgent);
            due.extend(state.subscribed.iter().filter(|service| self.sink.is_in_use(service)).cloned());
            (due, state.all)
        };
        if all {
            let names = self.registry.services(&WaitLimit::new(self.timeout, &self.closing))?;
            // A name that was listed once is read from then on, so that its end is noticed too.
            let mut state = self.state.lock();
            state.subscribed.extend(names);
            due.extend(state.subscribed.iter().cloned());
        }
        Ok(due)
    }

    fn read_service(&self, service: &str) -> Result<()> {
        let update = self.registry.read(service, &WaitLimit::new(self.timeout, &self.closing))?;
        self.sink.on_update(update);
        Ok(())
    }
}

/// ±20 %, so that many clients do not send their requests at the same time.
pub(super) fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(0.8 + 0.4 * fastrand::f64())
}
