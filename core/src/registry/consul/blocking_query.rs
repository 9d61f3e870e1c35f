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

use super::client::{checked_response, index_of};
use super::watch::ConsulWatcher;
use crate::clock::{self, Tick};
use crate::error::{Error, Kind, Result};
use crate::registry::http_host::{HttpHost, HttpRequest, MAX_BODY, is_outage};
use crate::registry::rate_limiter::RateLimiter;
use crate::registry::reconnect::ReconnectBackoff;
use crate::registry::types::{Registry, WaitLimit};
use crate::runtime::{ParkingId, Priority, Woken};
use crate::transport::longpoll::{LongPoll, Step};
use crate::transport::{Answer, Failure};

/// How long a query waits for a change.
const WAIT: Duration = Duration::from_secs(10);
/// How much later the response may arrive before the agent counts as failed. Consul itself adds one sixteenth.
const GRACE: Duration = Duration::from_millis(2_625);
/// The minimum interval between two queries while there are many changes.
const MIN_INTERVAL: Duration = Duration::from_millis(20);
/// A response without changes that arrives sooner than this did not wait.
const MIN_WAIT: Duration = Duration::from_secs(1);

/// The subject of a query.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum QueryTarget {
    /// The instances of a service.
    Service(String),
    /// The names of all services.
    Names,
    /// Every check of every service.
    Checks,
}

/// One blocking query.
pub(super) struct BlockingQuery {
    watcher: Weak<ConsulWatcher>,
    target: QueryTarget,
    state: Mutex<QueryState>,
}

struct QueryState {
    ended: bool,
    /// The largest index received so far; 0: none.
    index: u64,
    epoch: u64,
    agent: Option<Weak<HttpHost>>,
    sent_at: Tick,
    parking: Option<ParkingId>,
    idle: Option<LongPoll>,
    reconnect: ReconnectBackoff,
    limiter: RateLimiter,
    /// Whether a warning about missing permissions was logged.
    is_warned: bool,
}

impl QueryState {
    fn new() -> QueryState {
        QueryState {
            ended: false,
            index: 0,
            epoch: 0,
            agent: None,
            sent_at: Tick::ZERO,
            parking: None,
            idle: None,
            reconnect: ReconnectBackoff::default(),
            limiter: RateLimiter::new(MIN_INTERVAL),
            is_warned: false,
        }
    }
}

impl BlockingQuery {
    /// Starts the query.
    pub(super) fn start(watcher: &Arc<ConsulWatcher>, target: QueryTarget) -> Arc<BlockingQuery> {
        let query = Arc::new(BlockingQuery {
            watcher: Arc::downgrade(watcher),
            target,
            state: Mutex::new(QueryState::new()),
        });
        query.schedule(watcher, Duration::ZERO);
        query
    }

    /// Ends the query, and closes its connection.
    pub(super) fn stop(&self) {
        let mut state = self.state.lock();
        state.ended = true;
        state.idle = None;
        if let (Some(parking), Some(watcher)) = (state.parking.take(), self.watcher.upgrade()) {
            watcher.consul.runtime.unpark(parking);
        }
    }

    fn schedule(self: &Arc<Self>, watcher: &ConsulWatcher, wait: Duration) {
        let query = Arc::downgrade(self);
        watcher.consul.runtime.after(wait, watcher.consul.queue(), Priority::Poll, move || {
            if let Some((query, watcher)) = query.upgrade().and_then(BlockingQuery::with_watcher) {
                query.start_request(&watcher);
            }
        });
    }

    /// The query with its watcher, unless either has ended.
    fn with_watcher(self: Arc<Self>) -> Option<(Arc<BlockingQuery>, Arc<ConsulWatcher>)> {
        let watcher = self.watcher.upgrade().filter(|watcher| !watcher.closing.is_closed())?;
        let ended = self.state.lock().ended;
        (!ended).then_some((self, watcher))
    }

    fn start_request(self: &Arc<Self>, watcher: &Arc<ConsulWatcher>) {
        let (epoch, agent) = watcher.consul.current_agent();
        let agent = agent.clone();
        match self.send(watcher, &agent, epoch) {
            Ok((connection, patience)) => {
                self.step(watcher, &agent, connection, clock::now().after(patience));
            }
            Err(error) => self.on_failure(watcher, error),
        }
    }

