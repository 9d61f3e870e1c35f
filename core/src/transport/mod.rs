//! Sockets and HTTP/1.1 as we need them: what the calls and the registries send and receive.
//!
//! ```text
//!  Agent (one per endpoint) ── idle connections ──┐
//!     exchange(request, limits) ──────────────► Connection ── plain or TLS socket, waits in slices
//!                                                 │
//!                                        http1: writes a request, reads an answer (pure, no socket)
//! ```
//!
//! `http1` is a machine that never touches a socket, so that the blocking exchange here and the parked one
//! of a waiting watch read answers with the same code.

mod agent;
mod answer;
mod connection;
pub mod http1;
pub mod longpoll;
pub mod tls;

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::clock::Deadline;
use crate::error::{Error, Kind};
use crate::interrupt::Interrupt;

pub use agent::{Agent, Exchange, Limits, Options};
pub use answer::{Answer, Headers};

/// Where an [`Agent`] connects, and under which names.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it connects.
    pub address: SocketAddr,
    /// What it sends in the Host header.
    pub host: String,
    /// The name to verify, if TLS is spoken.
    pub tls: Option<tls::Name>,
}

/// A connection for what is not HTTP, opened in slices: within `timeout` and before the deadline.
pub fn connect(
    address: SocketAddr,
    timeout: Duration,
    deadline: Deadline,
    interrupt: &dyn Interrupt,
) -> Result<TcpStream, Failure> {
    connection::connect(address, timeout, &connection::Wait { deadline, interrupt })
}

/// Why an exchange failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Failure {
    /// The connection failed; the request was not sent.
    Refused(String),
    /// The TLS handshake failed, or the certificate did not verify; the request was not sent.
    Tls(String),
    /// The connection broke after the request may have been read.
    Reset(String),
    /// No complete response in time.
    Timeout,
    /// The response was not valid HTTP/1.1.
    BadAnswer(String),
    /// The body was larger than allowed.
    TooLarge(u64),
    /// The caller interrupted the wait.
    Interrupted(Error),
}

impl Failure {
    /// The kind of error this is to a caller.
    pub fn kind(&self) -> Kind {
        match self {
            Failure::Refused(_) | Failure::Reset(_) => Kind::Unavailable,
            Failure::Timeout => Kind::Timeout,
            Failure::Tls(_) | Failure::BadAnswer(_) | Failure::TooLarge(_) => Kind::Protocol,
            Failure::Interrupted(error) => error.kind(),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Refused(what) => write!(f, "could not connect: {what}"),
            Failure::Tls(what) => write!(f, "TLS failed: {what}"),
            Failure::Reset(what) => write!(f, "connection broke: {what}"),
            Failure::Timeout => f.write_str("no answer in time"),
            Failure::BadAnswer(what) => write!(f, "not an HTTP/1.1 answer: {what}"),
            Failure::TooLarge(limit) => write!(f, "the body is larger than max_body ({limit} bytes)"),
            Failure::Interrupted(error) => write!(f, "{error}"),
        }
    }
}
