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

use super::wire::WatchAnswer;
use super::{Plum, Site};
use crate::clock::{self, Tick};
use crate::error::{Error, Kind, Result};
use crate::interrupt::Closing;
use crate::registry::http_host::{self, HttpRequest, MAX_BODY};
use crate::registry::polling::jittered;
use crate::registry::reconnect::ReconnectBackoff;
use crate::registry::types::{Registry, UpdateSink, WaitLimit, WatchHandle};
use crate::runtime::{Parking, Priority, Woken};
use crate::transport::longpoll::{LongPoll, Step};
use crate::transport::{Answer, Failure};

/// How long a request waits for a change.
const WAIT: Duration = Duration::from_secs(10);
/// How much later the response may arrive before the controller counts as failed.
const GRACE: Duration = Duration::from_secs(2);
/// A response without changes that arrives sooner than this did not wait.
const HASTY: Duration = Duration::from_secs(1);
/// How long to collect new services before a request is recalled. Services are often first used together.
const GATHER: Duration = Duration::from_millis(20);

struct Follower {
    plum: Arc<Plum>,
    sink: Arc<dyn UpdateSink>,
    state: Mutex<State>,
    /// Interrupts requests in flight once the watch is dropped.
    closing: Closing,
}

#[derive(Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a question of its own, not a state of one machine")]
struct State {
    wanted: BTreeSet<String>,
    /// Subscribed, but not listed yet.
    fresh: BTreeSet<String>,
    all: bool,
    /// The state of the last response, and the controller that sent it.
    since: String,
    /// Whether the next response must contain every service.
    everything: bool,
    /// Whether the request in flight asks for every service.
    asked_everything: bool,
    site: Option<Weak<Site>>,
    phase: Phase,
    /// A service was added while a step was running: the next request follows at once.
    again: bool,
    recalling: bool,
    asked_at: Tick,
    asked_to_wait: bool,
    kept: Option<LongPoll>,
    reconnect: ReconnectBackoff,
    /// Numbers the scheduled steps; only the latest one runs.
    appointment: u64,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Idle,
    Appointed,
    Running,
    Parked(Parking),
}

/// A watch request to a Plumline controller.
struct Question {
    services: Option<Vec<String>>,
    fresh: Vec<String>,
    since: String,
    wait: Duration,
}

struct Handle(Arc<Follower>);

pub(super) fn begin(plum: Arc<Plum>, sink: Arc<dyn UpdateSink>) -> Box<dyn WatchHandle> {
    Box::new(Handle(Arc::new(Follower { plum, sink, state: Mutex::default(), closing: Closing::default() })))
}

impl WatchHandle for Handle {
    fn subscribe(&self, service: &str) {
        self.0
            .hurry(|state| state.wanted.insert(service.to_owned()) && state.fresh.insert(service.to_owned()));
    }

    fn unsubscribe(&self, service: &str) {
        let mut state = self.0.state.lock();
        state.wanted.remove(service);
        state.fresh.remove(service);
    }

    fn subscribe_all(&self) {
        self.0.hurry(|state| {
            let news = !std::mem::replace(&mut state.all, true);
            state.everything |= news;
            news
        });
    }

    fn refresh(&self, service: &str) {
        self.0.hurry(|state| state.fresh.insert(service.to_owned()));
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.closing.close();
        // The parked job no longer finds the watcher, and drops the connection.
        if let Phase::Parked(parking) = self.0.state.lock().phase {
            self.0.plum.runtime.unpark(parking);
        }
    }
}

impl Follower {
    // === schedule ===

    /// Applies a change. If it has an effect, the next request is sent soon.
    fn hurry(self: &Arc<Self>, note: impl FnOnce(&mut State) -> bool) {
        let mut state = self.state.lock();
        if !note(&mut state) {
            return;
        }
        match state.phase {
            // New services do not shorten the backoff after a failure.
            Phase::Appointed if state.reconnect.is_failing() => {}
            Phase::Idle | Phase::Appointed => self.appoint(&mut state, Duration::ZERO),
            Phase::Running => state.again = true,
            Phase::Parked(_) => self.recall_soon(&mut state),
        }
    }

    fn appoint(self: &Arc<Self>, state: &mut State, wait: Duration) {
        state.appointment += 1;
        state.phase = Phase::Appointed;
        let (appointment, follower) = (state.appointment, Arc::downgrade(self));
        self.plum.runtime.after(wait, self.plum.queue(), Priority::Poll, move || {
            if let Some(follower) = follower.upgrade() {
                follower.keep_appointment(appointment);
            }
        });
    }

