//! Exchanges with one endpoint, over connections that are kept while they are good.
//!
//! A connection is looked at before it is used again, so one that the server closed meanwhile is noticed
//! in nearly every case. In the remaining one (it closes while our request is on its way) nobody can tell
//! whether the request was read: the exchange is made once more on a fresh connection if that is safe.

use std::time::Duration;

use crate::sync::Mutex;

use super::connection::{Connection, Wait};
use super::http1::{self, Progress, Reader};
use super::{Answer, Failure, Target};
use crate::clock::{self, Deadline, Tick};
use crate::interrupt::Interrupt;
use crate::runtime;

/// Idle connections older than this are not used again.
const MAX_IDLE: Duration = Duration::from_mins(1);
/// What must not be repeated is sent only over a connection that was in use a moment ago.
const FRESH: Duration = Duration::from_secs(2);
/// More idle connections than this are not kept.
const MAX_KEPT: usize = 128;
/// Bodies up to this size travel in the same packet as the head.
const INLINE_BODY: usize = 16 << 10;

/// What an agent does for every exchange.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long opening a connection may take.
    pub connect_timeout: Duration,
}

/// One request, ready to be written. No part may hold CR, LF or NUL.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// Path and query, escaped.
    pub path: &'a str,
    /// Sent in the Host header instead of the target's, if set.
    pub host: Option<&'a str>,
    /// Every other header but Content-Length.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body; `None` sends no Content-Length.
    pub body: Option<&'a [u8]>,
    /// Whether the server may see it twice.
    pub repeatable: bool,
}

/// What an exchange must keep to.
#[derive(Clone, Copy)]
pub struct Limits<'a> {
    /// When it must be over.
    pub deadline: Deadline,
    /// The largest body taken.
    pub max_body: u64,
    /// Who may end it.
    pub interrupt: &'a dyn Interrupt,
}

/// Everything that exchanges with one endpoint share.
pub struct Agent {
    target: Target,
    options: Options,
    idle: Mutex<Vec<Connection>>,
    /// The process that opened the idle connections; a forked child must not touch them.
    generation: u64,
}

impl Agent {
    /// An agent for this target; connects when first used.
    pub fn new(target: Target, options: Options) -> Agent {
        Agent { target, options, idle: Mutex::default(), generation: runtime::generation() }
    }

    /// Where it connects.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Sends the request and receives the whole answer.
    pub fn exchange(&self, request: &Exchange<'_>, limits: &Limits<'_>) -> Result<Answer, Failure> {
        let wait = Wait { deadline: limits.deadline, interrupt: limits.interrupt };
        let Some(connection) = self.take_idle(request.repeatable) else {
            return self.on_fresh(request, limits, &wait);
        };
        match self.on(connection, request, limits, &wait) {
            Err(Broken { failure: Failure::Reset(_), answered: false }) if request.repeatable => {
                self.on_fresh(request, limits, &wait)
            }
            other => other.map_err(|broken| broken.failure),
        }
    }

    fn on_fresh(
        &self,
        request: &Exchange<'_>,
        limits: &Limits<'_>,
        wait: &Wait<'_>,
    ) -> Result<Answer, Failure> {
        let connection = Connection::open(&self.target, self.options.connect_timeout, wait)?;
        self.on(connection, request, limits, wait).map_err(|broken| broken.failure)
    }

    fn on(
        &self,
        mut connection: Connection,
        request: &Exchange<'_>,
        limits: &Limits<'_>,
        wait: &Wait<'_>,
    ) -> Result<Answer, Broken> {
        let mut reader = Reader::new(request.method, limits.max_body);
        let outcome = self
            .send(&mut connection, request, wait)
            .and_then(|()| receive(&mut connection, &mut reader, wait));
        // A server may answer and close without reading all of a large body: its answer counts.
        let outcome = match outcome {
            Err(Failure::Reset(what)) if !reader.has_started() => {
                receive(&mut connection, &mut reader, wait).map_err(|_| Failure::Reset(what))
            }
            other => other,
        };
        outcome.map_err(|failure| Broken { failure, answered: reader.has_started() })?;
        if let Some(keep_alive) = reader.reuse() {
            self.keep(connection, keep_alive);
        }
        reader.finish().map_err(|failure| Broken { failure, answered: true })
    }

    fn send(
        &self,
        connection: &mut Connection,
        request: &Exchange<'_>,
        wait: &Wait<'_>,
    ) -> Result<(), Failure> {
        let body = request.body.unwrap_or_default();
        let (inline, rest) = if body.len() <= INLINE_BODY { (body, &body[..0]) } else { (&body[..0], body) };
        let host = request.host.unwrap_or(&self.target.host);
        let length = request.body.map(<[u8]>::len);
        let out = connection.outbox();
        http1::write_head(out, request.method, request.path, host, request.headers, length);
        out.extend_from_slice(inline);
        connection.send_outbox(wait)?;
        connection.send(rest, wait)
    }

    fn take_idle(&self, repeatable: bool) -> Option<Connection> {
        if self.generation != runtime::generation() {
            return None;
        }
        let now = clock::now();
        loop {
            let mut idle = self.idle.lock();
            // The last one is the freshest: where it is not fresh enough, none is, and others may still want them.
            if !repeatable && now.since(idle.last()?.idle_since) >= FRESH {
                return None;
            }
            let connection = idle.pop()?;
            drop(idle);
            let fit = now < connection.idle_until && now.since(connection.idle_since) < MAX_IDLE;
            if fit && connection.is_alive() {
                return Some(connection);
            }
        }
    }

    fn keep(&self, mut connection: Connection, keep_alive: Option<u64>) {
        if self.generation != runtime::generation() {
            return;
        }
        let now = clock::now();
        connection.idle_since = now;
        connection.idle_until = idle_until(now, keep_alive);
        let mut idle = self.idle.lock();
        // Last in, first out: the oldest lie at the bottom. One look per exchange keeps them few.
        let stale = idle.first().is_some_and(|oldest| now >= oldest.idle_until);
        let dropped = stale.then(|| idle.remove(0));
        if idle.len() < MAX_KEPT {
            idle.push(connection);
        }
        drop(idle);
        drop(dropped);
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if self.generation != runtime::generation() {
            // These sockets are the parent's: closing them here would end its TLS sessions.
            std::mem::forget(std::mem::take(self.idle.get_mut()));
        }
    }
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Agent({})", self.target.address)
    }
}

/// A second before the server closes it, and never later than [`MAX_IDLE`].
fn idle_until(now: Tick, keep_alive: Option<u64>) -> Tick {
    let said = keep_alive.map_or(MAX_IDLE, |seconds| Duration::from_secs(seconds.saturating_sub(1)));
    now.after(said.min(MAX_IDLE))
}

struct Broken {
    failure: Failure,
    /// Whether any of an answer had arrived: then the server certainly saw the request.
    answered: bool,
}

fn receive(connection: &mut Connection, reader: &mut Reader, wait: &Wait<'_>) -> Result<(), Failure> {
    loop {
        let received = connection.receive(wait)?;
        if received.is_empty() {
            return reader.eof();
        }
        if reader.feed(received)? == Progress::Done {
            return Ok(());
        }
    }
}
