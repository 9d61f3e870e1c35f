//! Watches services: long polls at a Plumline controller, regular reads at an original.
//!
//! ```text
//!            ┌────────── scheduled (at once, at the next interval, or after a failure) ◄──────────────┐
//!            ▼                                                                                        │
//!  Idle ── Running ── Plumline ──► request ──► Parked (no thread) ── readable ──► response ───────────┤
//!            │                                     └── timeout, or recalled for a new service ────────┤
//!            └── original ──► reads each service in use, one after the other ─────────────────────────┘
//! ```
//!
//! One connection waits for all services together. When a service is added while it waits, the request is recalled and
//! sent again with the new name marked as fresh. After a failure the first request does not wait, so that a recovered
//! controller is noticed at once.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use plumline_wire::body::{WatchRequest, WatchWait};

use crate::sync::Mutex;

use super::client::PlumRegistry;
use super::controller::PlumController;
use super::wire::PlumWatchResponse;
use crate::clock::{self, Tick};
use crate::error::{Error, Kind, Result};
use crate::interrupt::Closing;
use crate::registry::http_host::{self, HttpRequest, MAX_BODY};
use crate::registry::polling::jittered;
use crate::registry::reconnect::ReconnectBackoff;
use crate::registry::types::{Registry, UpdateSink, WaitLimit, WatchHandle};
use crate::runtime::{ParkingId, Priority, Woken};
use crate::transport::longpoll::{LongPoll, Step};
use crate::transport::{Answer, Failure};

/// How long a request waits for a change.
const WAIT: Duration = Duration::from_secs(10);
/// How much later the response may arrive before the controller counts as failed.
const GRACE: Duration = Duration::from_secs(2);
/// A response without changes that arrives sooner than this did not wait.
const MIN_WAIT: Duration = Duration::from_secs(1);
/// How long to collect new services before a request is recalled. Services are often first used together.
const COLLECT_DELAY: Duration = Duration::from_millis(20);

struct PlumWatcher {
    plum: Arc<PlumRegistry>,
    sink: Arc<dyn UpdateSink>,
    state: Mutex<PlumWatcherState>,
    /// Interrupts requests in flight once the watch is dropped.
    closing: Closing,
}

#[derive(Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a question of its own, not a state of one machine")]
struct PlumWatcherState {
    subscribed: BTreeSet<String>,
    /// Subscribed, but not listed yet.
    fresh: BTreeSet<String>,
    all: bool,
    /// The state of the last response, and the controller that sent it.
    since: String,
    /// Whether the next response must contain every service.
    everything: bool,
    /// Whether the request in flight asks for every service.
    requested_everything: bool,
    controller: Option<Weak<PlumController>>,
    phase: WatchPhase,
    /// A service was added while a step was running: the next request follows at once.
    repeat: bool,
    recalling: bool,
    sent_at: Tick,
    requested_wait: bool,
    idle: Option<LongPoll>,
    reconnect: ReconnectBackoff,
    /// Numbers the scheduled steps; only the latest one runs.
    step_id: u64,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum WatchPhase {
    #[default]
    Idle,
    Scheduled,
    Running,
    Parked(ParkingId),
}

/// A watch request to a Plumline controller.
struct LongPollRequest {
    services: Option<Vec<String>>,
    fresh: Vec<String>,
    since: String,
    wait: Duration,
}

struct PlumWatchHandle(Arc<PlumWatcher>);

pub(super) fn start(plum: Arc<PlumRegistry>, sink: Arc<dyn UpdateSink>) -> Box<dyn WatchHandle> {
    Box::new(PlumWatchHandle(Arc::new(PlumWatcher {
        plum,
        sink,
        state: Mutex::default(),
        closing: Closing::default(),
    })))
}

impl WatchHandle for PlumWatchHandle {
    fn subscribe(&self, service: &str) {
        self.0.request_soon(|state| {
            state.subscribed.insert(service.to_owned()) && state.fresh.insert(service.to_owned())
        });
    }

    fn unsubscribe(&self, service: &str) {
        let mut state = self.0.state.lock();
        state.subscribed.remove(service);
        state.fresh.remove(service);
    }

    fn subscribe_all(&self) {
        self.0.request_soon(|state| {
            let news = !std::mem::replace(&mut state.all, true);
            state.everything |= news;
            news
        });
    }

    fn refresh(&self, service: &str) {
        self.0.request_soon(|state| state.fresh.insert(service.to_owned()));
    }
}

impl Drop for PlumWatchHandle {
    fn drop(&mut self) {
        self.0.closing.close();
        // The parked job no longer finds the watcher, and drops the connection.
        if let WatchPhase::Parked(parking) = self.0.state.lock().phase {
            self.0.plum.runtime.unpark(parking);
        }
    }
}

impl PlumWatcher {
    // === schedule ===

