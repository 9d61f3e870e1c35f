//! The session: opened on first use, kept alive by pings, resumed at whichever server answers, and made anew once the
//! servers say that it is over.
//!
//! ```text
//!  Trying ── a server lets us in ──► Up(line) ── broken, or deaf for two pings ──► Trying ─┐
//!    ▲                                                                                     │
//!    ├── a while ── Away ◄── none of the servers does ◄────────────────────────────────────┘
//! ```
//!
//! A ping goes out every third of the session's time. Where nothing has come by the next one the connection is given
//! up, which leaves the last third to reach another server before the session is over.

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
use crate::registry::address::{HostPort, User};
use crate::registry::foreign;
use crate::registry::pushed::caught;
use crate::registry::reconnect::Reconnect;
use crate::registry::resolve::Resolver;
use crate::runtime::{ForkLocal, Runtime};
use crate::sync::Mutex;

/// How long saying goodbye may take.
const FAREWELL: Duration = Duration::from_millis(500);

/// Who is asked, and how.
pub(super) struct Terms {
    pub(super) servers: Vec<HostPort>,
    pub(super) user: Option<User>,
    /// How long the session shall outlive its last message; the servers have limits of their own.
    pub(super) session_timeout: Duration,
    pub(super) connect_timeout: Duration,
    /// How long one request may take, at most.
    pub(super) request_timeout: Duration,
    pub(super) names: Arc<Resolver>,
}

/// Where the session stands.
#[derive(Clone)]
pub(super) enum State {
    /// Being opened, or its connection broke just now.
    Trying(Option<Error>),
    /// It can be asked.
    Up(Arc<Line>),
    /// No server answered; the next try comes later.
    Away(Error),
}

/// What watches hear of beside [`State`].
pub(super) enum Told {
    /// A watch has seen something.
    Happened(Event),
    /// The server answered a ping: whatever it has not told of is as it was.
    Answers,
}

type Listeners = Arc<Mutex<Vec<UnboundedSender<Told>>>>;

/// A session, for those who use it; over once this is dropped.
pub(super) struct Session {
    state: ForkLocal<watch::Receiver<State>>,
    listeners: Listeners,
}

impl Session {
    /// Begins to open one; none where there is no thread for it.
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
        // It ends by itself, once it has said goodbye.
        runtime.spawn(keeper.keep())?.leave();
        Some(Session { state: ForkLocal::new(state), listeners })
    }

    pub(super) fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// What is told from now on.
    pub(super) fn listen(&self) -> UnboundedReceiver<Told> {
        let (tell, hear) = unbounded_channel();
        self.listeners.lock().push(tell);
        hear
    }
}

/// The line of a session, as soon as there is one; why there is none, where no server answers.
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

/// Keeps a session.
struct Keeper {
    terms: Arc<Terms>,
    state: watch::Sender<State>,
    listeners: Listeners,
    /// 0 before there is one.
    id: i64,
    password: Vec<u8>,
    /// Which server is tried next.
    turn: usize,
}

impl Keeper {
    /// What panics is begun anew, with the session that there is.
    async fn keep(mut self) {
        let unused = self.state.clone();
        let mut reconnect = Reconnect::default();
        while caught(self.keep_on()).await.is_none() {
            let error =
                Error::new(Kind::Internal, "what keeps the ZooKeeper session panicked; please report it");
            tracing::error!(session = self.id, %error, "it is begun anew");
            if let State::Up(line) = self.state.send_replace(State::Away(error.clone())) {
                line.broke(error);
            }
            let wait = reconnect.lost(self.terms.session_timeout, fastrand::f64());
            tokio::select! {
                biased;
                () = unused.closed() => return,
                () = sleep(wait) => {}
            }
        }
    }

    async fn keep_on(&mut self) {
        let unused = self.state.clone();
        // Clients that start together do not all go to the first server.
        self.turn = fastrand::usize(..self.terms.servers.len());
        let mut reconnect = Reconnect::default();
        loop {
            let opened = tokio::select! {
                biased;
                () = unused.closed() => return,
                opened = self.open() => opened,
            };
            let error = match opened {
                Ok((wire, line)) => {
                    reconnect.found();
                    let line = Arc::new(line);
                    self.state.send_replace(State::Up(line.clone()));
                    let Some(error) = self.serve(wire, &line).await else { return };
                    self.turn += 1;
                    tracing::debug!(session = self.id, %error, "the connection to ZooKeeper is over");
                    State::Trying(Some(error))
                }
                Err(error) => State::Away(error),
            };
            self.state.send_replace(error);
            let wait = reconnect.lost(self.terms.session_timeout, fastrand::f64());
            tokio::select! {
                biased;
                () = unused.closed() => return,
                () = sleep(wait) => {}
            }
        }
    }

    /// Asks each server once.
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
                // What a server says tells more than that another one is silent.
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

    /// Where it is. A name with several addresses is as good as several servers.
    async fn address(&self) -> Result<SocketAddr> {
        let ips = self.terms.names.found(&self.server().host, self.terms.connect_timeout).await?;
        let ip = ips.get((self.turn / self.terms.servers.len()) % ips.len().max(1));
        let none = || Error::new(Kind::Unavailable, format!("{} has no address", self.server().host));
        ip.map(|ip| (*ip, self.server().port).into()).ok_or_else(none)
    }

    /// What it means that nothing came in time: something else may listen there and wait for more, unless it has let us
    /// in before.
    async fn silence(&self) -> Error {
        if self.id == 0
            && let Ok(address) = self.address().await
            && let Some(word) = foreign::introduction(address).await
        {
            return foreign_answer(&self.label(), &word);
        }
        Error::new(Kind::Timeout, format!("{}: no answer in time", self.label()))
    }

    /// Opens the session at one server: the old one, or a new one where that is over.
    async fn open_next(&mut self) -> Result<(Wire, Line)> {
        let (address, label) = (self.address().await?, Arc::<str>::from(self.label()));
        let asked = self.terms.session_timeout;
        loop {
            let mut wire = Wire::connect(address, label.clone()).await?;
            let greeting = match wire.greet(asked, self.id, &self.password).await {
                Ok(greeting) => greeting,
                Err(Refused::Expired) => {
                    tracing::info!(session = self.id, "the ZooKeeper session is over; a new one is opened");
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

    /// Serves until the connection breaks; none where nobody uses the session any more and it was ended.
    async fn serve(&self, mut wire: Wire, line: &Line) -> Option<Error> {
        let served = tokio::select! {
            biased;
            () = self.state.closed() => None,
            error = wire.serve(line.timeout / 3, |told| self.tell(told)) => Some(error),
        };
        match served {
            None => {
                // Where it is not heard, the session ends by itself after its time.
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
