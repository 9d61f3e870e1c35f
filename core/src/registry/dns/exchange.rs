//! Exchanges queries and responses over UDP, and over TCP where a response does not fit into a datagram.
//!
//! ```text
//!  query ── server 1 ── all questions at once, each try from a new port ── questions without a response ─┐
//!            ▲  └─ a response is truncated: the same question over TCP                                    │
//!            └──────── the next server, in the end the first one again, `attempts` times in all ◄─────────┘
//! ```
//!
//! Each try gets an equal share of the remaining time, so that a dead server leaves time for the next one. The server
//! that answered last is tried first the next time.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::message::{DnsDatagram, DnsQuestion, DnsReply, EncodedQuestion};
use crate::error::{Error, Kind, Result};
use crate::interrupt::SLICE;
use crate::registry::types::WaitLimit;
use crate::transport;

/// How many questions are sent at once. A server can queue more than this.
const MAX_IN_FLIGHT: usize = 16;
/// The buffer for one datagram. A server should send less, but a longer datagram can still be read.
const MAX_MESSAGE: usize = 65_535;

/// The servers to query, and their limits.
pub(super) struct NameServers<'a> {
    pub(super) list: Vec<SocketAddr>,
    /// The index of the server that answered last.
    pub(super) first: &'a AtomicUsize,
    /// How often each server is tried.
    pub(super) attempts: u32,
    /// How long one try may take at most.
    pub(super) try_timeout: Duration,
    pub(super) only_tcp: bool,
}

/// Why there is no result.
#[derive(Debug)]
pub(super) struct DnsFailure {
    pub(super) error: Error,
    /// Whether a server responded, but without a usable result. Then other names may still succeed.
    pub(super) got_response: bool,
}

/// The result of a query.
pub(super) type DnsResult<T> = std::result::Result<T, DnsFailure>;

impl From<Error> for DnsFailure {
    fn from(error: Error) -> DnsFailure {
        DnsFailure { error, got_response: false }
    }
}

impl NameServers<'_> {
    /// The reply to each question; never [`DnsReply::Refused`].
    pub(super) fn query(&self, questions: &[DnsQuestion], wait: &WaitLimit<'_>) -> DnsResult<Vec<DnsReply>> {
        let mut replies = Vec::with_capacity(questions.len());
        for some in questions.chunks(MAX_IN_FLIGHT) {
            replies.extend(self.query_batch(some, wait)?);
        }
        Ok(replies)
    }

    fn query_batch(&self, questions: &[DnsQuestion], wait: &WaitLimit<'_>) -> DnsResult<Vec<DnsReply>> {
        let mut round = QueryRound { questions, replies: vec![None; questions.len()] };
        let mut error = Error::new(Kind::Unavailable, "there are no name servers");
        let first = self.first.load(Ordering::Relaxed);
        let tries = self.list.len() * self.attempts as usize;
        for n in 0..tries {
            wait.interrupt.check()?;
            let Ok(left) = wait.remaining() else { break };
            let at = (first + n) % self.list.len();
            let share = left / u32::try_from(tries - n).unwrap_or(u32::MAX);
            let wait_here = wait.at_most(self.try_timeout.min(share));
            if let Err(other) = round.query_server(self.list[at], self.only_tcp, &wait_here) {
                wait.interrupt.check()?;
                error = other;
            }
            if round.unanswered().next().is_none() {
                self.first.store(at, Ordering::Relaxed);
                return Ok(round.replies.into_iter().flatten().collect());
            }
        }
        Err(DnsFailure { error, got_response: round.replies.iter().any(Option::is_some) })
    }
}

/// Some questions, and the replies so far.
struct QueryRound<'a> {
    questions: &'a [DnsQuestion],
    replies: Vec<Option<DnsReply>>,
}