    fn recall_soon(self: &Arc<Self>, state: &mut State) {
        if std::mem::replace(&mut state.recalling, true) {
            return;
        }
        let follower = Arc::downgrade(self);
        self.plum.runtime.after(GATHER, self.plum.queue(), Priority::Poll, move || {
            let Some(follower) = follower.upgrade() else { return };
            let phase = {
                let mut state = follower.state.lock();
                state.recalling = false;
                state.phase
            };
            if let Phase::Parked(parking) = phase {
                follower.plum.runtime.unpark(parking);
            }
        });
    }

    fn keep_appointment(self: &Arc<Self>, appointment: u64) {
        {
            let mut state = self.state.lock();
            if state.appointment != appointment || state.phase != Phase::Appointed {
                return;
            }
            if !state.all && state.wanted.is_empty() && state.fresh.is_empty() {
                state.phase = Phase::Idle;
                return;
            }
            state.phase = Phase::Running;
        }
        let site = self.plum.active().clone();
        match self.plum.meet(&site, &WaitLimit::new(self.plum.timeout, &self.closing)) {
            Err(error) => self.lost(&site, error),
            Ok(()) if site.is_ours() => self.ask(&site),
            Ok(()) => self.look_around(&site),
        }
    }

    /// Ends a successful step.
    fn next(self: &Arc<Self>, wait: Duration) {
        let mut state = self.state.lock();
        state.reconnect.succeeded();
        let wait = if std::mem::take(&mut state.again) { Duration::ZERO } else { wait };
        self.appoint(&mut state, wait);
    }

    /// Ends a failed step.
    fn lost(self: &Arc<Self>, site: &Arc<Site>, error: Error) {
        if self.closing.is_closed() {
            return;
        }
        self.plum.leave(site);
        self.sink.on_failure(error);
        let mut state = self.state.lock();
        state.kept = None;
        state.again = false;
        let wait = state.reconnect.failed(site.ttl(), fastrand::f64());
        self.appoint(&mut state, wait);
    }

    // === Plumline controller ===

    fn ask(self: &Arc<Self>, site: &Arc<Site>) {
        let (question, kept) = self.question(site);
        match self.send(site, &question, kept) {
            Ok(connection) => {
                let patience =
                    if question.wait.is_zero() { self.plum.request_timeout() } else { question.wait + GRACE };
                self.step(site, connection, clock::now().after(patience));
            }
            Err(error) => self.lost(site, error),
        }
    }

    fn question(&self, site: &Arc<Site>) -> (Question, Option<LongPoll>) {
        let mut state = self.state.lock();
        state.again = false;
        let is_same_site = state.site.as_ref().is_some_and(|known| known.as_ptr() == Arc::as_ptr(site));
        if !is_same_site {
            state.site = Some(Arc::downgrade(site));
            state.since = site.first_since();
            state.kept = None;
        }
        state.asked_everything = state.everything;
        // Services that are only refreshed are requested without being watched.
        let named = || state.wanted.union(&state.fresh).cloned().collect();
        let question = Question {
            services: (!state.all).then(named),
            fresh: state.fresh.iter().cloned().collect(),
            since: if state.everything { String::new() } else { state.since.clone() },
            wait: if state.reconnect.is_failing() { Duration::ZERO } else { WAIT },
        };
        state.asked_at = clock::now();
        state.asked_to_wait = !question.wait.is_zero();
        (question, state.kept.take())
    }

    fn send(&self, site: &Arc<Site>, question: &Question, kept: Option<LongPoll>) -> Result<LongPoll> {
        let wait = WaitLimit::new(self.plum.request_timeout(), &self.closing);
        let connect = || site.host.connect(&self.plum.resolver, &wait);
        let mut connection = kept.map_or_else(connect, Ok)?;
        let body = http_host::write(&WatchRequest {
            services: question.services.as_ref().map(|names| names.iter().map(Into::into).collect()),
            fresh: question.fresh.iter().map(Into::into).collect(),
            since: question.since.as_str().into(),
            wait: Some(WatchWait::Text(if question.wait.is_zero() { "0s" } else { "10s" }.into())),
        })?;
        HttpRequest::post("/v1/watch", &body)
            .send_with(self.plum.credentials(), |exchange| connection.ask(exchange, MAX_BODY));
        Ok(connection)
    }

