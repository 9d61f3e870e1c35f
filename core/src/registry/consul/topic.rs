//! One blocking query, sent again after every response.
//!
//! ```text
//!  scheduled ──► sent ──► parked (no thread) ── response ──► reported ──► scheduled at once, with the new index
//!      ▲                        └── timeout ─┐                            (a moment later if it came too soon)
//!      └── after a wait ── failed ◄──────────┘
//! ```
//!
//! Consul holds a query back until its index exceeds the one in the query. An index that goes backwards means that the
//! agent has lost its state; then the query starts again at 0
//! (developer.hashicorp.com/consul/api-docs/features/blocking).

use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::sync::Mutex;

use super::watch::Hub;
use super::{index_of, judge};
use crate::clock::{self, Tick};
use crate::error::{Error, Kind, Result};
use crate::registry::http_host::{HttpHost, HttpRequest, MAX_BODY, is_outage};
use crate::registry::rate_limiter::RateLimiter;
use crate::registry::reconnect::ReconnectBackoff;
use crate::registry::types::{Registry, WaitLimit};
use crate::runtime::{Parking, Priority, Woken};
use crate::transport::longpoll::{LongPoll, Step};
use crate::transport::{Answer, Failure};

/// How long a query waits for a change.
const WAIT: Duration = Duration::from_secs(10);
/// How much later the response may arrive before the agent counts as failed. Consul itself adds one sixteenth.
const GRACE: Duration = Duration::from_millis(2_625);
/// The minimum interval between two queries while there are many changes.
const PACE: Duration = Duration::from_millis(20);
/// A response without changes that arrives sooner than this did not wait.
const HASTY: Duration = Duration::from_secs(1);

/// The subject of a query.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Subject {
    /// The instances of a service.
    Service(String),
    /// The names of all services.
    Names,
    /// Every check of every service.
    Checks,
}

/// One blocking query.
pub(super) struct Topic {
    hub: Weak<Hub>,
    subject: Subject,
    state: Mutex<State>,
}

struct State {
    ended: bool,
    /// The largest index received so far; 0: none.
    index: u64,
    epoch: u64,
    agent: Option<Weak<HttpHost>>,
    asked_at: Tick,
    parking: Option<Parking>,
    kept: Option<LongPoll>,
    reconnect: ReconnectBackoff,
    limiter: RateLimiter,
    /// Whether a warning about missing permissions was logged.
    is_warned: bool,
}

impl State {
    fn new() -> State {
        State {
            ended: false,
            index: 0,
            epoch: 0,
            agent: None,
            asked_at: Tick::ZERO,
            parking: None,
            kept: None,
            reconnect: ReconnectBackoff::default(),
            limiter: RateLimiter::new(PACE),
            is_warned: false,
        }
    }
}

impl Topic {
    /// Starts the query.
    pub(super) fn begin(hub: &Arc<Hub>, subject: Subject) -> Arc<Topic> {
        let topic = Arc::new(Topic { hub: Arc::downgrade(hub), subject, state: Mutex::new(State::new()) });
        topic.appoint(hub, Duration::ZERO);
        topic
    }

