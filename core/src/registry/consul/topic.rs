//! One blocking query, asked again and again.
//!
//! ```text
//!  appointed ──► asked ──► Parked (no thread) ── answered ──► told ──► appointed at once, with the new index
//!      ▲                        └── late ──┐                              (a moment later if it came in haste)
//!      └── after a wait ── lost ◄───────────┘
//! ```
//!
//! The index is Consul's: an answer waits until it is larger than the one we have. If it goes backwards the agent
//! has forgotten, and we begin from 0 (developer.hashicorp.com/consul/api-docs/features/blocking).

use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::sync::Mutex;

use super::watch::Hub;
use super::{index_of, judge};
use crate::clock::{self, Tick};
use crate::error::{Error, Kind, Result};
use crate::registry::pace::Pace;
use crate::registry::reconnect::Reconnect;
use crate::registry::web::{Ask, Host, MAX_BODY, is_away};
use crate::registry::{Registry, Wait};
use crate::runtime::{ParkingId, Priority, Woken};
use crate::transport::longpoll::{LongPoll, Step};
use crate::transport::{Answer, Failure};

/// How long a query waits for a change.
const WAIT: Duration = Duration::from_secs(10);
/// How much longer we wait for the answer before we take the agent for deaf: Consul itself adds a sixteenth.
const GRACE: Duration = Duration::from_millis(2_625);
/// The time between two questions where there is much news.
const PACE: Duration = Duration::from_millis(20);
/// An answer to a wait that comes sooner than this without news did not wait.
const HASTY: Duration = Duration::from_secs(1);

/// What a query is about.
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
    /// The largest index heard of; 0: none.
    index: u64,
    epoch: u64,
    agent: Option<Weak<Host>>,
    asked_at: Tick,
    parking: Option<ParkingId>,
    kept: Option<LongPoll>,
    reconnect: Reconnect,
    pace: Pace,
    /// Whether it was said that the agent does not want to tell of it.
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
            reconnect: Reconnect::default(),
            pace: Pace::new(PACE),
            is_warned: false,
        }
    }
}

impl Topic {
    /// Begins to ask.
    pub(super) fn begin(hub: &Arc<Hub>, subject: Subject) -> Arc<Topic> {
        let topic = Arc::new(Topic { hub: Arc::downgrade(hub), subject, state: Mutex::new(State::new()) });
        topic.appoint(hub, Duration::ZERO);
        topic
    }

    /// Asks no more, and closes the connection.
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
        hub.consul.runtime.after(wait, hub.consul.lane(), Priority::Poll, move || {
            if let Some((topic, hub)) = topic.upgrade().and_then(Topic::with_hub) {
                topic.ask(&hub);
            }
        });
    }

    /// Itself with its hub, while both are wanted.
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

    /// Sends the question; the connection that will bring the answer, and how long that may take.
    fn send(&self, hub: &Hub, agent: &Arc<Host>, epoch: u64) -> Result<(LongPoll, Duration)> {
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
            (state.index, state.kept.take(), state.reconnect.is_lost())
        };
        let path = match &self.subject {
            Subject::Service(service) => consul.path_of(service),
            Subject::Names => consul.names_path(),
            Subject::Checks => format!("/v1/health/state/any?{}", consul.filters.trim_start_matches('&')),
        };
        // After a loss the first question does not wait, so that an agent that is back is known to within a moment.
        let waits = index > 0 && !is_lost;
        let path = if waits { format!("{path}&index={index}&wait={}s", WAIT.as_secs()) } else { path };
        let wait = Wait::new(consul.request_timeout(), &hub.closing);
        let mut connection = kept.map_or_else(|| agent.connect(&consul.resolver, &wait), Ok)?;
        Ask::get(&path).with(consul.credentials(), |exchange| connection.ask(exchange, MAX_BODY));
        Ok((connection, if waits { WAIT + GRACE } else { consul.request_timeout() }))
    }

    /// Does what can be done at present, and waits for the rest without a thread.
    fn step(self: &Arc<Self>, hub: &Arc<Hub>, agent: &Arc<Host>, mut connection: LongPoll, deadline: Tick) {
        match connection.step() {
            Ok(Step::Answered(answer)) => self.answered(hub, agent, connection, answer),
            Err(failure) => self.lost(hub, agent.failed(failure)),
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
                let lane = hub.consul.lane();
                state.parking = Some(hub.consul.runtime.park(socket, interest, deadline, lane, woken));
            }
        }
    }

    fn woken(
        self: &Arc<Self>,
        hub: &Arc<Hub>,
        agent: &Arc<Host>,
        connection: LongPoll,
        deadline: Tick,
        woken: Woken,
    ) {
        self.state.lock().parking = None;
        match woken {
            Woken::Ready => self.step(hub, agent, connection, deadline),
            Woken::Late => self.lost(hub, agent.failed(Failure::Timeout)),
            Woken::Recalled => {}
        }
    }

    fn answered(self: &Arc<Self>, hub: &Arc<Hub>, agent: &Arc<Host>, connection: LongPoll, answer: Answer) {
        let told = judge(agent, answer).and_then(|answer| {
            let index = index_of(agent, &answer)?;
            let (asked, epoch, took) = {
                let state = self.state.lock();
                (state.index, state.epoch, clock::now().since(state.asked_at))
            };
            if index < asked {
                // What it lists now is of another epoch: it is asked anew, from the beginning.
                hub.consul.forgot(epoch);
                self.state.lock().index = 0;
                return Ok(if took < HASTY { HASTY } else { PACE });
            }
            hub.answered(&self.subject, agent, &answer, epoch)?;
            let mut state = self.state.lock();
            state.index = index.max(1);
            let is_hasty = index == asked && took < HASTY;
            Ok(if is_hasty { HASTY } else { state.pace.next(clock::now()) })
        });
        match told {
            Err(error) => self.lost(hub, error),
            Ok(wait) => {
                let mut state = self.state.lock();
                state.kept = Some(connection);
                state.reconnect.found();
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
            // One that says no would be followed by one that says no.
            if is_away(&error) {
                hub.consul.leave(state.epoch);
            }
            state.kept = None;
            let is_news = is_refused && !std::mem::replace(&mut state.is_warned, true);
            (state.reconnect.lost(hub.consul.ttl(), fastrand::f64()), is_news)
        };
        // What the agent does not want to tell of one service is that service's affair, as long as it tells of others.
        match &self.subject {
            Subject::Service(service) if is_refused && hub.has_well(&self.subject) => {
                if is_news {
                    tracing::warn!(source = %hub.consul.source, service, %error, "cannot be read");
                }
            }
            _ => hub.sink.lost(error),
        }
        self.appoint(hub, wait);
    }

    /// Whether the last question was answered, or the first one still may be.
    pub(super) fn is_well(&self) -> bool {
        !self.state.lock().reconnect.is_lost()
    }
}
