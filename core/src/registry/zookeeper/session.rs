//! The session: opened on first use, kept alive by pings, resumed at the next server that answers, and replaced once the
//! servers report that it has expired.
//!
//! ```text
//!  Connecting ── a server accepts ──► Connected ── broken, or two pings without a response ──► Connecting ─┐
//!    ▲                                                                                                      │
//!    ├── backoff ── Failed ◄── no server accepts ◄──────────────────────────────────────────────────────────┘
//! ```
//!
//! A ping is sent every third of the session timeout. If nothing has arrived when the next one is due, the connection is
//! closed. The last third remains to reach another server before the session expires.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::jute::Event;
use super::line::Line;
use super::may_pass;
use super::wire::{Refused, Wire, foreign_answer};
use crate::error::{Error, Kind, Result};
use crate::registry::address::{Credentials, HostPort};
use crate::registry::async_bridge::catch_panic;
use crate::registry::protocol_probe;
use crate::registry::reconnect::ReconnectBackoff;
use crate::registry::resolver::Resolver;
use crate::runtime::{Own, Runtime};
use crate::sync::Mutex;

/// How long closing the session may take.
const FAREWELL: Duration = Duration::from_millis(500);

/// The servers, and the settings of the session.
pub(super) struct Terms {
    pub(super) servers: Vec<HostPort>,
    pub(super) user: Option<Credentials>,
    /// The requested session timeout. The servers have limits of their own.
    pub(super) session_timeout: Duration,
    pub(super) connect_timeout: Duration,
    /// The maximum time for one request.
    pub(super) request_timeout: Duration,
    pub(super) names: Arc<Resolver>,
}

/// The state of the session.
#[derive(Clone)]
pub(super) enum State {
    /// Being opened; with an error if its connection has just broken.
    Trying(Option<Error>),
    /// Connected.
    Up(Arc<Line>),
    /// No server answered; another attempt follows.
    Away(Error),
}

/// An event that watches receive, apart from changes of the state.
pub(super) enum Told {
    /// A watch has fired.
    Happened(Event),
    /// The server answered a ping, so all earlier events have been received.
    Answers,
}

type Listeners = Arc<Mutex<Vec<UnboundedSender<Told>>>>;

/// The handle of a session. The session ends when it is dropped.
pub(super) struct Session {
    state: Own<watch::Receiver<State>>,
    listeners: Listeners,
}

impl Session {
    /// Starts to open a session; `None` if the runtime has stopped.
    pub(super) fn begin(terms: Arc<Terms>, runtime: &Runtime) -> Option<Session> {
        let (tell, state) = watch::channel(State::Trying(None));
        let listeners = Listeners::default();
        let keeper = Keeper {
            terms,
            state: tell,
            listeners: listeners.clone(),
            id: 0,
            password: vec![0; 16],
            turn: 0,
        };
        // The task ends by itself after it has closed the session.
        runtime.spawn(keeper.keep())?.leave();
        Some(Session { state: Own::new(state), listeners })
    }

    pub(super) fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// A receiver of all events from now on.
    pub(super) fn listen(&self) -> UnboundedReceiver<Told> {
        let (tell, hear) = unbounded_channel();
        self.listeners.lock().push(tell);
        hear
    }
}

/// The connection of a session, once it is established; the error if no server answers.
pub(super) async fn line(mut state: watch::Receiver<State>) -> Result<Arc<Line>> {
    loop {
        match &*state.borrow_and_update() {
            State::Up(line) => return Ok(line.clone()),
            State::Away(error) => return Err(error.clone()),
            State::Trying(_) => {}
        }
        if state.changed().await.is_err() {
            return Err(Error::new(Kind::Closed, "the client was closed"));
        }
    }
}

/// The task that maintains a session.
struct Keeper {
    terms: Arc<Terms>,
    state: watch::Sender<State>,
    listeners: Listeners,
    /// 0 before the session has been opened.
    id: i64,
    password: Vec<u8>,
    /// The index of the server that is tried next.
    turn: usize,
}

impl Keeper {
    /// Maintains the session. After a panic it continues with the same session.
    async fn keep(mut self) {
        let unused = self.state.clone();
        let mut reconnect = ReconnectBackoff::default();
        while catch_panic(self.keep_on()).await.is_none() {
            let error = Error::new(Kind::Internal, "the ZooKeeper session task panicked; please report it");
            tracing::error!(session = self.id, %error, "restarting the ZooKeeper session task");
            if let State::Up(line) = self.state.send_replace(State::Away(error.clone())) {
                line.broke(error);
            }
            let wait = reconnect.failed(self.terms.session_timeout, fastrand::f64());
            tokio::select! {
                biased;
                () = unused.closed() => return,
                () = sleep(wait) => {}
            }
        }
    }

