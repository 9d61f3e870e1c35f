//! Watches services: each service in use is looked up again when its records have expired.
//!
//! One job looks up the due services one after the other. A failure that a name server reports for one name concerns only
//! that name: it is retried separately, and the others go on. If no server answers, all lookups pause for a while
//! ([`ReconnectBackoff`]).

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::client::DnsRegistry;
use crate::clock::{self, Tick};
use crate::error::Error;
use crate::interrupt::Closing;
use crate::registry::reconnect::ReconnectBackoff;
use crate::registry::types::{Registry, RegistryUpdate, UpdateSink, WaitLimit, WatchHandle};
use crate::runtime::Priority;
use crate::sync::Mutex;

/// Everything that one client watches in one registry.
struct DnsWatcher {
    dns: Arc<DnsRegistry>,
    sink: Arc<dyn UpdateSink>,
    /// Interrupts a lookup in flight once the watch is dropped.
    closing: Closing,
    state: Mutex<DnsWatcherState>,
}

#[derive(Default)]
struct DnsWatcherState {
    names: BTreeMap<String, WatchedName>,
    /// Numbers the scheduled rounds; only the latest one runs.
    round_id: u64,
    is_running: bool,
    /// The backoff while no server answers.
    reconnect: ReconnectBackoff,
}

/// One watched service.
struct WatchedName {
    due: Tick,
    /// To be looked up even if it is not in use.
    is_urgent: bool,
    /// How long its records are valid.
    valid_for: Duration,
    /// The backoff of this name alone.
    reconnect: ReconnectBackoff,
}

struct DnsWatchHandle(Arc<DnsWatcher>);

pub(super) fn start(dns: Arc<DnsRegistry>, sink: Arc<dyn UpdateSink>) -> Box<dyn WatchHandle> {
    Box::new(DnsWatchHandle(Arc::new(DnsWatcher {
        dns,
        sink,
        closing: Closing::default(),
        state: Mutex::default(),
    })))
}

impl WatchHandle for DnsWatchHandle {
    fn subscribe(&self, service: &str) {
        if let Err(error) = self.0.dns.template.query_name(service) {
            // The name will never be valid; reading it returns the error.
            tracing::warn!(source = %self.0.dns.source(), service, %error, "service is not watched");
            return;
        }
        let mut state = self.0.state.lock();
        if !state.names.contains_key(service) {
            state.names.insert(service.to_owned(), WatchedName::new());
            self.0.schedule_now(&mut state);
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
        if let Some(watched) = state.names.get_mut(service) {
            watched.make_due();
            self.0.schedule_now(&mut state);
        }
    }
}

impl Drop for DnsWatchHandle {
    fn drop(&mut self) {
        self.0.closing.close();
    }
}

impl WatchedName {
    fn new() -> WatchedName {
        let (valid_for, reconnect) = (Duration::ZERO, ReconnectBackoff::default());
        WatchedName { due: Tick::ZERO, is_urgent: true, valid_for, reconnect }
    }

    fn make_due(&mut self) {
        self.due = Tick::ZERO;
        self.is_urgent = true;
    }
}

impl DnsWatcher {
    /// Starts a round at once, unless one is running or no server answers.
    fn schedule_now(self: &Arc<Self>, state: &mut DnsWatcherState) {
        if !state.is_running && !state.reconnect.is_failing() {
            self.schedule(state, Tick::ZERO);
        }
    }

    fn schedule(self: &Arc<Self>, state: &mut DnsWatcherState, at: Tick) {
        state.round_id += 1;
        let (round_id, watcher) = (state.round_id, Arc::downgrade(self));
        let work = move || DnsWatcher::run_round(&watcher, round_id);
        self.dns.runtime.at(at, self.dns.queue(), Priority::Poll, work);
    }

