//! Questions and answers over the network: datagrams, and a connection for what does not fit into one.
//!
//! ```text
//!  ask ── server 1 ── all questions at once, from a port of their own ── what has no answer yet ─┐
//!          ▲  └─ an answer is truncated: the same question over TCP                               │
//!          └──────── the next server, in the end the first again, as often as `attempts` says ◄───┘
//! ```
//!
//! Each try gets a fair share of the time that is left, so that a dead server leaves time for the next. The server
//! that answered last is asked first the next time.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::message::{Asking, Question, Reading, Reply};
use crate::error::{Error, Kind, Result};
use crate::interrupt::SLICE;
use crate::registry::Wait;
use crate::transport;

/// More than a server has to keep in its inbox at once for us.
const MOST_AT_ONCE: usize = 16;
/// More than any server should send; what it sends instead can still be read.
const MAX_MESSAGE: usize = 65_535;

/// Whom to ask, and how patiently.
pub(super) struct Servers<'a> {
    pub(super) list: Vec<SocketAddr>,
    /// Which of them answered last.
    pub(super) first: &'a AtomicUsize,
    /// How often each is asked.
    pub(super) attempts: u32,
    /// How long one try may take at most.
    pub(super) patience: Duration,
    pub(super) only_tcp: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    /// Whether a server answered, though not as was hoped: then other names may fare better.
    pub(super) is_heard: bool,
}

/// What came of asking.
pub(super) type Asked<T> = std::result::Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure { error, is_heard: false }
    }
}

impl Servers<'_> {
    /// The answer to each question: found or nothing, never [`Reply::Refused`].
    pub(super) fn ask(&self, questions: &[Question], wait: &Wait<'_>) -> Asked<Vec<Reply>> {
        let mut replies = Vec::with_capacity(questions.len());
        for some in questions.chunks(MOST_AT_ONCE) {
            replies.extend(self.ask_some(some, wait)?);
        }
        Ok(replies)
    }

    fn ask_some(&self, questions: &[Question], wait: &Wait<'_>) -> Asked<Vec<Reply>> {
        let mut round = Round { questions, replies: vec![None; questions.len()] };
        let mut error = Error::new(Kind::Unavailable, "there is no name server to ask");
        let first = self.first.load(Ordering::Relaxed);
        let tries = self.list.len() * self.attempts as usize;
        for n in 0..tries {
            wait.interrupt.check()?;
            let Ok(left) = wait.left() else { break };
            let at = (first + n) % self.list.len();
            let share = left / u32::try_from(tries - n).unwrap_or(u32::MAX);
            let wait_here = wait.at_most(self.patience.min(share));
            if let Err(other) = round.at(self.list[at], self.only_tcp, &wait_here) {
                wait.interrupt.check()?;
                error = other;
            }
            if round.open().next().is_none() {
                self.first.store(at, Ordering::Relaxed);
                return Ok(round.replies.into_iter().flatten().collect());
            }
        }
        Err(Failure { error, is_heard: round.replies.iter().any(Option::is_some) })
    }
}

/// Some questions and what has been answered so far.
struct Round<'a> {
    questions: &'a [Question],
    replies: Vec<Option<Reply>>,
}