    /// Applies a change. If it has an effect, the next request is sent soon.
    fn request_soon(self: &Arc<Self>, note: impl FnOnce(&mut PlumWatcherState) -> bool) {
        let mut state = self.state.lock();
        if !note(&mut state) {
            return;
        }
        match state.phase {
            // New services do not shorten the backoff after a failure.
            WatchPhase::Scheduled if state.reconnect.is_failing() => {}
            WatchPhase::Idle | WatchPhase::Scheduled => self.schedule(&mut state, Duration::ZERO),
            WatchPhase::Running => state.repeat = true,
            WatchPhase::Parked(_) => self.recall_soon(&mut state),
        }
    }

    fn schedule(self: &Arc<Self>, state: &mut PlumWatcherState, wait: Duration) {
        state.step_id += 1;
        state.phase = WatchPhase::Scheduled;
        let (step_id, watcher) = (state.step_id, Arc::downgrade(self));
        self.plum.runtime.after(wait, self.plum.queue(), Priority::Poll, move || {
            if let Some(watcher) = watcher.upgrade() {
                watcher.run_scheduled(step_id);
            }
        });
    }

    fn recall_soon(self: &Arc<Self>, state: &mut PlumWatcherState) {
        if std::mem::replace(&mut state.recalling, true) {
            return;
        }
        let watcher = Arc::downgrade(self);
        self.plum.runtime.after(COLLECT_DELAY, self.plum.queue(), Priority::Poll, move || {
            let Some(watcher) = watcher.upgrade() else { return };
            let phase = {
                let mut state = watcher.state.lock();
                state.recalling = false;
                state.phase
            };
            if let WatchPhase::Parked(parking) = phase {
                watcher.plum.runtime.unpark(parking);
            }
        });
    }

    fn run_scheduled(self: &Arc<Self>, step_id: u64) {
        {
            let mut state = self.state.lock();
            if state.step_id != step_id || state.phase != WatchPhase::Scheduled {
                return;
            }
            if !state.all && state.subscribed.is_empty() && state.fresh.is_empty() {
                state.phase = WatchPhase::Idle;
                return;
            }
            state.phase = WatchPhase::Running;
        }
        let controller = self.plum.active().clone();
        match self.plum.detect_kind(&controller, &WaitLimit::new(self.plum.timeout, &self.closing)) {
            Err(error) => self.on_failure(&controller, error),
            Ok(()) if controller.is_plumline() => self.start_long_poll(&controller),
            Ok(()) => self.read_all(&controller),
        }
    }

    /// Ends a successful step.
    fn on_success(self: &Arc<Self>, wait: Duration) {
        let mut state = self.state.lock();
        state.reconnect.succeeded();
        let wait = if std::mem::take(&mut state.repeat) { Duration::ZERO } else { wait };
        self.schedule(&mut state, wait);
    }

    /// Ends a failed step.
    fn on_failure(self: &Arc<Self>, controller: &Arc<PlumController>, error: Error) {
        if self.closing.is_closed() {
            return;
        }
        self.plum.leave_controller(controller);
        self.sink.on_failure(error);
        let mut state = self.state.lock();
        state.idle = None;
        state.repeat = false;
        let wait = state.reconnect.failed(controller.ttl(), fastrand::f64());
        self.schedule(&mut state, wait);
    }

    // === Plumline controller ===

    fn start_long_poll(self: &Arc<Self>, controller: &Arc<PlumController>) {
        let (request, idle) = self.next_request(controller);
        match self.send(controller, &request, idle) {
            Ok(connection) => {
                let patience =
                    if request.wait.is_zero() { self.plum.request_timeout() } else { request.wait + GRACE };
                self.step(controller, connection, clock::now().after(patience));
            }
            Err(error) => self.on_failure(controller, error),
        }
    }

    fn next_request(&self, controller: &Arc<PlumController>) -> (LongPollRequest, Option<LongPoll>) {
        let mut state = self.state.lock();
        state.repeat = false;
        let is_same_site =
            state.controller.as_ref().is_some_and(|known| known.as_ptr() == Arc::as_ptr(controller));
        if !is_same_site {
            state.controller = Some(Arc::downgrade(controller));
            state.since = controller.first_since();
            state.idle = None;
        }
        state.requested_everything = state.everything;
        // Services that are only refreshed are requested without being watched.
        let named = || state.subscribed.union(&state.fresh).cloned().collect();
        let request = LongPollRequest {
            services: (!state.all).then(named),
            fresh: state.fresh.iter().cloned().collect(),
            since: if state.everything { String::new() } else { state.since.clone() },
            wait: if state.reconnect.is_failing() { Duration::ZERO } else { WAIT },
        };
        state.sent_at = clock::now();
        state.requested_wait = !request.wait.is_zero();
        (request, state.idle.take())
    }

    fn send(
        &self,
        controller: &Arc<PlumController>,
        request: &LongPollRequest,
        idle: Option<LongPoll>,
    ) -> Result<LongPoll> {
        let wait = WaitLimit::new(self.plum.request_timeout(), &self.closing);
        let connect = || controller.host.connect(&self.plum.resolver, &wait);
        let mut connection = idle.map_or_else(connect, Ok)?;
        let body = http_host::write(&WatchRequest {
            services: request.services.as_ref().map(|names| names.iter().map(Into::into).collect()),
            fresh: request.fresh.iter().map(Into::into).collect(),
            since: request.since.as_str().into(),
            wait: Some(WatchWait::Text(if request.wait.is_zero() { "0s" } else { "10s" }.into())),
        })?;
        HttpRequest::post("/v1/watch", &body)
            .send_with(self.plum.credentials(), |exchange| connection.ask(exchange, MAX_BODY));
        Ok(connection)
    }