impl QueryRound<'_> {
    /// The questions without a usable reply.
    fn unanswered(&self) -> impl Iterator<Item = usize> {
        let is_open = |reply: &Option<DnsReply>| matches!(reply, None | Some(DnsReply::Refused(_)));
        self.replies.iter().enumerate().filter(move |(_, reply)| is_open(reply)).map(|(at, _)| at)
    }

    /// Sends all open questions to one server.
    fn query_server(&mut self, server: SocketAddr, only_tcp: bool, wait: &WaitLimit<'_>) -> Result<()> {
        let open: Vec<usize> = self.unanswered().collect();
        if only_tcp {
            for at in &open {
                self.replies[*at] = Some(over_tcp(server, &self.questions[*at], wait)?);
            }
        } else {
            self.over_udp(server, open.clone(), wait)?;
        }
        let refused = open.into_iter().find_map(|at| match &self.replies[at] {
            Some(DnsReply::Refused(what)) => Some(refusal_error(server, &self.questions[at], what)),
            _ => None,
        });
        refused.map_or(Ok(()), Err)
    }

    fn over_udp(&mut self, server: SocketAddr, mut open: Vec<usize>, wait: &WaitLimit<'_>) -> Result<()> {
        let io_error = |error: std::io::Error| io_error(server, &error);
        // A new port for each try, chosen by the system. The socket is connected, so it receives from this server only.
        let any: IpAddr =
            if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).map_err(io_error)?;
        socket.connect(server).map_err(io_error)?;
        let encoded: Vec<EncodedQuestion> =
            self.questions.iter().map(DnsQuestion::encode).collect::<Result<_>>()?;
        for at in &open {
            socket.send(&encoded[*at].bytes).map_err(io_error)?;
        }
        let mut inbox = vec![0; MAX_MESSAGE];
        while let Some(next) = open.first() {
            let left = remaining_time(server, &self.questions[*next], wait)?;
            socket.set_read_timeout(Some(left.min(SLICE))).map_err(io_error)?;
            let length = match socket.recv(&mut inbox) {
                Ok(length) => length,
                Err(error) if is_slice_end(&error) => continue,
                Err(error) => return Err(io_error(error)),
            };
            let mut readings =
                open.iter().map(|at| self.questions[*at].decode(encoded[*at].id, &inbox[..length]));
            let Some((place, reading)) =
                readings.by_ref().enumerate().find(|(_, reading)| *reading != DnsDatagram::Unrelated)
            else {
                continue;
            };
            drop(readings);
            let at = open.remove(place);
            self.replies[at] = Some(match reading {
                DnsDatagram::Reply(reply) => reply,
                _ => over_tcp(server, &self.questions[at], wait)?,
            });
        }
        Ok(())
    }
}

fn over_tcp(server: SocketAddr, question: &DnsQuestion, wait: &WaitLimit<'_>) -> Result<DnsReply> {
    let io_error = |error: std::io::Error| io_error(server, &error);
    let time = remaining_time(server, question, wait)?;
    let mut stream = transport::connect(server, time, wait.deadline, wait.interrupt)
        .map_err(|failure| Error::new(failure.kind(), format!("{}, over TCP: {failure}", label(server))))?;
    stream.set_read_timeout(Some(SLICE)).map_err(io_error)?;
    stream.set_write_timeout(Some(time)).map_err(io_error)?;
    let encoded = question.encode()?;
    let length =
        u16::try_from(encoded.bytes.len()).map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
    stream.write_all(&[&length.to_be_bytes()[..], &encoded.bytes].concat()).map_err(io_error)?;
    let mut length = [0; 2];
    read(&mut stream, &mut length, server, question, wait)?;
    let mut response = vec![0; u16::from_be_bytes(length).into()];
    read(&mut stream, &mut response, server, question, wait)?;
    match question.decode(encoded.id, &response) {
        DnsDatagram::Reply(reply) => Ok(reply),
        DnsDatagram::Truncated => Ok(DnsReply::Refused("a response that is truncated even over TCP".into())),
        DnsDatagram::Unrelated => {
            let message =
                format!("{} sent a response over TCP that does not match the question", label(server));
            Err(Error::new(Kind::Protocol, message))
        }
    }
}

/// Fills the buffer, in slices of the wait.
fn read(
    stream: &mut TcpStream,
    mut buffer: &mut [u8],
    server: SocketAddr,
    question: &DnsQuestion,
    wait: &WaitLimit<'_>,
) -> Result<()> {
    while !buffer.is_empty() {
        remaining_time(server, question, wait)?;
        match stream.read(buffer) {
            Ok(0) => return Err(io_error(server, &ErrorKind::UnexpectedEof.into())),
            Ok(length) => buffer = &mut buffer[length..],
            Err(error) if is_slice_end(&error) => {}
            Err(error) => return Err(io_error(server, &error)),
        }
    }
    Ok(())
}

/// The remaining time of one try.
fn remaining_time(server: SocketAddr, question: &DnsQuestion, wait: &WaitLimit<'_>) -> Result<Duration> {
    wait.remaining().map_err(|error| match error.kind() {
        Kind::Timeout => {
            let message =
                format!("{} did not answer the query for {} in time", label(server), describe(question));
            Error::new(Kind::Timeout, message)
        }
        _ => error,
    })
}

fn is_slice_end(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn io_error(server: SocketAddr, error: &std::io::Error) -> Error {
    Error::new(Kind::Unavailable, format!("{}: {error}", label(server)))
}

fn refusal_error(server: SocketAddr, question: &DnsQuestion, what: &str) -> Error {
    Error::new(
        Kind::Unavailable,
        format!("{} answered the query for {}: {what}", label(server), describe(question)),
    )
}

fn label(server: SocketAddr) -> String {
    format!("name server {server}")
}

fn describe(question: &DnsQuestion) -> String {
    format!("{} {}", question.name, question.kind)
}
