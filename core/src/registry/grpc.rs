//! What registries that speak gRPC share: one of their servers, how it is reached, what its refusals mean.
//!
//! A [`Line`] is one connection. It is never mended behind our back: when it breaks, every request on it fails,
//! and whoever holds it connects anew, here or elsewhere.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Status};

use super::address::HostPort;
use super::foreign::{self, SHOWN};
use super::resolve::Resolver;
use super::{Setup, Wait};
use crate::error::{Error, Kind, Result};
use crate::sync::Mutex;
use crate::transport::tls;

/// What stands for first bytes that TLS hides: the beginning of a frame of settings.
const ENCRYPTED: &[u8] = &[0, 0, 0, 4];

/// One server of a registry.
pub(super) struct Door {
    name: HostPort,
    /// For messages.
    label: Arc<str>,
    tls: Option<tls::Name>,
    connect_timeout: Duration,
    names: Arc<Resolver>,
    /// Which of the name's addresses is tried; moved on by every failure.
    turn: AtomicUsize,
}

/// A connection to it.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) channel: Channel,
    said: Arc<Said>,
    address: SocketAddr,
    label: Arc<str>,
}

impl Door {
    /// A server, reached over TLS where `secure`. Fails only for what the settings of TLS say.
    pub(super) fn new(
        name: &HostPort,
        scheme: &'static str,
        secure: bool,
        setup: &Setup,
        names: Arc<Resolver>,
    ) -> Result<Door> {
        let verified = setup.tls.server_name.as_deref().unwrap_or(&name.host);
        let tls = secure.then(|| tls::Name::over(verified, &setup.tls, tls::Protocol::Http2)).transpose()?;
        let connect_timeout = setup.connect_timeout;
        let label = format!("{scheme}://{name}").into();
        Ok(Door { name: name.clone(), label, tls, connect_timeout, names, turn: AtomicUsize::new(0) })
    }

    /// The same, called otherwise in messages.
    #[cfg(feature = "nacos")]
    pub(super) fn called(self, label: String) -> Door {
        Door { label: label.into(), ..self }
    }

    /// Connects. A server that does not answer a ping within `keep_alive`, sent after as long a silence, has
    /// broken the line.
    pub(super) async fn connect(&self, keep_alive: Duration) -> Result<Line> {
        let connected = self.open(keep_alive).await;
        if connected.is_err() {
            self.turn.fetch_add(1, Ordering::Relaxed);
        }
        connected
    }

    async fn open(&self, keep_alive: Duration) -> Result<Line> {
        let failed = |kind: Kind, what: String| Error::new(kind, format!("{}: {what}", self.label));
        let away = |what: String| failed(Kind::Unavailable, format!("could not connect: {what}"));
        let late = |_| failed(Kind::Timeout, "could not connect in time".into());
        let address = self.address().await?;
        let socket = timeout(self.connect_timeout, TcpStream::connect(address)).await.map_err(late)?;
        let socket = socket.map_err(|error| away(error.to_string()))?;
        socket.set_nodelay(true).map_err(|error| away(error.to_string()))?;
        let said = Arc::new(Said::default());
        if self.tls.is_some() {
            said.note(ENCRYPTED);
        }
        let socket = Socket { socket, said: self.tls.is_none().then(|| said.clone()) };
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(socket),
            Some(tls::Name { server_name, config }) => {
                let connector = TlsConnector::from(config.clone());
                let agreed = timeout(self.connect_timeout, connector.connect(server_name.clone(), socket));
                let agreed = agreed.await.map_err(late)?;
                Box::new(agreed.map_err(|error| failed(Kind::Protocol, format!("TLS failed: {error}")))?)
            }
        };
        let uri: Uri = format!("http://{}", self.name)
            .parse()
            .map_err(|error| Error::invalid(format!("{}: no authority: {error}", self.label)))?;
        let endpoint = Endpoint::from(uri)
            .http2_keep_alive_interval(keep_alive)
            .keep_alive_timeout(keep_alive)
            .keep_alive_while_idle(true);
        let stream = Mutex::new(Some(stream));
        let once = tower::service_fn(move |_: Uri| {
            let stream = stream.lock().take().map(TokioIo::new);
            async move { stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
        });
        let spoken =
            timeout(self.connect_timeout, endpoint.connect_with_connector(once)).await.map_err(late)?;
        let channel = spoken.map_err(|error| away(deepest(&error)))?;
        Ok(Line { channel, said, address, label: self.label.clone() })
    }