    /// Ends the query, and closes its connection.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.ended = true;
        state.kept = None;
        if let (Some(parking), Some(hub)) = (state.parking.take(), self.hub.upgrade()) {
            hub.consul.runtime.unpark(parking);
        }
    }

    fn appoint(self: &Arc<Self>, hub: &Hub, wait: Duration) {
        let topic = Arc::downgrade(self);
        hub.consul.runtime.after(wait, hub.consul.queue(), Priority::Poll, move || {
            if let Some((topic, hub)) = topic.upgrade().and_then(Topic::with_hub) {
                topic.ask(&hub);
            }
        });
    }

    /// The query with its watcher, unless either has ended.
    fn with_hub(self: Arc<Self>) -> Option<(Arc<Topic>, Arc<Hub>)> {
        let hub = self.hub.upgrade().filter(|hub| !hub.closing.is_closed())?;
        let ended = self.state.lock().ended;
        (!ended).then_some((self, hub))
    }

    fn ask(self: &Arc<Self>, hub: &Arc<Hub>) {
        let (epoch, agent) = hub.consul.present();
        let agent = agent.clone();
        match self.send(hub, &agent, epoch) {
            Ok((connection, patience)) => {
                self.step(hub, &agent, connection, clock::now().after(patience));
            }
            Err(error) => self.lost(hub, error),
        }
    }

    /// Sends the query. Returns the connection for the response, and how long that may take.
    fn send(&self, hub: &Hub, agent: &Arc<HttpHost>, epoch: u64) -> Result<(LongPoll, Duration)> {
        let consul = &hub.consul;
        let (index, kept, is_lost) = {
            let mut state = self.state.lock();
            let is_same = state.agent.as_ref().is_some_and(|known| known.as_ptr() == Arc::as_ptr(agent));
            if state.epoch != epoch {
                state.index = 0;
                state.kept = state.kept.take().filter(|_| is_same);
            }
            state.agent = Some(Arc::downgrade(agent));
            state.epoch = epoch;
            state.asked_at = clock::now();
            (state.index, state.kept.take(), state.reconnect.is_failing())
        };
        let path = match &self.subject {
            Subject::Service(service) => consul.path_of(service),
            Subject::Names => consul.names_path(),
            Subject::Checks => format!("/v1/health/state/any?{}", consul.filters.trim_start_matches('&')),
        };
        // After a failure the first query does not wait, so that a recovered agent is noticed at once.
        let waits = index > 0 && !is_lost;
        let path = if waits { format!("{path}&index={index}&wait={}s", WAIT.as_secs()) } else { path };
        let wait = WaitLimit::new(consul.request_timeout(), &hub.closing);
        let mut connection = kept.map_or_else(|| agent.connect(&consul.resolver, &wait), Ok)?;
        HttpRequest::get(&path)
            .send_with(consul.credentials(), |exchange| connection.ask(exchange, MAX_BODY));
        Ok((connection, if waits { WAIT + GRACE } else { consul.request_timeout() }))
    }

    /// Makes progress without blocking, and parks the connection until more data arrives.
    fn step(
        self: &Arc<Self>,
        hub: &Arc<Hub>,
        agent: &Arc<HttpHost>,
        mut connection: LongPoll,
        deadline: Tick,
    ) {
        match connection.step() {
            Ok(Step::Answered(answer)) => self.answered(hub, agent, connection, answer),
            Err(failure) => self.lost(hub, agent.error_for(failure)),
            Ok(Step::Waits(interest)) => {
                let mut state = self.state.lock();
                if state.ended {
                    return;
                }
                let socket = connection.socket().clone();
                let (topic, at) = (Arc::downgrade(self), agent.clone());
                let woken = move |woken| {
                    if let Some((topic, hub)) = topic.upgrade().and_then(Topic::with_hub) {
                        topic.woken(&hub, &at, connection, deadline, woken);
                    }
                };
                let queue = hub.consul.queue();
                state.parking = Some(hub.consul.runtime.park(socket, interest, deadline, queue, woken));
            }
        }
    }

    fn woken(
        self: &Arc<Self>,
        hub: &Arc<Hub>,
        agent: &Arc<HttpHost>,
        connection: LongPoll,
        deadline: Tick,
        woken: Woken,
    ) {
        self.state.lock().parking = None;
        match woken {
            Woken::Ready => self.step(hub, agent, connection, deadline),
            Woken::Late => self.lost(hub, agent.error_for(Failure::Timeout)),
            Woken::Recalled => {}
        }
    }

    fn answered(
        self: &Arc<Self>,
        hub: &Arc<Hub>,
        agent: &Arc<HttpHost>,
        connection: LongPoll,
        answer: Answer,
    ) {
        let told = judge(agent, answer).and_then(|answer| {
            let index = index_of(agent, &answer)?;
            let (asked, epoch, took) = {
                let state = self.state.lock();
                (state.index, state.epoch, clock::now().since(state.asked_at))
            };
            if index < asked {
                // The list belongs to another epoch: start again from index 0.
                hub.consul.forgot(epoch);
                self.state.lock().index = 0;
                return Ok(if took < HASTY { HASTY } else { PACE });
            }
            hub.answered(&self.subject, agent, &answer, epoch)?;
            let mut state = self.state.lock();
            state.index = index.max(1);
            let is_hasty = index == asked && took < HASTY;
            Ok(if is_hasty { HASTY } else { state.limiter.next_wait(clock::now()) })
        });
        match told {
            Err(error) => self.lost(hub, error),
            Ok(wait) => {
                let mut state = self.state.lock();
                state.kept = Some(connection);
                state.reconnect.succeeded();
                state.is_warned = false;
                drop(state);
                self.appoint(hub, wait);
            }
        }
    }

    fn lost(self: &Arc<Self>, hub: &Arc<Hub>, error: Error) {
        if hub.closing.is_closed() {
            return;
        }
        let is_refused = error.kind() == Kind::PermissionDenied;
        let (wait, is_news) = {
            let mut state = self.state.lock();
            // Other agents would answer a refusal in the same way.
            if is_outage(&error) {
                hub.consul.leave(state.epoch);
            }
            state.kept = None;
            let is_news = is_refused && !std::mem::replace(&mut state.is_warned, true);
            (state.reconnect.failed(hub.consul.ttl(), fastrand::f64()), is_news)
        };
        // Missing permissions for one service concern only that service, unless all services fail.
        match &self.subject {
            Subject::Service(service) if is_refused && hub.has_well(&self.subject) => {
                if is_news {
                    tracing::warn!(source = %hub.consul.source, service, %error, "no permission to read this service");
                }
            }
            _ => hub.sink.on_failure(error),
        }
        self.appoint(hub, wait);
    }

    /// Whether the last query succeeded, or none has failed yet.
    pub(super) fn is_well(&self) -> bool {
        !self.state.lock().reconnect.is_failing()
    }
}