    async fn keep_on(&mut self) {
        let unused = self.state.clone();
        // A random first server, so that clients spread over all servers.
        self.turn = fastrand::usize(..self.terms.servers.len());
        let mut reconnect = ReconnectBackoff::default();
        loop {
            let opened = tokio::select! {
                biased;
                () = unused.closed() => return,
                opened = self.open() => opened,
            };
            let error = match opened {
                Ok((wire, line)) => {
                    reconnect.succeeded();
                    let line = Arc::new(line);
                    self.state.send_replace(State::Up(line.clone()));
                    let Some(error) = self.serve(wire, &line).await else { return };
                    self.turn += 1;
                    tracing::debug!(session = self.id, %error, "the connection to ZooKeeper ended");
                    State::Trying(Some(error))
                }
                Err(error) => State::Away(error),
            };
            self.state.send_replace(error);
            let wait = reconnect.failed(self.terms.session_timeout, fastrand::f64());
            tokio::select! {
                biased;
                () = unused.closed() => return,
                () = sleep(wait) => {}
            }
        }
    }

    /// Tries each server once.
    async fn open(&mut self) -> Result<(Wire, Line)> {
        let mut failed = None;
        for _ in 0..self.terms.servers.len() {
            let limit = self.terms.connect_timeout.min(self.terms.session_timeout / 3);
            let opened = match timeout(limit, self.open_next()).await {
                Ok(opened) => opened,
                Err(_) => Err(self.silence().await),
            };
            match opened {
                Ok(opened) => return Ok(opened),
                // An error that a server reports is more useful than a timeout of another one.
                Err(error) if failed.is_none() || !may_pass(&error) => failed = Some(error),
                Err(_) => {}
            }
            self.turn += 1;
        }
        Err(failed.unwrap_or_else(|| Error::new(Kind::Internal, "no server")))
    }

    fn server(&self) -> &HostPort {
        &self.terms.servers[self.turn % self.terms.servers.len()]
    }

    fn label(&self) -> String {
        format!("zookeeper://{}", self.server())
    }

    /// The address of the server. A host name with several addresses counts as several servers.
    async fn address(&self) -> Result<SocketAddr> {
        let ips = self.terms.names.resolve_async(&self.server().host, self.terms.connect_timeout).await?;
        let ip = ips.get((self.turn / self.terms.servers.len()) % ips.len().max(1));
        let none = || Error::new(Kind::Unavailable, format!("{} has no address", self.server().host));
        ip.map(|ip| (*ip, self.server().port).into()).ok_or_else(none)
    }

    /// The error if a server did not respond in time. Before the first session, probes for a server of another protocol that
    /// waits for more data.
    async fn silence(&self) -> Error {
        if self.id == 0
            && let Ok(address) = self.address().await
            && let Some(word) = protocol_probe::probe_http(address).await
        {
            return foreign_answer(&self.label(), &word);
        }
        Error::new(Kind::Timeout, format!("{}: no answer in time", self.label()))
    }

    /// Connects to one server, and resumes the session, or opens a new one if it has expired.
    async fn open_next(&mut self) -> Result<(Wire, Line)> {
        let (address, label) = (self.address().await?, Arc::<str>::from(self.label()));
        let asked = self.terms.session_timeout;
        loop {
            let mut wire = Wire::connect(address, label.clone()).await?;
            let greeting = match wire.greet(asked, self.id, &self.password).await {
                Ok(greeting) => greeting,
                Err(Refused::Expired) => {
                    tracing::info!(session = self.id, "the ZooKeeper session has expired; opening a new one");
                    (self.id, self.password) = (0, vec![0; 16]);
                    continue;
                }
                Err(Refused::Failed(error)) => return Err(error),
            };
            if let Some(user) = &self.terms.user {
                wire.authenticate(user).await?;
            }
            (self.id, self.password) = (greeting.session, greeting.password);
            let session_timeout = Duration::from_millis(greeting.timeout_ms as u64);
            let limit = self.terms.request_timeout.min(session_timeout / 6);
            let line = Line::new(self.id, session_timeout, limit, label, wire.requests());
            return Ok((wire, line));
        }
    }

    /// Serves the connection until it breaks. `None` if the handle was dropped and the session was closed.
    async fn serve(&self, mut wire: Wire, line: &Line) -> Option<Error> {
        let served = tokio::select! {
            biased;
            () = self.state.closed() => None,
            error = wire.serve(line.timeout / 3, |told| self.tell(told)) => Some(error),
        };
        match served {
            None => {
                // If this fails, the session ends after its timeout.
                let _ = timeout(FAREWELL, wire.end_session()).await;
                None
            }
            Some(error) => {
                line.broke(error.clone());
                Some(error)
            }
        }
    }

    fn tell(&self, told: Told) {
        let mut listeners = self.listeners.lock();
        match told {
            Told::Answers => listeners.retain(|listener| listener.send(Told::Answers).is_ok()),
            Told::Happened(event) => {
                listeners.retain(|listener| listener.send(Told::Happened(event.clone())).is_ok());
            }
        }
    }
}