    /// Makes progress without blocking, and parks the connection until more data arrives.
    fn step(self: &Arc<Self>, site: &Arc<Site>, mut connection: LongPoll, deadline: Tick) {
        match connection.step() {
            Ok(Step::Answered(answer)) => self.answered(site, connection, answer),
            Err(failure) => self.lost(site, site.host.error_for(failure)),
            Ok(Step::Waits(interest)) => {
                let mut state = self.state.lock();
                let socket = connection.socket().clone();
                let (follower, at) = (Arc::downgrade(self), site.clone());
                let woken = move |woken| {
                    if let Some(follower) = follower.upgrade() {
                        follower.woken(&at, connection, deadline, woken);
                    }
                };
                let queue = self.plum.queue();
                state.phase = Phase::Parked(self.plum.runtime.park(socket, interest, deadline, queue, woken));
                if std::mem::take(&mut state.again) {
                    self.recall_soon(&mut state);
                }
            }
        }
    }

    fn woken(self: &Arc<Self>, site: &Arc<Site>, connection: LongPoll, deadline: Tick, woken: Woken) {
        self.state.lock().phase = Phase::Running;
        match woken {
            Woken::Ready => self.step(site, connection, deadline),
            Woken::Late => self.lost(site, site.host.error_for(Failure::Timeout)),
            // The request is sent again; a response that has arrived in the meantime is repeated.
            Woken::Recalled => self.next(Duration::ZERO),
        }
    }

    fn answered(self: &Arc<Self>, site: &Arc<Site>, connection: LongPoll, answer: Answer) {
        let status = answer.status;
        let told = Plum::judge(site, answer).and_then(|answer| self.take(site, &answer));
        if let Err(error) = told {
            return self.lost(site, error);
        }
        let hasty = {
            let mut state = self.state.lock();
            state.kept = matches!(status, 200 | 204).then_some(connection);
            status == 204 && state.asked_to_wait && clock::now().since(state.asked_at) < HASTY
        };
        // A controller that reports no changes without having waited must not be called in a tight loop.
        self.next(if hasty { HASTY } else { Duration::ZERO });
    }

    fn take(&self, site: &Arc<Site>, answer: &Answer) -> Result<()> {
        match answer.status {
            200 => {
                let told: WatchAnswer = http_host::read(answer, &site.label())?;
                let heard =
                    self.plum.heard(site, &told, &WaitLimit::new(self.plum.request_timeout(), &self.closing));
                {
                    let mut state = self.state.lock();
                    state.since.clone_from(&told.since);
                    state.everything &= !state.asked_everything;
                    state.fresh.retain(|name| !told.services.contains_key(name));
                }
                self.sink.on_update(heard);
                Ok(())
            }
            204 => {
                let since = self.state.lock().since.clone();
                self.sink.on_update(Plum::heard_nothing(site, &since));
                Ok(())
            }
            404 | 405 => {
                site.is_the_original();
                Ok(())
            }
            other => Err(Error::new(
                Kind::Protocol,
                format!("{} answered the watch request with status {other}", site.label()),
            )),
        }
    }

    // === original Plum controller ===

    fn look_around(self: &Arc<Self>, site: &Arc<Site>) {
        match self.look_at_all(site) {
            Err(error) => self.lost(site, error),
            Ok(()) if site.is_ours() => self.next(Duration::ZERO),
            Ok(()) => self.next(jittered(self.plum.poll_interval)),
        }
    }

    fn look_at_all(&self, site: &Arc<Site>) -> Result<()> {
        for service in self.due(site)? {
            let wait = WaitLimit::new(self.plum.request_timeout(), &self.closing);
            let heard = self.plum.read_at(site, &service, &wait)?;
            self.state.lock().fresh.remove(&service);
            self.sink.on_update(heard);
            if site.is_ours() {
                break; // the controller was replaced by a Plumline controller
            }
        }
        Ok(())
    }

    fn due(&self, site: &Arc<Site>) -> Result<BTreeSet<String>> {
        let names = if self.state.lock().all {
            self.plum.services_at(site, &WaitLimit::new(self.plum.request_timeout(), &self.closing))?
        } else {
            Vec::new()
        };
        let mut state = self.state.lock();
        // A name that was listed once is read from then on, so that its end is noticed too.
        state.wanted.extend(names);
        let mut due = state.fresh.clone();
        let in_use = |service: &&String| state.all || self.sink.is_in_use(service);
        due.extend(state.wanted.iter().filter(in_use).cloned());
        Ok(due)
    }
}