impl Round<'_> {
    /// What is not answered yet, or not as was hoped.
    fn open(&self) -> impl Iterator<Item = usize> {
        let is_open = |reply: &Option<Reply>| matches!(reply, None | Some(Reply::Refused(_)));
        self.replies.iter().enumerate().filter(move |(_, reply)| is_open(reply)).map(|(at, _)| at)
    }

    /// Asks one server all that is open.
    fn at(&mut self, server: SocketAddr, only_tcp: bool, wait: &Wait<'_>) -> Result<()> {
        let open: Vec<usize> = self.open().collect();
        if only_tcp {
            for at in &open {
                self.replies[*at] = Some(over_tcp(server, &self.questions[*at], wait)?);
            }
        } else {
            self.over_udp(server, open.clone(), wait)?;
        }
        let refused = open.into_iter().find_map(|at| match &self.replies[at] {
            Some(Reply::Refused(what)) => Some(refusal(server, &self.questions[at], what)),
            _ => None,
        });
        refused.map_or(Ok(()), Err)
    }

    fn over_udp(&mut self, server: SocketAddr, mut open: Vec<usize>, wait: &Wait<'_>) -> Result<()> {
        let broken = |error: std::io::Error| broken(server, &error);
        // A port of its own for each try, chosen by the system; being connected, it hears nobody else.
        let any: IpAddr =
            if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).map_err(broken)?;
        socket.connect(server).map_err(broken)?;
        let asking: Vec<Asking> = self.questions.iter().map(Question::asking).collect::<Result<_>>()?;
        for at in &open {
            socket.send(&asking[*at].bytes).map_err(broken)?;
        }
        let mut inbox = vec![0; MAX_MESSAGE];
        while let Some(next) = open.first() {
            let left = left(server, &self.questions[*next], wait)?;
            socket.set_read_timeout(Some(left.min(SLICE))).map_err(broken)?;
            let length = match socket.recv(&mut inbox) {
                Ok(length) => length,
                Err(error) if is_slice_end(&error) => continue,
                Err(error) => return Err(broken(error)),
            };
            let mut readings =
                open.iter().map(|at| self.questions[*at].read(asking[*at].id, &inbox[..length]));
            let Some((place, reading)) =
                readings.by_ref().enumerate().find(|(_, reading)| *reading != Reading::Foreign)
            else {
                continue;
            };
            drop(readings);
            let at = open.remove(place);
            self.replies[at] = Some(match reading {
                Reading::Reply(reply) => reply,
                _ => over_tcp(server, &self.questions[at], wait)?,
            });
        }
        Ok(())
    }
}

fn over_tcp(server: SocketAddr, question: &Question, wait: &Wait<'_>) -> Result<Reply> {
    let broken = |error: std::io::Error| broken(server, &error);
    let time = left(server, question, wait)?;
    let mut stream = transport::connect(server, time, wait.deadline, wait.interrupt)
        .map_err(|failure| Error::new(failure.kind(), format!("{}, over TCP: {failure}", label(server))))?;
    stream.set_read_timeout(Some(SLICE)).map_err(broken)?;
    stream.set_write_timeout(Some(time)).map_err(broken)?;
    let asking = question.asking()?;
    let length =
        u16::try_from(asking.bytes.len()).map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
    stream.write_all(&[&length.to_be_bytes()[..], &asking.bytes].concat()).map_err(broken)?;
    let mut length = [0; 2];
    read(&mut stream, &mut length, server, question, wait)?;
    let mut answer = vec![0; u16::from_be_bytes(length).into()];
    read(&mut stream, &mut answer, server, question, wait)?;
    match question.read(asking.id, &answer) {
        Reading::Reply(reply) => Ok(reply),
        Reading::Truncated => Ok(Reply::Refused("an answer that is truncated even over TCP".into())),
        Reading::Foreign => {
            let message = format!("{} sent over TCP what is no answer to the question", label(server));
            Err(Error::new(Kind::Protocol, message))
        }
    }
}

/// Fills the buffer, in slices.
fn read(
    stream: &mut TcpStream,
    mut buffer: &mut [u8],
    server: SocketAddr,
    question: &Question,
    wait: &Wait<'_>,
) -> Result<()> {
    while !buffer.is_empty() {
        left(server, question, wait)?;
        match stream.read(buffer) {
            Ok(0) => return Err(broken(server, &ErrorKind::UnexpectedEof.into())),
            Ok(length) => buffer = &mut buffer[length..],
            Err(error) if is_slice_end(&error) => {}
            Err(error) => return Err(broken(server, &error)),
        }
    }
    Ok(())
}

/// What is left of the time for one try.
fn left(server: SocketAddr, question: &Question, wait: &Wait<'_>) -> Result<Duration> {
    wait.left().map_err(|error| match error.kind() {
        Kind::Timeout => {
            let message = format!("{} did not answer in time about {}", label(server), shown(question));
            Error::new(Kind::Timeout, message)
        }
        _ => error,
    })
}

fn is_slice_end(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn broken(server: SocketAddr, error: &std::io::Error) -> Error {
    Error::new(Kind::Unavailable, format!("{}: {error}", label(server)))
}

fn refusal(server: SocketAddr, question: &Question, what: &str) -> Error {
    Error::new(Kind::Unavailable, format!("{} answered about {}: {what}", label(server), shown(question)))
}

fn label(server: SocketAddr) -> String {
    format!("name server {server}")
}

fn shown(question: &Question) -> String {
    format!("{} {}", question.name, question.kind)
}
