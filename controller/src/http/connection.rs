//! Serves one connection from accept to close, and closes it when it is too slow or idle.
//!
//! hyper's own time limit for headers also runs while a kept-alive connection waits between two requests, and clients
//! send heartbeats every few seconds. So this module sets two limits: 10 s from the first byte of a request to the end of its
//! headers, and 75 s without a byte in either direction while no request is in flight. `ConnectionActivity`
//! records the times, and a periodic check closes connections that exceed a limit.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{MissedTickBehavior, interval};

use super::App;
use super::activity::ConnectionActivity;
use super::middleware::respond;
use crate::config::Limits;

/// Serves the connection until it ends, exceeds a limit, or the controller is closing.
pub(crate) async fn serve<S>(app: Arc<App>, router: Router, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let activity = Arc::new(ConnectionActivity::default());
    activity.sent(app.clock.coarse());
    let io = TokioIo::new(MonitoredStream { stream, activity: Arc::clone(&activity), app: Arc::clone(&app) });
    let service =
        service_fn(|request| respond(Arc::clone(&app), router.clone(), Arc::clone(&activity), request));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(None).half_close(false);
    let mut connection = pin!(server.serve_connection(io, service));
    let mut overdue_check = interval(check_interval(&app.limits));
    overdue_check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut close_signal = pin!(app.closed());
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
            _ = overdue_check.tick() => {
                if activity.is_overdue(app.clock.coarse(), &app.limits) {
                    tracing::debug!("connection closed: headers too slow, or idle for too long");
                    return;
                }
            }
            () = close_signal.as_mut(), if !closing => {
                closing = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

fn check_interval(limits: &Limits) -> Duration {
    (limits.headers.min(limits.idle) / 4).clamp(Duration::from_millis(20), Duration::from_millis(2_500))
}

/// A stream that records every byte in the connection's activity.
struct MonitoredStream<S> {
    stream: S,
    activity: Arc<ConnectionActivity>,
    app: Arc<App>,
}

impl<S: AsyncRead + Unpin> AsyncRead for MonitoredStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, out);
        if out.filled().len() > before {
            self.activity.received(self.app.clock.coarse());
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> MonitoredStream<S> {
    fn record(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(written, Poll::Ready(Ok(_))) {
            self.activity.sent(self.app.clock.coarse());
        }
        written
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for MonitoredStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.record(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.record(written)
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
