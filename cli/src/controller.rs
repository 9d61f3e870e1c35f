//! `plumline controller`: runs the registry until SIGTERM or SIGINT.

use std::io::Write;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use plumline::config::parse_duration;
use plumline_controller::{Config, Controller, StartError, StoreKind, TlsFiles};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;
use crate::log;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = parse_address)]
    listen: SocketAddr,
    /// Where to store registrations and key-value entries: `memory` or `sqlite:PATH`
    #[arg(long, value_name = "STORE", default_value = "memory")]
    store: StoreKind,
    /// How long an endpoint stays listed after its last heartbeat
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = parse_duration)]
    service_ttl: Duration,
    /// How long a node counts as healthy after its last heartbeat
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = parse_duration)]
    node_ttl: Duration,
    /// A PEM file with the certificate chain; serves https
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// A PEM file with the certificate's private key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Require this token with every request
    #[arg(long)]
    token: Option<String>,
    /// What to log to stderr: `info`, `debug`, or a filter such as `plumline_controller=trace`
    #[arg(long, value_name = "FILTER", default_value = "warn", value_parser = log::parse_filter)]
    log: String,
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    log::to_stderr(&arguments.log);
    allow_many_connections();
    let signals = runtime_for_signals()?;
    // Registered before the line is printed, because its reader may send a signal at once.
    let shutdown = signals.block_on(async { shutdown_signal() })?;
    let controller = Controller::start(config(arguments)).map_err(start_failure)?;
    print_address(&controller)?;
    signals.block_on(shutdown);
    tracing::info!("shutting down");
    controller.close();
    Ok(())
}

fn config(arguments: Arguments) -> Config {
    let config = Config::new()
        .listen(arguments.listen)
        .store(arguments.store)
        .service_ttl(arguments.service_ttl)
        .node_ttl(arguments.node_ttl);
    let config = match arguments.tls_cert.zip(arguments.tls_key) {
        Some((certificate, key)) => config.tls(TlsFiles { certificate, key }),
        None => config,
    };
    match arguments.token {
        Some(token) => config.token(token),
        None => config,
    }
}

fn print_address(controller: &Controller) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "plumline controller listening on {}", controller.url())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::Failed(format!("cannot write to stdout: {error}")))
}

fn start_failure(error: StartError) -> Failure {
    match error {
        StartError::Config(reason) => Failure::Usage(reason),
        other => Failure::Failed(other.to_string()),
    }
}

fn runtime_for_signals() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| cannot_wait(&error))
}

/// A future that completes on SIGTERM or SIGINT.
fn shutdown_signal() -> Result<impl Future<Output = ()>, Failure> {
    let mut terminated = signal(SignalKind::terminate()).map_err(|error| cannot_wait(&error))?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(|error| cannot_wait(&error))?;
    Ok(async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
    })
}

fn cannot_wait(error: &std::io::Error) -> Failure {
    Failure::Failed(format!("cannot wait for signals: {error}"))
}

/// Raises the limit of open files: each connection is one, and the usual soft limit is 1,024.
fn allow_many_connections() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "cannot raise the limit of open files; it stays at {:?}", limit.current);
    }
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let wrong = |reason: String| format!("{reason}; write it like 127.0.0.1:8080");
    let mut found = text.to_socket_addrs().map_err(|error| wrong(error.to_string()))?;
    found.next().ok_or_else(|| wrong("no such host".to_owned()))
}
