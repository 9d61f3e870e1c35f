//! The socket of one connection: the connect handshake, then one loop that writes requests, reads responses and pings.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::{Instant, interval_at};

use super::connection::{PendingRequest, RawResponse};
use super::jute::{
    AUTH, ConnectResponse, EVENT, JuteReader, MAX_FRAME, MalformedJute, NodeEvent, OpCode, PING, RequestBody,
    ResponseHead, first_frame,
};
use super::session::SessionEvent;
use crate::error::{Error, Kind, Result};
use crate::registry::address::Credentials;
use crate::registry::protocol_probe::describe;

/// The longest connect response that is accepted. The actual one is far shorter.
const MAX_CONNECT_RESPONSE: usize = 256;
/// How many bytes are read at a time.
const READ_SIZE: usize = 64 << 10;

/// Why a session was not opened.
pub(super) enum ConnectFailure {
    /// It has expired, or these servers never had it.
    Expired,
    Failed(Error),
}

impl From<Error> for ConnectFailure {
    fn from(error: Error) -> ConnectFailure {
        ConnectFailure::Failed(error)
    }
}

/// A connection. It writes one buffer at a time with `send`: a vectored write would raise SIGPIPE in a program that does not
/// ignore it.
pub(super) struct ZooKeeperSocket {
    stream: TcpStream,
    label: Arc<str>,
    received: Vec<u8>,
    outgoing: Vec<u8>,
    xid: i32,
    /// The requests in flight. Responses arrive in the order of the requests.
    in_flight: VecDeque<(i32, oneshot::Sender<RawResponse>)>,
    request_sender: UnboundedSender<PendingRequest>,
    requests: UnboundedReceiver<PendingRequest>,
}

impl ZooKeeperSocket {
    pub(super) async fn connect(address: SocketAddr, label: Arc<str>) -> Result<ZooKeeperSocket> {
        let away = |error: std::io::Error| {
            Error::new(Kind::Unavailable, format!("{label}: could not connect: {error}"))
        };
        let stream = TcpStream::connect(address).await.map_err(away)?;
        stream.set_nodelay(true).map_err(away)?;
        let (request_sender, requests) = unbounded_channel();
        let (received, outgoing, in_flight) = (Vec::new(), Vec::new(), VecDeque::new());
        Ok(ZooKeeperSocket { stream, label, received, outgoing, xid: 0, in_flight, request_sender, requests })
    }

    /// The sender for requests on this connection.
    pub(super) fn requests(&self) -> UnboundedSender<PendingRequest> {
        self.request_sender.clone()
    }

    /// Opens a new session, or resumes this one.
    pub(super) async fn connect_session(
        &mut self,
        session_timeout: Duration,
        session: i64,
        password: &[u8],
    ) -> std::result::Result<ConnectResponse, ConnectFailure> {
        let timeout_ms = i32::try_from(session_timeout.as_millis()).unwrap_or(i32::MAX);
        RequestBody::connect(timeout_ms, session, password).frame(&mut self.outgoing);
        self.flush().await?;
        let response = loop {
            if let Some((frame, taken)) =
                first_frame(&self.received, MAX_CONNECT_RESPONSE).map_err(|_| self.wrong_protocol())?
            {
                let response = ConnectResponse::read(JuteReader(frame)).map_err(|_| self.wrong_protocol())?;
                self.received.drain(..taken);
                break response;
            }
            if self.read().await?.is_none() {
                if !self.received.is_empty() {
                    return Err(self.wrong_protocol().into());
                }
                let message = "closed the connection without a response; is it still starting, or not a ZooKeeper server?";
                return Err(self.failed(Kind::Unavailable, message).into());
            }
        };
        if response.timeout_ms > 0 && response.session != 0 {
            return Ok(response);
        }
        // A new session that has expired at once would be requested in a tight loop.
        if session == 0 { Err(self.wrong_protocol().into()) } else { Err(ConnectFailure::Expired) }
    }

    /// Sends the credentials (scheme "digest").
    pub(super) async fn authenticate(&mut self, user: &Credentials) -> Result<()> {
        let secret = format!("{}:{}", user.name, user.password);
        RequestBody::default().int(0).bytes(b"digest").bytes(secret.as_bytes()).request(
            AUTH,
            OpCode::Auth,
            &mut self.outgoing,
        );
        self.flush().await?;
        loop {
            let frame = first_frame(&self.received, MAX_FRAME).map_err(|_| self.wrong_protocol())?;
            if let Some((frame, taken)) = frame {
                let head = ResponseHead::read(&mut JuteReader(frame)).map_err(|_| self.wrong_protocol())?;
                self.received.drain(..taken);
                match head {
                    ResponseHead { xid: AUTH, code: 0 } => return Ok(()),
                    ResponseHead { xid: AUTH, .. } => {
                        return Err(self.failed(Kind::Unauthenticated, "the credentials were rejected"));
                    }
                    _ => {}
                }
            } else if self.read().await?.is_none() {
                return Err(self.ended());
            }
        }
    }

