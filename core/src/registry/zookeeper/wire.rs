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

use super::jute::{
    AUTH, Body, Bytes, EVENT, Event, Greeting, Head, LONGEST, Malformed, Op, PING, first_frame,
};
use super::line::{Answer, Request};
use super::session::Told;
use crate::error::{Error, Kind, Result};
use crate::registry::address::Credentials;
use crate::registry::protocol_probe::describe;

/// The longest connect response that is accepted. The actual one is far shorter.
const LONGEST_GREETING: usize = 256;
/// How many bytes are read at a time.
const PIECE: usize = 64 << 10;

/// Why a session was not opened.
pub(super) enum Refused {
    /// It has expired, or these servers never had it.
    Expired,
    Failed(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Refused {
        Refused::Failed(error)
    }
}

/// A connection. It writes one buffer at a time with `send`: a vectored write would raise SIGPIPE in a program that does not
/// ignore it.
pub(super) struct Wire {
    socket: TcpStream,
    label: Arc<str>,
    arrived: Vec<u8>,
    leaving: Vec<u8>,
    xid: i32,
    /// The requests in flight. Responses arrive in the order of the requests.
    waiting: VecDeque<(i32, oneshot::Sender<Answer>)>,
    asks: UnboundedSender<Request>,
    asked: UnboundedReceiver<Request>,
}

impl Wire {
    pub(super) async fn connect(address: SocketAddr, label: Arc<str>) -> Result<Wire> {
        let away = |error: std::io::Error| {
            Error::new(Kind::Unavailable, format!("{label}: could not connect: {error}"))
        };
        let socket = TcpStream::connect(address).await.map_err(away)?;
        socket.set_nodelay(true).map_err(away)?;
        let (asks, asked) = unbounded_channel();
        let (arrived, leaving, waiting) = (Vec::new(), Vec::new(), VecDeque::new());
        Ok(Wire { socket, label, arrived, leaving, xid: 0, waiting, asks, asked })
    }

    /// The sender for requests on this connection.
    pub(super) fn requests(&self) -> UnboundedSender<Request> {
        self.asks.clone()
    }

    /// Opens a new session, or resumes this one.
    pub(super) async fn greet(
        &mut self,
        asked: Duration,
        session: i64,
        password: &[u8],
    ) -> std::result::Result<Greeting, Refused> {
        let asked = i32::try_from(asked.as_millis()).unwrap_or(i32::MAX);
        Body::connect(asked, session, password).frame(&mut self.leaving);
        self.flush().await?;
        let greeting = loop {
            if let Some((frame, taken)) =
                first_frame(&self.arrived, LONGEST_GREETING).map_err(|_| self.foreign())?
            {
                let greeting = Greeting::read(Bytes(frame)).map_err(|_| self.foreign())?;
                self.arrived.drain(..taken);
                break greeting;
            }
            if self.read().await?.is_none() {
                if !self.arrived.is_empty() {
                    return Err(self.foreign().into());
                }
                let message = "closed the connection without a response; is it still starting, or not a ZooKeeper server?";
                return Err(self.failed(Kind::Unavailable, message).into());
            }
        };
        if greeting.timeout_ms > 0 && greeting.session != 0 {
            return Ok(greeting);
        }
        // A new session that has expired at once would be requested in a tight loop.
        if session == 0 { Err(self.foreign().into()) } else { Err(Refused::Expired) }
    }

