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

use super::connection::ZooKeeperConnection;
use super::connection::is_temporary;
use super::jute::NodeEvent;
use super::socket::{ConnectFailure, ZooKeeperSocket, wrong_protocol_error};
use crate::error::{Error, Kind, Result};
use crate::registry::address::{Credentials, HostPort};
use crate::registry::async_bridge::catch_panic;
use crate::registry::protocol_probe;
use crate::registry::reconnect::ReconnectBackoff;
use crate::registry::resolver::Resolver;
use crate::runtime::{ForkLocal, Runtime};
use crate::sync::Mutex;

/// How long closing the session may take.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// The servers, and the settings of the session.
pub(super) struct SessionConfig {
    pub(super) servers: Vec<HostPort>,
    pub(super) user: Option<Credentials>,
    /// The requested session timeout. The servers have limits of their own.
    pub(super) session_timeout: Duration,
    pub(super) connect_timeout: Duration,
    /// The maximum time for one request.
    pub(super) request_timeout: Duration,
    pub(super) resolver: Arc<Resolver>,
}

/// The state of the session.
#[derive(Clone)]
pub(super) enum SessionState {
    /// Being opened; with an error if its connection has just broken.
    Connecting(Option<Error>),
    /// Connected.
    Connected(Arc<ZooKeeperConnection>),
    /// No server answered; another attempt follows.
    Failed(Error),
}

/// An event that watches receive, apart from changes of the state.
pub(super) enum SessionEvent {
    /// A watch has fired.
    WatchFired(NodeEvent),
    /// The server answered a ping, so all earlier events have been received.
    PingAnswered,
}

type EventSenders = Arc<Mutex<Vec<UnboundedSender<SessionEvent>>>>;

/// The handle of a session. The session ends when it is dropped.
pub(super) struct ZooKeeperSession {
    state: ForkLocal<watch::Receiver<SessionState>>,
    senders: EventSenders,
}

impl ZooKeeperSession {
    /// Starts to open a session; `None` if the runtime has stopped.
    pub(super) fn start(config: Arc<SessionConfig>, runtime: &Runtime) -> Option<ZooKeeperSession> {
        let (sender, state) = watch::channel(SessionState::Connecting(None));
        let senders = EventSenders::default();
        let task = SessionTask {
            config,
            state: sender,
            senders: senders.clone(),
            id: 0,
            password: vec![0; 16],
            next_server: 0,
        };
        // The task ends by itself after it has closed the session.
        runtime.spawn(task.run())?.leave();
        Some(ZooKeeperSession { state: ForkLocal::new(state), senders })
    }

    pub(super) fn state(&self) -> watch::Receiver<SessionState> {
        self.state.clone()
    }

    /// A receiver of all events from now on.
    pub(super) fn subscribe(&self) -> UnboundedReceiver<SessionEvent> {
        let (sender, receiver) = unbounded_channel();
        self.senders.lock().push(sender);
        receiver
    }
}

/// The connection of a session, once it is established; the error if no server answers.
pub(super) async fn connection(mut state: watch::Receiver<SessionState>) -> Result<Arc<ZooKeeperConnection>> {
    loop {
        match &*state.borrow_and_update() {
            SessionState::Connected(connection) => return Ok(connection.clone()),
            SessionState::Failed(error) => return Err(error.clone()),
            SessionState::Connecting(_) => {}
        }
        if state.changed().await.is_err() {
            return Err(Error::new(Kind::Closed, "the client was closed"));
        }
    }
}

/// The task that maintains a session.
struct SessionTask {
    config: Arc<SessionConfig>,
    state: watch::Sender<SessionState>,
    senders: EventSenders,
    /// 0 before the session has been opened.
    id: i64,
    password: Vec<u8>,
    /// The index of the server that is tried next.
    next_server: usize,
}

impl SessionTask {
    /// Maintains the session. After a panic it continues with the same session.
    async fn run(mut self) {
        let state_sender = self.state.clone();
        let mut reconnect = ReconnectBackoff::default();
        while catch_panic(self.maintain()).await.is_none() {
            let error = Error::new(Kind::Internal, "the ZooKeeper session task panicked; please report it");
            tracing::error!(session = self.id, %error, "restarting the ZooKeeper session task");
            if let SessionState::Connected(connection) =
                self.state.send_replace(SessionState::Failed(error.clone()))
            {
                connection.set_broken(error);
            }
            let wait = reconnect.failed(self.config.session_timeout, fastrand::f64());
            tokio::select! {
                biased;
                () = state_sender.closed() => return,
                () = sleep(wait) => {}
            }
        }
    }

