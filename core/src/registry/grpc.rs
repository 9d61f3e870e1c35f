//! The gRPC part that etcd and Nacos share: a server, a connection to it, and the meaning of its errors.
//!
//! A [`GrpcConnection`] does not reconnect by itself. When it breaks, every request on it fails, and its owner opens a
//! new one, to the same server or another.

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

use crate::error::{Error, Kind, Result};
use crate::registry::address::HostPort;
use crate::registry::protocol_probe::{self, MAX_SHOWN};
use crate::registry::resolver::Resolver;
use crate::registry::setup::RegistrySetup;
use crate::registry::types::WaitLimit;
use crate::sync::Mutex;
use crate::transport::tls;

/// Stands for the first bytes of a TLS connection, which are encrypted: the start of a SETTINGS frame.
const ENCRYPTED: &[u8] = &[0, 0, 0, 4];

/// One server of a registry that speaks gRPC.
pub(super) struct GrpcServer {
    name: HostPort,
    /// The name of the server in messages.
    label: Arc<str>,
    tls: Option<tls::Name>,
    connect_timeout: Duration,
    resolver: Arc<Resolver>,
    /// Which address of the host name is tried next. Every failure advances it.
    next_address: AtomicUsize,
}

/// A connection to a gRPC server.
#[derive(Clone)]
pub(super) struct GrpcConnection {
    pub(super) channel: Channel,
    first_bytes: Arc<FirstBytes>,
    address: SocketAddr,
    label: Arc<str>,
}

impl GrpcServer {
    /// A server, reached over TLS if `secure`. Fails only if the TLS settings are invalid.
    pub(super) fn new(
        name: &HostPort,
        scheme: &'static str,
        secure: bool,
        setup: &RegistrySetup,
        resolver: Arc<Resolver>,
    ) -> Result<GrpcServer> {
        let verified = setup.tls.server_name.as_deref().unwrap_or(&name.host);
        let tls = secure.then(|| tls::Name::over(verified, &setup.tls, tls::Protocol::Http2)).transpose()?;
        let connect_timeout = setup.connect_timeout;
        let label = format!("{scheme}://{name}").into();
        Ok(GrpcServer {
            name: name.clone(),
            label,
            tls,
            connect_timeout,
            resolver,
            next_address: AtomicUsize::new(0),
        })
    }

    /// The same server with another name in messages.
    #[cfg(feature = "nacos")]
    pub(super) fn with_label(self, label: String) -> GrpcServer {
        GrpcServer { label: label.into(), ..self }
    }

    /// Connects. A ping is sent after `keep_alive` without traffic; the connection counts as broken if the server does
    /// not answer it within `keep_alive`.
    pub(super) async fn connect(&self, keep_alive: Duration) -> Result<GrpcConnection> {
        let connected = self.open(keep_alive).await;
        if connected.is_err() {
            self.next_address.fetch_add(1, Ordering::Relaxed);
        }
        connected
    }

    async fn open(&self, keep_alive: Duration) -> Result<GrpcConnection> {
        let labeled = |kind: Kind, what: String| Error::new(kind, format!("{}: {what}", self.label));
        let unavailable = |what: String| labeled(Kind::Unavailable, format!("could not connect: {what}"));
        let late = |_| labeled(Kind::Timeout, "could not connect in time".into());
        let address = self.address().await?;
        let socket = timeout(self.connect_timeout, TcpStream::connect(address)).await.map_err(late)?;
        let socket = socket.map_err(|error| unavailable(error.to_string()))?;
        socket.set_nodelay(true).map_err(|error| unavailable(error.to_string()))?;
        let first_bytes = Arc::new(FirstBytes::default());
        if self.tls.is_some() {
            first_bytes.record(ENCRYPTED);
        }
        let socket = RecordingSocket { socket, first_bytes: self.tls.is_none().then(|| first_bytes.clone()) };
        let stream: Box<dyn AsyncStream> = match &self.tls {
            None => Box::new(socket),
            Some(tls::Name { server_name, config }) => {
                let connector = TlsConnector::from(config.clone());
                let handshake = timeout(self.connect_timeout, connector.connect(server_name.clone(), socket));
                let encrypted = handshake.await.map_err(late)?;
                Box::new(encrypted.map_err(|error| labeled(Kind::Protocol, format!("TLS failed: {error}")))?)
            }
        };
        let uri: Uri = format!("http://{}", self.name)
            .parse()
            .map_err(|error| Error::invalid(format!("{}: not a valid authority: {error}", self.label)))?;
        let endpoint = Endpoint::from(uri)
            .http2_keep_alive_interval(keep_alive)
            .keep_alive_timeout(keep_alive)
            .keep_alive_while_idle(true);
        let stream = Mutex::new(Some(stream));
        let once = tower::service_fn(move |_: Uri| {
            let stream = stream.lock().take().map(TokioIo::new);
            async move { stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
        });
        let connected =
            timeout(self.connect_timeout, endpoint.connect_with_connector(once)).await.map_err(late)?;
        let channel = connected.map_err(|error| unavailable(innermost(&error)))?;
        Ok(GrpcConnection { channel, first_bytes, address, label: self.label.clone() })
    }

    async fn address(&self) -> Result<SocketAddr> {
        let ips = self.resolver.resolve_async(&self.name.host, self.connect_timeout).await?;
        let ip = ips.get(self.next_address.load(Ordering::Relaxed) % ips.len().max(1));
        let no_address = || Error::new(Kind::Unavailable, format!("{} has no address", self.name.host));
        ip.map(|ip| (*ip, self.name.port).into()).ok_or_else(no_address)
    }

    /// The address of this machine on the route to the server.
    pub(super) fn local_ip(&self, wait: &WaitLimit<'_>) -> Option<std::net::IpAddr> {
        self.resolver.local_ip_towards(&self.name, wait)
    }
}

impl GrpcConnection {
    /// The name of the server in messages.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// Waits for the response to one request, at most this long.
    pub(super) async fn request<T>(
        &self,
        limit: Duration,
        request: impl Future<Output = std::result::Result<tonic::Response<T>, Status>>,
    ) -> Result<T> {
        match timeout(limit, request).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => {
                self.probe_after_silence().await;
                Err(self.error_for(&status))
            }
            Err(_) => Err(Error::new(Kind::Timeout, format!("{}: no response in time", self.label))),
        }
    }