    fn run_round(watcher: &Weak<DnsWatcher>, round_id: u64) {
        let Some(watcher) = watcher.upgrade() else { return };
        {
            let mut state = watcher.state.lock();
            if state.round_id != round_id || state.is_running {
                return;
            }
            state.is_running = true;
        }
        let pause = watcher.round();
        let mut state = watcher.state.lock();
        state.is_running = false;
        let next = pause.or_else(|| state.names.values().map(|watched| watched.due).min());
        if let Some(at) = next.filter(|_| !watcher.closing.is_closed()) {
            watcher.schedule(&mut state, at);
        }
    }

    /// Looks up all due services. If no server answers: when to go on.
    fn round(&self) -> Option<Tick> {
        while let Some((service, is_urgent)) = self.next_due() {
            if !is_urgent && !self.sink.is_in_use(&service) {
                self.postpone(&service);
                continue;
            }
            match self.dns.lookup(&service, &WaitLimit::new(self.dns.timeout, &self.closing)) {
                _ if self.closing.is_closed() => return None,
                Ok((update, valid_for)) => self.on_result(&service, update, valid_for),
                Err(failure) if failure.got_response => self.on_name_failure(&service, failure.error),
                Err(failure) => return Some(self.on_outage(&service, failure.error)),
            }
        }
        None
    }

    /// The service that has been due the longest, and whether it is urgent.
    fn next_due(&self) -> Option<(String, bool)> {
        let now = clock::now();
        let state = self.state.lock();
        let (service, watched) = state.names.iter().min_by_key(|(_, watched)| watched.due)?;
        (watched.due <= now).then(|| (service.clone(), watched.is_urgent))
    }

    fn postpone(&self, service: &str) {
        if let Some(watched) = self.state.lock().names.get_mut(service) {
            watched.due = clock::now().after(next_lookup_after(watched.valid_for));
        }
    }

    fn on_result(&self, service: &str, update: RegistryUpdate, valid_for: Duration) {
        self.sink.on_update(update);
        let mut state = self.state.lock();
        state.reconnect.succeeded();
        if let Some(watched) = state.names.get_mut(service) {
            *watched = WatchedName {
                due: clock::now().after(next_lookup_after(valid_for)),
                is_urgent: false,
                valid_for,
                reconnect: ReconnectBackoff::default(),
            };
        }
    }

    /// No server answered. Returns when to go on; other names come first then, in case this name causes the failure.
    fn on_outage(&self, service: &str, error: Error) -> Tick {
        self.sink.on_failure(error);
        let mut state = self.state.lock();
        let next = clock::now().after(state.reconnect.failed(self.dns.ttl(), fastrand::f64()));
        if let Some(watched) = state.names.get_mut(service) {
            watched.due = next;
        }
        next
    }

    /// A server reported a failure for this name.
    fn on_name_failure(&self, service: &str, error: Error) {
        let mut state = self.state.lock();
        state.reconnect.succeeded();
        let others_succeed =
            state.names.iter().any(|(name, watched)| name != service && watched.has_succeeded());
        let Some(watched) = state.names.get_mut(service) else { return };
        let is_news = !watched.reconnect.is_failing();
        let pause = watched.reconnect.failed(self.dns.ttl(), fastrand::f64());
        watched.due = clock::now().after(pause);
        watched.is_urgent = false;
        drop(state);
        if !others_succeed {
            self.sink.on_failure(error);
        } else if is_news {
            tracing::warn!(source = %self.dns.source(), service, %error, "lookup failed; the last list stays in use");
        }
    }
}

impl WatchedName {
    /// Whether the last lookup succeeded.
    fn has_succeeded(&self) -> bool {
        !self.valid_for.is_zero() && !self.reconnect.is_failing()
    }
}

/// The next lookup is due after the records have expired, because a cache would only return them again. Up to 20 % later,
/// so that clients do not send their queries at the same time.
fn next_lookup_after(valid_for: Duration) -> Duration {
    valid_for.mul_f64(1.0 + 0.2 * fastrand::f64())
}