    /// Sends the query. Returns the connection for the response, and how long that may take.
    fn send(
        &self,
        watcher: &ConsulWatcher,
        agent: &Arc<HttpHost>,
        epoch: u64,
    ) -> Result<(LongPoll, Duration)> {
        let consul = &watcher.consul;
        let (index, idle, is_lost) = {
            let mut state = self.state.lock();
            let is_same = state.agent.as_ref().is_some_and(|known| known.as_ptr() == Arc::as_ptr(agent));
            if state.epoch != epoch {
                state.index = 0;
                state.idle = state.idle.take().filter(|_| is_same);
            }
            state.agent = Some(Arc::downgrade(agent));
            state.epoch = epoch;
            state.sent_at = clock::now();
            (state.index, state.idle.take(), state.reconnect.is_failing())
        };
        let path = match &self.target {
            QueryTarget::Service(service) => consul.service_query_path(service),
            QueryTarget::Names => consul.names_path(),
            QueryTarget::Checks => format!("/v1/health/state/any?{}", consul.filters.trim_start_matches('&')),
        };
        // After a failure the first query does not wait, so that a recovered agent is noticed at once.
        let waits = index > 0 && !is_lost;
        let path = if waits { format!("{path}&index={index}&wait={}s", WAIT.as_secs()) } else { path };
        let wait = WaitLimit::new(consul.request_timeout(), &watcher.closing);
        let mut connection = idle.map_or_else(|| agent.connect(&consul.resolver, &wait), Ok)?;
        HttpRequest::get(&path)
            .send_with(consul.credentials(), |exchange| connection.ask(exchange, MAX_BODY));
        Ok((connection, if waits { WAIT + GRACE } else { consul.request_timeout() }))
    }

    /// Makes progress without blocking, and parks the connection until more data arrives.
    fn step(
        self: &Arc<Self>,
        watcher: &Arc<ConsulWatcher>,
        agent: &Arc<HttpHost>,
        mut connection: LongPoll,
        deadline: Tick,
    ) {
        match connection.step() {
            Ok(Step::Answered(response)) => self.on_response(watcher, agent, connection, response),
            Err(failure) => self.on_failure(watcher, agent.error_for(failure)),
            Ok(Step::Waits(interest)) => {
                let mut state = self.state.lock();
                if state.ended {
                    return;
                }
                let socket = connection.socket().clone();
                let (query, at) = (Arc::downgrade(self), agent.clone());
                let woken_job = move |woken| {
                    if let Some((query, watcher)) = query.upgrade().and_then(BlockingQuery::with_watcher) {
                        query.on_woken(&watcher, &at, connection, deadline, woken);
                    }
                };
                let queue = watcher.consul.queue();
                state.parking =
                    Some(watcher.consul.runtime.park(socket, interest, deadline, queue, woken_job));
            }
        }
    }

    fn on_woken(
        self: &Arc<Self>,
        watcher: &Arc<ConsulWatcher>,
        agent: &Arc<HttpHost>,
        connection: LongPoll,
        deadline: Tick,
        woken: Woken,
    ) {
        self.state.lock().parking = None;
        match woken {
            Woken::Ready => self.step(watcher, agent, connection, deadline),
            Woken::Late => self.on_failure(watcher, agent.error_for(Failure::Timeout)),
            Woken::Recalled => {}
        }
    }

    fn on_response(
        self: &Arc<Self>,
        watcher: &Arc<ConsulWatcher>,
        agent: &Arc<HttpHost>,
        connection: LongPoll,
        response: Answer,
    ) {
        let outcome = checked_response(agent, response).and_then(|response| {
            let index = index_of(agent, &response)?;
            let (sent_index, epoch, took) = {
                let state = self.state.lock();
                (state.index, state.epoch, clock::now().since(state.sent_at))
            };
            if index < sent_index {
                // The list belongs to another epoch: start again from index 0.
                watcher.consul.index_reset(epoch);
                self.state.lock().index = 0;
                return Ok(if took < MIN_WAIT { MIN_WAIT } else { MIN_INTERVAL });
            }
            watcher.on_response(&self.target, agent, &response, epoch)?;
            let mut state = self.state.lock();
            state.index = index.max(1);
            let is_too_soon = index == sent_index && took < MIN_WAIT;
            Ok(if is_too_soon { MIN_WAIT } else { state.limiter.next_wait(clock::now()) })
        });
        match outcome {
            Err(error) => self.on_failure(watcher, error),
            Ok(wait) => {
                let mut state = self.state.lock();
                state.idle = Some(connection);
                state.reconnect.succeeded();
                state.is_warned = false;
                drop(state);
                self.schedule(watcher, wait);
            }
        }
    }

    fn on_failure(self: &Arc<Self>, watcher: &Arc<ConsulWatcher>, error: Error) {
        if watcher.closing.is_closed() {
            return;
        }
        let is_refused = error.kind() == Kind::PermissionDenied;
        let (wait, is_news) = {
            let mut state = self.state.lock();
            // Other agents would answer a refusal in the same way.
            if is_outage(&error) {
                watcher.consul.leave_agent(state.epoch);
            }
            state.idle = None;
            let is_news = is_refused && !std::mem::replace(&mut state.is_warned, true);
            (state.reconnect.failed(watcher.consul.ttl(), fastrand::f64()), is_news)
        };
        // Missing permissions for one service concern only that service, unless all services fail.
        match &self.target {
            QueryTarget::Service(service) if is_refused && watcher.others_succeed(&self.target) => {
                if is_news {
                    tracing::warn!(source = %watcher.consul.source, service, %error, "no permission to read this service");
                }
            }
            _ => watcher.sink.on_failure(error),
        }
        self.schedule(watcher, wait);
    }

    /// Whether the last query succeeded, or none has failed yet.
    pub(super) fn is_healthy(&self) -> bool {
        !self.state.lock().reconnect.is_failing()
    }
}