    async fn maintain(&mut self) {
        let state_sender = self.state.clone();
        // A random first server, so that clients spread over all servers.
        self.next_server = fastrand::usize(..self.config.servers.len());
        let mut reconnect = ReconnectBackoff::default();
        loop {
            let opened = tokio::select! {
                biased;
                () = state_sender.closed() => return,
                opened = self.open() => opened,
            };
            let error = match opened {
                Ok((socket, connection)) => {
                    reconnect.succeeded();
                    let connection = Arc::new(connection);
                    self.state.send_replace(SessionState::Connected(connection.clone()));
                    let Some(error) = self.serve(socket, &connection).await else { return };
                    self.next_server += 1;
                    tracing::debug!(session = self.id, %error, "the connection to ZooKeeper ended");
                    SessionState::Connecting(Some(error))
                }
                Err(error) => SessionState::Failed(error),
            };
            self.state.send_replace(error);
            let wait = reconnect.failed(self.config.session_timeout, fastrand::f64());
            tokio::select! {
                biased;
                () = state_sender.closed() => return,
                () = sleep(wait) => {}
            }
        }
    }

    /// Tries each server once.
    async fn open(&mut self) -> Result<(ZooKeeperSocket, ZooKeeperConnection)> {
        let mut failed = None;
        for _ in 0..self.config.servers.len() {
            let limit = self.config.connect_timeout.min(self.config.session_timeout / 3);
            let opened = match timeout(limit, self.connect_next()).await {
                Ok(opened) => opened,
                Err(_) => Err(self.timeout_error().await),
            };
            match opened {
                Ok(opened) => return Ok(opened),
                // An error that a server reports is more useful than a timeout of another one.
                Err(error) if failed.is_none() || !is_temporary(&error) => failed = Some(error),
                Err(_) => {}
            }
            self.next_server += 1;
        }
        Err(failed.unwrap_or_else(|| Error::new(Kind::Internal, "no server")))
    }

    fn server(&self) -> &HostPort {
        &self.config.servers[self.next_server % self.config.servers.len()]
    }

    fn label(&self) -> String {
        format!("zookeeper://{}", self.server())
    }

    /// The address of the server. A host name with several addresses counts as several servers.
    async fn address(&self) -> Result<SocketAddr> {
        let ips =
            self.config.resolver.resolve_async(&self.server().host, self.config.connect_timeout).await?;
        let ip = ips.get((self.next_server / self.config.servers.len()) % ips.len().max(1));
        let none = || Error::new(Kind::Unavailable, format!("{} has no address", self.server().host));
        ip.map(|ip| (*ip, self.server().port).into()).ok_or_else(none)
    }

    /// The error if a server did not respond in time. Before the first session, probes for a server of another protocol that
    /// waits for more data.
    async fn timeout_error(&self) -> Error {
        if self.id == 0
            && let Ok(address) = self.address().await
            && let Some(bytes) = protocol_probe::probe_http(address).await
        {
            return wrong_protocol_error(&self.label(), &bytes);
        }
        Error::new(Kind::Timeout, format!("{}: no answer in time", self.label()))
    }

    /// Connects to one server, and resumes the session, or opens a new one if it has expired.
    async fn connect_next(&mut self) -> Result<(ZooKeeperSocket, ZooKeeperConnection)> {
        let (address, label) = (self.address().await?, Arc::<str>::from(self.label()));
        let asked = self.config.session_timeout;
        loop {
            let mut socket = ZooKeeperSocket::connect(address, label.clone()).await?;
            let response = match socket.connect_session(asked, self.id, &self.password).await {
                Ok(response) => response,
                Err(ConnectFailure::Expired) => {
                    tracing::info!(session = self.id, "the ZooKeeper session has expired; opening a new one");
                    (self.id, self.password) = (0, vec![0; 16]);
                    continue;
                }
                Err(ConnectFailure::Failed(error)) => return Err(error),
            };
            if let Some(user) = &self.config.user {
                socket.authenticate(user).await?;
            }
            (self.id, self.password) = (response.session, response.password);
            let session_timeout = Duration::from_millis(response.timeout_ms as u64);
            let limit = self.config.request_timeout.min(session_timeout / 6);
            let connection =
                ZooKeeperConnection::new(self.id, session_timeout, limit, label, socket.requests());
            return Ok((socket, connection));
        }
    }

    /// Serves the connection until it breaks. `None` if the handle was dropped and the session was closed.
    async fn serve(&self, mut socket: ZooKeeperSocket, connection: &ZooKeeperConnection) -> Option<Error> {
        let served = tokio::select! {
            biased;
            () = self.state.closed() => None,
            error = socket.serve(connection.timeout / 3, |event| self.send_event(event)) => Some(error),
        };
        match served {
            None => {
                // If this fails, the session ends after its timeout.
                let _ = timeout(CLOSE_TIMEOUT, socket.end_session()).await;
                None
            }
            Some(error) => {
                connection.set_broken(error.clone());
                Some(error)
            }
        }
    }

    fn send_event(&self, event: SessionEvent) {
        let mut senders = self.senders.lock();
        match event {
            SessionEvent::PingAnswered => {
                senders.retain(|sender| sender.send(SessionEvent::PingAnswered).is_ok());
            }
            SessionEvent::WatchFired(event) => {
                senders.retain(|sender| sender.send(SessionEvent::WatchFired(event.clone())).is_ok());
            }
        }
    }
}