    /// Probes a server that closed the connection without a response, to find out what it is.
    async fn probe_after_silence(&self) {
        if self.first_bytes.is_some() {
            return;
        }
        if let Some(bytes) = protocol_probe::probe_http(self.address).await {
            self.first_bytes.record(&bytes);
        }
    }

    /// The error for a gRPC status or a broken connection.
    pub(super) fn error_for(&self, status: &Status) -> Error {
        if let Some(unexpected) = self.first_bytes.unexpected() {
            let message = format!("{} does not speak gRPC; {unexpected}", self.label);
            return Error::new(Kind::Protocol, message);
        }
        let kind = match status.code() {
            Code::Unauthenticated => Kind::Unauthenticated,
            Code::PermissionDenied => Kind::PermissionDenied,
            Code::DeadlineExceeded => Kind::Timeout,
            Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition => Kind::InvalidArgument,
            Code::Unimplemented | Code::DataLoss => Kind::Protocol,
            // A definite response: the connection is intact.
            Code::NotFound => Kind::NotFound,
            Code::ResourceExhausted => Kind::Overloaded,
            _ => Kind::Unavailable,
        };
        let why = std::error::Error::source(status).map(innermost);
        let message = match why {
            Some(why) if self.first_bytes.is_some() => format!("{}: connection broke: {why}", self.label),
            Some(why) => {
                format!(
                    "{} closed the connection without a response; does it require TLS, or is it not a gRPC server? ({why})",
                    self.label
                )
            }
            None if status.code() == Code::Unimplemented => {
                let text = Some(status.message()).filter(|text| !text.is_empty());
                let text = text.unwrap_or_else(|| status.code().description());
                format!("{} is another kind of gRPC server: {text:?}", self.label)
            }
            None => format!("{}: {}", self.label, status.message()),
        };
        Error::new(kind, message)
    }
}

/// The innermost error of a chain of sources.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .last()
        .map(ToString::to_string)
        .unwrap_or_default()
}

/// The first bytes that a server has sent.
#[derive(Default)]
struct FirstBytes(Mutex<Vec<u8>>);

impl FirstBytes {
    fn record(&self, bytes: &[u8]) {
        let mut first = self.0.lock();
        let room = MAX_SHOWN.saturating_sub(first.len());
        first.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn is_some(&self) -> bool {
        !self.0.lock().is_empty()
    }

    /// A description of these bytes, unless they are the start of an HTTP/2 connection.
    fn unexpected(&self) -> Option<String> {
        let first = self.0.lock();
        (first.len() > 3 && !protocol_probe::is_http2(&first)).then(|| protocol_probe::describe(&first))
    }
}

trait AsyncStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> AsyncStream for T {}

/// A socket that never raises SIGPIPE (a vectored write would) and records the first bytes that arrive.
struct RecordingSocket {
    socket: TcpStream,
    first_bytes: Option<Arc<FirstBytes>>,
}

impl AsyncRead for RecordingSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if let Some(first_bytes) = &self.first_bytes {
            let received = &buffer.filled()[before..];
            first_bytes.record(received);
            if first_bytes.0.lock().len() >= MAX_SHOWN {
                self.first_bytes = None;
            }
        }
        read
    }
}

impl AsyncWrite for RecordingSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        if let (Poll::Ready(Err(_)), Some(first_bytes)) = (&written, &self.first_bytes) {
            // The server may have sent the reason before it closed the connection. Nothing reads it after this error.
            let mut bytes = [0; MAX_SHOWN];
            if let Ok((length, _)) = recv(&self.socket, &mut bytes[..], RecvFlags::DONTWAIT) {
                first_bytes.record(&bytes[..length]);
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
