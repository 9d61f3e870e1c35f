//! A running controller: started from any thread, stopped by its handle.
//!
//! It runs on its own threads, so a test or a program without an asynchronous runtime can hold one. `start` returns
//! once the store is open and the address is bound, or with the error. After that the controller runs until its handle
//! is closed or dropped.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch::{Receiver, Sender, channel};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::clock::{LeaseClock, TICK};
use crate::config::{Config, StoreKind, TlsFiles};
use crate::http::connection::serve;
use crate::http::{App, router};
use crate::notifier::ChangeNotifier;
use crate::probe::Prober;
use crate::store::Store;

/// How long requests in flight may take once the controller is closing.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);
/// Connections that the kernel queues until they are accepted.
const BACKLOG: u32 = 4_096;
/// The pause after a failed accept. The usual reason is too many open files, which is temporary.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Why a controller could not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// A setting is invalid; the text names it.
    Config(String),
    /// The address cannot be bound: it is in use, belongs to another machine, or is not permitted.
    Listen(SocketAddr, io::Error),
    /// The file of the store cannot be opened; the text names the file and the reason.
    Store(String),
    /// The certificate or the key is invalid; the text names the file and the reason.
    Tls(String),
    /// The system could not start a thread.
    Threads(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(reason) | Self::Store(reason) | Self::Tls(reason) => out.write_str(reason),
            Self::Listen(address, error) => write!(out, "cannot listen on {address}: {error}"),
            Self::Threads(error) => write!(out, "cannot start threads: {error}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Listen(_, error) | Self::Threads(error) => Some(error),
            Self::Config(_) | Self::Store(_) | Self::Tls(_) => None,
        }
    }
}

/// A running controller. Dropping it stops it.
#[derive(Debug)]
#[must_use = "a controller stops when its handle is dropped"]
pub struct Controller {
    address: SocketAddr,
    scheme: &'static str,
    closing: Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Controller {
    /// Starts a controller. It listens when this returns.
    pub fn start(config: Config) -> Result<Self, StartError> {
        config.check().map_err(StartError::Config)?;
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        let (closing, closed) = channel(false);
        let (started, outcome) = std::sync::mpsc::sync_channel(1);
        let run = move || match Server::open(&config, closed) {
            Ok((runtime, server)) => {
                // The calling thread waits for this message, so it still has the receiver.
                drop(
                    started.send(server.address().map_err(|error| StartError::Listen(config.listen, error))),
                );
                server.run(runtime);
            }
            Err(error) => drop(started.send(Err(error))),
        };
        let thread =
            std::thread::Builder::new().name("plumline".into()).spawn(run).map_err(StartError::Threads)?;
        let thread_ended = || StartError::Threads(io::Error::other("the thread of the controller ended"));
        let address = outcome.recv().map_err(|_| thread_ended())??;
        Ok(Self { address, scheme, closing, thread: Some(thread) })
    }

    /// The address it listens on, with the actual port where the configuration says 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL, such as `http://127.0.0.1:8080`.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Stops the controller: it accepts no more connections, answers waiting watches, and writes the store to disk. Takes
    /// at most about 1.5 s.
    pub fn close(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.closing.send_replace(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the controller thread panicked");
        }
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.end();
    }
}

/// The part that runs on the controller's own threads.
struct Server {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    app: Arc<App>,
    router: Router,
    connections: Arc<AtomicUsize>,
}

impl Server {
    fn open(config: &Config, closed: Receiver<bool>) -> Result<(Runtime, Self), StartError> {
        let tls = config.tls.as_ref().map(read_tls).transpose().map_err(StartError::Tls)?;
        let prober = Prober::new().map_err(|error| StartError::Tls(error.to_string()))?;
        let runtime = runtime(config).map_err(StartError::Threads)?;
        let listener = {
            let _entered = runtime.enter();
            listen(config.listen).map_err(|error| StartError::Listen(config.listen, error))?
        };
        let (clock, notifier) = (LeaseClock::new(), ChangeNotifier::new());
        let store = open_store(config, &clock, &notifier)?;
        let app = Arc::new(App::new(config, store, clock, notifier, prober, closed));
        let router = router(Arc::clone(&app));
        Ok((runtime, Self { listener, tls, app, router, connections: Arc::default() }))
    }

    fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the handle closes the controller.
    fn run(self, runtime: Runtime) {
        let app = Arc::clone(&self.app);
        runtime.spawn(tick(Arc::clone(&app)));
        runtime.spawn(publish(Arc::clone(&app)));
        runtime.block_on(self.accept_until_closed());
        app.store.close();
        runtime.shutdown_timeout(Duration::from_millis(200));
    }

    async fn accept_until_closed(self) {
        let connections = Arc::clone(&self.connections);
        let app = Arc::clone(&self.app);
        tokio::select! {
            () = self.accept() => {}
            () = app.closed() => {}
        }
        let all_closed = async {
            while connections.load(Relaxed) > 0 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        if timeout(SHUTDOWN_GRACE, all_closed).await.is_err() {
            tracing::info!(
                connections = connections.load(Relaxed),
                "connections still open at shutdown were closed"
            );
        }
    }

    async fn accept(self) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => self.spawn_connection(stream),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection; retrying");
                    sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    fn spawn_connection(&self, stream: TcpStream) {
        let guard = ConnectionGuard::new(&self.connections);
        if self.connections.load(Relaxed) > self.app.limits.connections {
            tracing::warn!("connection limit reached; a new connection was closed");
            return;
        }
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "the client closed the connection at once");
            return;
        }
        let (app, router, tls) = (Arc::clone(&self.app), self.router.clone(), self.tls.clone());
        tokio::spawn(async move {
            let _guard = guard;
            let Some(tls) = tls else { return serve(app, router, stream).await };
            match timeout(app.limits.headers, tls.accept(stream)).await {
                Ok(Ok(stream)) => serve(app, router, stream).await,
                Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
                Err(_) => tracing::debug!("TLS handshake timed out"),
            }
        });
    }
}

/// Counts a connection while it is open.
struct ConnectionGuard(Arc<AtomicUsize>);

impl ConnectionGuard {
    fn new(connections: &Arc<AtomicUsize>) -> Self {
        connections.fetch_add(1, Relaxed);
        Self(Arc::clone(connections))
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

fn runtime(config: &Config) -> io::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = config.threads {
        builder.worker_threads(threads);
    }
    builder.thread_name("plumline-http").enable_all().build()
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn open_store(config: &Config, clock: &LeaseClock, notifier: &ChangeNotifier) -> Result<Store, StartError> {
    // An endpoint stays listed for the whole TTL even if its heartbeat arrives right after a tick.
    let ttl = (config.service_ttl + TICK).as_millis() as u64;
    match &config.store {
        StoreKind::Memory => Ok(Store::in_memory(ttl, notifier.on_change())),
        StoreKind::Sqlite(path) => open_file(path, ttl, clock, notifier),
    }
}

fn open_file(
    path: &Path,
    ttl: u64,
    clock: &LeaseClock,
    notifier: &ChangeNotifier,
) -> Result<Store, StartError> {
    Store::in_file(path, ttl, clock.now(), notifier.on_change())
        .map_err(|error| StartError::Store(error.to_string()))
}

fn read_tls(files: &TlsFiles) -> Result<TlsAcceptor, String> {
    let failed = |path: &Path, error: &dyn fmt::Display| format!("cannot use {}: {error}", path.display());
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| failed(&files.certificate, &error))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| failed(&files.key, &error))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| failed(&files.certificate, &error))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn tick(app: Arc<App>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        app.store.services.tick(app.clock.tick());
    }
}

async fn publish(app: Arc<App>) {
    app.notifier.publish(&app.store.services).await;
}