    /// Writes requests, reads responses and pings until the connection breaks. Returns the error.
    pub(super) async fn serve(
        &mut self,
        keep_alive: Duration,
        mut send_event: impl FnMut(SessionEvent),
    ) -> Error {
        let mut ticks = interval_at(Instant::now() + keep_alive, keep_alive);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut is_silent = false;
        loop {
            let done = tokio::select! {
                biased;
                Some(request) = self.requests.recv() => {
                    self.send(request);
                    Ok(())
                }
                ready = self.stream.writable(), if !self.outgoing.is_empty() => {
                    ready.map_err(|error| self.io_error(&error)).and_then(|()| self.write().map(drop))
                }
                ready = self.stream.readable() => match ready.map_err(|error| self.io_error(&error)) {
                    Ok(()) => self.read_available().and_then(|count| {
                        is_silent &= count.ok_or_else(|| self.ended())? == 0;
                        self.deliver_received(&mut send_event)
                    }),
                    Err(error) => Err(error),
                },
                _ = ticks.tick() => {
                    if is_silent {
                        Err(self.failed(Kind::Timeout, "no data received, not even the response to a ping"))
                    } else {
                        is_silent = true;
                        RequestBody::default().request(PING, OpCode::Ping, &mut self.outgoing);
                        Ok(())
                    }
                }
            };
            if let Err(error) = done {
                return error;
            }
        }
    }

    /// Closes the session, and waits for the response.
    pub(super) async fn end_session(&mut self) -> Result<()> {
        while let Ok(request) = self.requests.try_recv() {
            self.send(request);
        }
        let (response, mut received_response) = oneshot::channel();
        self.send(PendingRequest { op: OpCode::CloseSession, body: RequestBody::default(), response });
        self.flush().await?;
        while received_response.try_recv().is_err() {
            if self.read().await?.is_none() {
                break;
            }
            self.deliver_received(&mut |_| ())?;
        }
        Ok(())
    }

    fn send(&mut self, PendingRequest { op, body, response }: PendingRequest) {
        // The xids of requests are positive, and start again at 1 after two billion.
        self.xid = self.xid.checked_add(1).unwrap_or(1);
        body.request(self.xid, op, &mut self.outgoing);
        self.in_flight.push_back((self.xid, response));
    }

    /// Delivers the received frames.
    fn deliver_received(&mut self, send_event: &mut impl FnMut(SessionEvent)) -> Result<()> {
        let mut taken = 0;
        let outcome = loop {
            let (frame, length) = match first_frame(&self.received[taken..], MAX_FRAME) {
                Ok(Some(found)) => found,
                Ok(None) => break Ok(()),
                Err(_) => break Err(self.wrong_protocol()),
            };
            if deliver(frame, &mut self.in_flight, send_event).is_err() {
                break Err(self.failed(Kind::Protocol, "received a malformed response"));
            }
            taken += length;
        };
        self.received.drain(..taken);
        outcome
    }

    /// Writes as much as possible without blocking.
    fn write(&mut self) -> Result<usize> {
        match self.stream.try_write(&self.outgoing) {
            Ok(count) => {
                self.outgoing.drain(..count);
                Ok(count)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(self.io_error(&error)),
        }
    }

    async fn flush(&mut self) -> Result<()> {
        while !self.outgoing.is_empty() {
            self.stream.writable().await.map_err(|error| self.io_error(&error))?;
            self.write()?;
        }
        Ok(())
    }

    /// Reads without blocking. Returns the number of bytes; `None` at the end of the stream.
    fn read_available(&mut self) -> Result<Option<usize>> {
        let before = self.received.len();
        self.received.resize(before + READ_SIZE, 0);
        let read = self.stream.try_read(&mut self.received[before..]);
        self.received.truncate(before + read.as_ref().copied().unwrap_or_default());
        match read {
            Ok(count) => Ok(Some(count).filter(|count| *count > 0)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Some(0)),
            Err(error) => Err(self.io_error(&error)),
        }
    }

    /// Waits for data; `None` at the end of the stream.
    async fn read(&mut self) -> Result<Option<()>> {
        loop {
            self.stream.readable().await.map_err(|error| self.io_error(&error))?;
            match self.read_available()? {
                Some(0) => {}
                more => return Ok(more.map(drop)),
            }
        }
    }

    fn failed(&self, kind: Kind, what: &str) -> Error {
        Error::new(kind, format!("{}: {what}", self.label))
    }

    fn io_error(&self, error: &std::io::Error) -> Error {
        self.failed(Kind::Unavailable, &format!("the connection broke: {error}"))
    }

    fn ended(&self) -> Error {
        self.failed(Kind::Unavailable, "the server closed the connection")
    }

    /// The error for a server of another protocol.
    fn wrong_protocol(&self) -> Error {
        wrong_protocol_error(&self.label, &self.received)
    }
}

/// The error for a server of another protocol that has sent these bytes.
pub(super) fn wrong_protocol_error(label: &str, bytes: &[u8]) -> Error {
    let message = format!("{label}: does not answer as ZooKeeper does; {}", describe(bytes));
    Error::new(Kind::Protocol, message)
}

/// Delivers one frame to its receiver.
fn deliver(
    frame: &[u8],
    in_flight: &mut VecDeque<(i32, oneshot::Sender<RawResponse>)>,
    send_event: &mut impl FnMut(SessionEvent),
) -> std::result::Result<(), MalformedJute> {
    let mut bytes = JuteReader(frame);
    let head = ResponseHead::read(&mut bytes)?;
    match head.xid {
        PING => send_event(SessionEvent::PingAnswered),
        AUTH => {}
        EVENT => {
            if let Some(event) = NodeEvent::read(bytes)? {
                send_event(SessionEvent::WatchFired(event));
            }
        }
        xid => {
            let (expected, response) = in_flight.pop_front().ok_or(MalformedJute)?;
            if expected != xid {
                return Err(MalformedJute);
            }
            // The caller may have given up.
            let _ = response.send((head.code, bytes.0.to_owned()));
        }
    }
    Ok(())
}