    async fn address(&self) -> Result<SocketAddr> {
        let ips = self.names.found(&self.name.host, self.connect_timeout).await?;
        let ip = ips.get(self.turn.load(Ordering::Relaxed) % ips.len().max(1));
        let none = || Error::new(Kind::Unavailable, format!("{} has no address", self.name.host));
        ip.map(|ip| (*ip, self.name.port).into()).ok_or_else(none)
    }

    /// This machine's address on the way to it.
    pub(super) fn local_ip(&self, wait: &Wait<'_>) -> Option<std::net::IpAddr> {
        self.names.local_ip_towards(&self.name, wait)
    }
}

impl Line {
    /// For messages.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// One request, one answer, within a time.
    pub(super) async fn ask<T>(
        &self,
        at_most: Duration,
        request: impl Future<Output = std::result::Result<tonic::Response<T>, Status>>,
    ) -> Result<T> {
        match timeout(at_most, request).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => {
                self.listen_again().await;
                Err(self.failed(&status))
            }
            Err(_) => Err(Error::new(Kind::Timeout, format!("{}: no answer in time", self.label))),
        }
    }

    /// What hung up without a word is asked once more what it is.
    async fn listen_again(&self) {
        if self.said.is_something() {
            return;
        }
        if let Some(word) = foreign::introduction(self.address).await {
            self.said.note(&word);
        }
    }

    /// What a refusal, or a broken line, means.
    pub(super) fn failed(&self, status: &Status) -> Error {
        if let Some(other) = self.said.something_else() {
            let message = format!("{} does not speak gRPC; {other}", self.label);
            return Error::new(Kind::Protocol, message);
        }
        let kind = match status.code() {
            Code::Unauthenticated => Kind::Unauthenticated,
            Code::PermissionDenied => Kind::PermissionDenied,
            Code::DeadlineExceeded => Kind::Timeout,
            Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition => Kind::InvalidArgument,
            Code::Unimplemented | Code::DataLoss => Kind::Protocol,
            // An answer, and a clear one: the line is as good as before.
            Code::NotFound => Kind::NotFound,
            Code::ResourceExhausted => Kind::Overloaded,
            _ => Kind::Unavailable,
        };
        let why = std::error::Error::source(status).map(deepest);
        let message = match why {
            Some(why) if self.said.is_something() => format!("{}: connection broke: {why}", self.label),
            Some(why) => {
                format!("{} hung up without a word; does it want TLS, or speak no gRPC? ({why})", self.label)
            }
            None if status.code() == Code::Unimplemented => {
                let said = Some(status.message()).filter(|said| !said.is_empty());
                let said = said.unwrap_or_else(|| status.code().description());
                format!("{} is a gRPC server of another kind: {said:?}", self.label)
            }
            None => format!("{}: {}", self.label, status.message()),
        };
        Error::new(kind, message)
    }
}

/// The error that others only wrap.
fn deepest(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .last()
        .map(ToString::to_string)
        .unwrap_or_default()
}

/// The first bytes that a server sent.
#[derive(Default)]
struct Said(Mutex<Vec<u8>>);

impl Said {
    fn note(&self, bytes: &[u8]) {
        let mut said = self.0.lock();
        let room = SHOWN.saturating_sub(said.len());
        said.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn is_something(&self) -> bool {
        !self.0.lock().is_empty()
    }

    /// What it said, if that is not how HTTP/2 begins.
    fn something_else(&self) -> Option<String> {
        let said = self.0.lock();
        (said.len() > 3 && !foreign::is_http2(&said)).then(|| foreign::shown(&said))
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A socket that never raises SIGPIPE (a vectored write would) and notes what is said first.
struct Socket {
    socket: TcpStream,
    said: Option<Arc<Said>>,
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if let Some(said) = &self.said {
            let news = &buffer.filled()[before..];
            said.note(news);
            if said.0.lock().len() >= SHOWN {
                self.said = None;
            }
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        if let (Poll::Ready(Err(_)), Some(said)) = (&written, &self.said) {
            // Whoever hangs up may have said why, and nobody will read it after this.
            let mut word = [0; SHOWN];
            if let Ok((length, _)) = recv(&self.socket, &mut word[..], RecvFlags::DONTWAIT) {
                said.note(&word[..length]);
            }
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