    /// Makes progress without blocking, and parks the connection until more data arrives.
    fn step(self: &Arc<Self>, controller: &Arc<PlumController>, mut connection: LongPoll, deadline: Tick) {
        match connection.step() {
            Ok(Step::Answered(response)) => self.on_response(controller, connection, response),
            Err(failure) => self.on_failure(controller, controller.host.error_for(failure)),
            Ok(Step::Waits(interest)) => {
                let mut state = self.state.lock();
                let socket = connection.socket().clone();
                let (watcher, at) = (Arc::downgrade(self), controller.clone());
                let woken = move |woken| {
                    if let Some(watcher) = watcher.upgrade() {
                        watcher.on_woken(&at, connection, deadline, woken);
                    }
                };
                let queue = self.plum.queue();
                state.phase =
                    WatchPhase::Parked(self.plum.runtime.park(socket, interest, deadline, queue, woken));
                if std::mem::take(&mut state.repeat) {
                    self.recall_soon(&mut state);
                }
            }
        }
    }

    fn on_woken(
        self: &Arc<Self>,
        controller: &Arc<PlumController>,
        connection: LongPoll,
        deadline: Tick,
        woken: Woken,
    ) {
        self.state.lock().phase = WatchPhase::Running;
        match woken {
            Woken::Ready => self.step(controller, connection, deadline),
            Woken::Late => self.on_failure(controller, controller.host.error_for(Failure::Timeout)),
            // The request is sent again; a response that has arrived in the meantime is repeated.
            Woken::Recalled => self.on_success(Duration::ZERO),
        }
    }

    fn on_response(
        self: &Arc<Self>,
        controller: &Arc<PlumController>,
        connection: LongPoll,
        response: Answer,
    ) {
        let status = response.status;
        let response = PlumRegistry::checked_response(controller, response)
            .and_then(|response| self.apply_response(controller, &response));
        if let Err(error) = response {
            return self.on_failure(controller, error);
        }
        let too_soon = {
            let mut state = self.state.lock();
            state.idle = matches!(status, 200 | 204).then_some(connection);
            status == 204 && state.requested_wait && clock::now().since(state.sent_at) < MIN_WAIT
        };
        // A controller that reports no changes without having waited must not be called in a tight loop.
        self.on_success(if too_soon { MIN_WAIT } else { Duration::ZERO });
    }

    fn apply_response(&self, controller: &Arc<PlumController>, response: &Answer) -> Result<()> {
        match response.status {
            200 => {
                let response: PlumWatchResponse = http_host::read(response, &controller.label())?;
                let update = self.plum.update_for(
                    controller,
                    &response,
                    &WaitLimit::new(self.plum.request_timeout(), &self.closing),
                );
                {
                    let mut state = self.state.lock();
                    state.since.clone_from(&response.since);
                    state.everything &= !state.requested_everything;
                    state.fresh.retain(|name| !response.services.contains_key(name));
                }
                self.sink.on_update(update);
                Ok(())
            }
            204 => {
                let since = self.state.lock().since.clone();
                self.sink.on_update(PlumRegistry::unchanged_update(controller, &since));
                Ok(())
            }
            404 | 405 => {
                controller.set_original();
                Ok(())
            }
            other => Err(Error::new(
                Kind::Protocol,
                format!("{} answered the watch request with status {other}", controller.label()),
            )),
        }
    }

    // === original Plum controller ===

    fn read_all(self: &Arc<Self>, controller: &Arc<PlumController>) {
        match self.read_due(controller) {
            Err(error) => self.on_failure(controller, error),
            Ok(()) if controller.is_plumline() => self.on_success(Duration::ZERO),
            Ok(()) => self.on_success(jittered(self.plum.poll_interval)),
        }
    }

    fn read_due(&self, controller: &Arc<PlumController>) -> Result<()> {
        for service in self.due_services(controller)? {
            let wait = WaitLimit::new(self.plum.request_timeout(), &self.closing);
            let update = self.plum.read_at(controller, &service, &wait)?;
            self.state.lock().fresh.remove(&service);
            self.sink.on_update(update);
            if controller.is_plumline() {
                break; // the controller was replaced by a Plumline controller
            }
        }
        Ok(())
    }

    fn due_services(&self, controller: &Arc<PlumController>) -> Result<BTreeSet<String>> {
        let names = if self.state.lock().all {
            self.plum.services_at(controller, &WaitLimit::new(self.plum.request_timeout(), &self.closing))?
        } else {
            Vec::new()
        };
        let mut state = self.state.lock();
        // A name that was listed once is read from then on, so that its end is noticed too.
        state.subscribed.extend(names);
        let mut due = state.fresh.clone();
        let in_use = |service: &&String| state.all || self.sink.is_in_use(service);
        due.extend(state.subscribed.iter().filter(in_use).cloned());
        Ok(due)
    }
}