    /// Sends the credentials (scheme "digest").
    pub(super) async fn authenticate(&mut self, user: &Credentials) -> Result<()> {
        let secret = format!("{}:{}", user.name, user.password);
        Body::default().int(0).bytes(b"digest").bytes(secret.as_bytes()).request(
            AUTH,
            Op::Auth,
            &mut self.leaving,
        );
        self.flush().await?;
        loop {
            let frame = first_frame(&self.arrived, LONGEST).map_err(|_| self.foreign())?;
            if let Some((frame, taken)) = frame {
                let head = Head::read(&mut Bytes(frame)).map_err(|_| self.foreign())?;
                self.arrived.drain(..taken);
                match head {
                    Head { xid: AUTH, code: 0 } => return Ok(()),
                    Head { xid: AUTH, .. } => {
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
    pub(super) async fn serve(&mut self, keep_alive: Duration, mut tell: impl FnMut(Told)) -> Error {
        let mut ticks = interval_at(Instant::now() + keep_alive, keep_alive);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut is_silent = false;
        loop {
            let done = tokio::select! {
                biased;
                Some(request) = self.asked.recv() => {
                    self.send(request);
                    Ok(())
                }
                ready = self.socket.writable(), if !self.leaving.is_empty() => {
                    ready.map_err(|error| self.broke(&error)).and_then(|()| self.write().map(drop))
                }
                ready = self.socket.readable() => match ready.map_err(|error| self.broke(&error)) {
                    Ok(()) => self.take().and_then(|count| {
                        is_silent &= count.ok_or_else(|| self.ended())? == 0;
                        self.answers(&mut tell)
                    }),
                    Err(error) => Err(error),
                },
                _ = ticks.tick() => {
                    if is_silent {
                        Err(self.failed(Kind::Timeout, "no data received, not even the response to a ping"))
                    } else {
                        is_silent = true;
                        Body::default().request(PING, Op::Ping, &mut self.leaving);
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
        while let Ok(request) = self.asked.try_recv() {
            self.send(request);
        }
        let (answer, mut answered) = oneshot::channel();
        self.send(Request { op: Op::CloseSession, body: Body::default(), answer });
        self.flush().await?;
        while answered.try_recv().is_err() {
            if self.read().await?.is_none() {
                break;
            }
            self.answers(&mut |_| ())?;
        }
        Ok(())
    }

    fn send(&mut self, Request { op, body, answer }: Request) {
        // The xids of requests are positive, and start again at 1 after two billion.
        self.xid = self.xid.checked_add(1).unwrap_or(1);
        body.request(self.xid, op, &mut self.leaving);
        self.waiting.push_back((self.xid, answer));
    }

    /// Delivers the received frames.
    fn answers(&mut self, tell: &mut impl FnMut(Told)) -> Result<()> {
        let mut taken = 0;
        let outcome = loop {
            let (frame, length) = match first_frame(&self.arrived[taken..], LONGEST) {
                Ok(Some(found)) => found,
                Ok(None) => break Ok(()),
                Err(_) => break Err(self.foreign()),
            };
            if hand_out(frame, &mut self.waiting, tell).is_err() {
                break Err(self.failed(Kind::Protocol, "received a malformed response"));
            }
            taken += length;
        };
        self.arrived.drain(..taken);
        outcome
    }

    /// Writes as much as possible without blocking.
    fn write(&mut self) -> Result<usize> {
        match self.socket.try_write(&self.leaving) {
            Ok(count) => {
                self.leaving.drain(..count);
                Ok(count)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(self.broke(&error)),
        }
    }

    async fn flush(&mut self) -> Result<()> {
        while !self.leaving.is_empty() {
            self.socket.writable().await.map_err(|error| self.broke(&error))?;
            self.write()?;
        }
        Ok(())
    }

    /// Reads without blocking. Returns the number of bytes; `None` at the end of the stream.
    fn take(&mut self) -> Result<Option<usize>> {
        let before = self.arrived.len();
        self.arrived.resize(before + PIECE, 0);
        let read = self.socket.try_read(&mut self.arrived[before..]);
        self.arrived.truncate(before + read.as_ref().copied().unwrap_or_default());
        match read {
            Ok(count) => Ok(Some(count).filter(|count| *count > 0)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Some(0)),
            Err(error) => Err(self.broke(&error)),
        }
    }

    /// Waits for data; `None` at the end of the stream.
    async fn read(&mut self) -> Result<Option<()>> {
        loop {
            self.socket.readable().await.map_err(|error| self.broke(&error))?;
            match self.take()? {
                Some(0) => {}
                more => return Ok(more.map(drop)),
            }
        }
    }

    fn failed(&self, kind: Kind, what: &str) -> Error {
        Error::new(kind, format!("{}: {what}", self.label))
    }

    fn broke(&self, error: &std::io::Error) -> Error {
        self.failed(Kind::Unavailable, &format!("the connection broke: {error}"))
    }

    fn ended(&self) -> Error {
        self.failed(Kind::Unavailable, "the server closed the connection")
    }

    /// The error for a server of another protocol.
    fn foreign(&self) -> Error {
        foreign_answer(&self.label, &self.arrived)
    }
}

/// The error for a server of another protocol that has sent these bytes.
pub(super) fn foreign_answer(label: &str, said: &[u8]) -> Error {
    let message = format!("{label}: does not answer as ZooKeeper does; {}", describe(said));
    Error::new(Kind::Protocol, message)
}

/// Delivers one frame to its receiver.
fn hand_out(
    frame: &[u8],
    waiting: &mut VecDeque<(i32, oneshot::Sender<Answer>)>,
    tell: &mut impl FnMut(Told),
) -> std::result::Result<(), Malformed> {
    let mut bytes = Bytes(frame);
    let head = Head::read(&mut bytes)?;
    match head.xid {
        PING => tell(Told::Answers),
        AUTH => {}
        EVENT => {
            if let Some(event) = Event::read(bytes)? {
                tell(Told::Happened(event));
            }
        }
        xid => {
            let (expected, answer) = waiting.pop_front().ok_or(Malformed)?;
            if expected != xid {
                return Err(Malformed);
            }
            // The caller may have given up.
            let _ = answer.send((head.code, bytes.0.to_owned()));
        }
    }
    Ok(())
}
