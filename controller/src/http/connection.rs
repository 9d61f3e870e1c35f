//! One connection, from accept to close, and the watch over those that waste it.
//!
//! hyper has a time limit for headers, but it also runs while a kept connection rests between two requests, and
//! clients beat every few seconds. So the two limits are ours: 10 s from the first byte of a request to the end of
//! its headers, 75 s without any byte in either direction while no request is being answered. A `Pulse`
//! notes what happens, and a look every few seconds closes what is overdue.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::App;
use super::middleware::answer;
use crate::config::Limits;

/// What a connection did last, in milliseconds of the coarse clock.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    last_byte: AtomicU64,
    /// When the head that is being read began, plus one; zero while none is.
    head_began: AtomicU64,
    /// A request is being answered.
    busy: AtomicBool,
    watch_answered: Mutex<Option<Instant>>,
}

impl Pulse {
    pub(super) fn request_begins(&self) {
        self.busy.store(true, Relaxed);
        self.head_began.store(0, Relaxed);
    }

    pub(super) fn request_ends(&self, now: u64) {
        self.last_byte.store(now, Relaxed);
        self.busy.store(false, Relaxed);
    }

    pub(super) fn last_watch_answer(&self) -> Option<Instant> {
        *self.watch_answered.lock()
    }

    pub(super) fn watch_answered(&self, at: Instant) {
        *self.watch_answered.lock() = Some(at);
    }

    fn received(&self, now: u64) {
        self.last_byte.store(now, Relaxed);
        if !self.busy.load(Relaxed) && self.head_began.load(Relaxed) == 0 {
            self.head_began.store(now + 1, Relaxed);
        }
    }

    fn sent(&self, now: u64) {
        self.last_byte.store(now, Relaxed);
    }

    fn is_overdue(&self, now: u64, limits: &Limits) -> bool {
        let longer_than = |since: u64, limit: Duration| now.saturating_sub(since) >= limit.as_millis() as u64;
        let head_began = self.head_began.load(Relaxed);
        let head_is_slow = head_began > 0 && longer_than(head_began - 1, limits.headers);
        let rests = !self.busy.load(Relaxed) && longer_than(self.last_byte.load(Relaxed), limits.idle);
        head_is_slow || rests
    }
}

/// Serves the connection until it ends, wastes our time, or the controller ends.
pub(crate) async fn serve<S>(app: Arc<App>, router: Router, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let pulse = Arc::new(Pulse::default());
    pulse.sent(app.clock.coarse());
    let io = TokioIo::new(Watched { stream, pulse: Arc::clone(&pulse), app: Arc::clone(&app) });
    let service = service_fn(|request| answer(Arc::clone(&app), router.clone(), Arc::clone(&pulse), request));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(None).half_close(false);
    let mut connection = pin!(server.serve_connection(io, service));
    let mut look = interval(look_every(&app.limits));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut closes = pin!(app.closes());
    let mut closing = false;
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                }
                return;
            }
            _ = look.tick() => {
                if pulse.is_overdue(app.clock.coarse(), &app.limits) {
                    tracing::debug!("connection closed: too slow, or idle");
                    return;
                }
            }
            () = closes.as_mut(), if !closing => {
                closing = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

fn look_every(limits: &Limits) -> Duration {
    (limits.headers.min(limits.idle) / 4).clamp(Duration::from_millis(20), Duration::from_millis(2_500))
}

/// A stream that tells its pulse of every byte.
struct Watched<S> {
    stream: S,
    pulse: Arc<Pulse>,
    app: Arc<App>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, out);
        if out.filled().len() > before {
            self.pulse.received(self.app.clock.coarse());
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> Watched<S> {
    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(written, Poll::Ready(Ok(_))) {
            self.pulse.sent(self.app.clock.coarse());
        }
        written
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        body: 0,
        headers: Duration::from_secs(10),
        body_time: Duration::ZERO,
        idle: Duration::from_secs(75),
        connections: 1,
    };

    #[test]
    fn a_head_that_trickles_in_is_overdue_after_its_limit() {
        let pulse = Pulse::default();
        pulse.received(0);
        pulse.received(9_000);
        assert!(!pulse.is_overdue(9_999, &LIMITS));
        assert!(pulse.is_overdue(10_000, &LIMITS));
    }

    #[test]
    fn a_request_being_answered_is_never_overdue() {
        let pulse = Pulse::default();
        pulse.received(0);
        pulse.request_begins();
        assert!(!pulse.is_overdue(1_000_000, &LIMITS));
    }

    #[test]
    fn a_resting_connection_is_overdue_after_the_idle_limit() {
        let pulse = Pulse::default();
        pulse.request_begins();
        pulse.request_ends(1_000);
        assert!(!pulse.is_overdue(75_999, &LIMITS));
        assert!(pulse.is_overdue(76_000, &LIMITS));
    }
}
