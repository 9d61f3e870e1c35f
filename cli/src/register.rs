//! `plumline register … -- command`: registers a program that does not use a registry itself, and runs it.
//!
//! ```text
//!  register (published once the port answers) ──► run the command ──► it ends ──► deregister ──► its exit code
//!                                                      ▲
//!  SIGTERM, SIGINT, SIGHUP ──► deregister ──► drain ───┘ pass the signal on, when no client calls the program any more
//! ```

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use plumline::config::parse_duration;
use plumline::registration::RegistrationState;
use plumline::{Instance, Registration};
use rustix::process::{Pid, Signal, getpgrp, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::mpsc;

use crate::failure::{self, Failure};
use crate::options::{RegistryOptions, parse_pair};

/// How often the state of the registration is checked, to report changes.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// When the port is still closed after this time, a hint is printed.
const PORT_HINT_AFTER: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
#[command(
    override_usage = "plumline register [OPTIONS] --port PORT SERVICE -- COMMAND [ARGUMENTS]...",
    after_help = "Starts the command, registers it once its port answers, and keeps it registered while it runs. \
On SIGTERM, SIGINT and SIGHUP it deregisters, waits --drain, and passes the signal on. \
Exits with the exit code of the command.

Example:
  plumline register web --port 8000 --host 127.0.0.1 -- python3 -m http.server 8000"
)]
pub(crate) struct Arguments {
    /// The service that the command offers
    service: String,
    /// The port that the command listens on
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// The host under which clients reach it [default: this machine's address towards the registry]
    #[arg(long)]
    host: Option<String>,
    /// http, https, grpc, tcp, …
    #[arg(long, default_value = "http")]
    protocol: String,
    /// The version
    #[arg(long)]
    version: Option<String>,
    /// A label; may be given several times
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = parse_pair)]
    labels: Vec<(String, String)>,
    /// A tag; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Its share of the traffic; 0 receives none
    #[arg(long, default_value_t = 1)]
    weight: u32,
    /// The zone it runs in
    #[arg(long)]
    zone: Option<String>,
    /// How long the registry lists it without a heartbeat
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    ttl: Option<Duration>,
    /// The instance id [default: SERVICE-HOST-PORT]
    #[arg(long, value_name = "ID")]
    instance_id: Option<String>,
    /// How long to wait between deregistering and passing a signal on, for calls in flight
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_duration)]
    drain: Duration,
    #[command(flatten)]
    registry: RegistryOptions,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let client = arguments.registry.client()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| cannot_wait(&error))?;
    let signals = runtime.block_on(async { Signals::listen() }).map_err(|error| cannot_wait(&error))?;
    // Before the command starts, so that it does not run if the configuration is rejected.
    let registration = Arc::new(client.register(arguments.instance())?);
    let mut reporter = StatusReporter::new(&arguments.service);
    let status = runtime.block_on(arguments.run_command(&registration, signals, &mut reporter));
    let closed = registration.close(Duration::ZERO);
    // Waits for a deregistration that a signal started.
    drop(runtime);
    let error = closed.err().or_else(|| registration.last_error());
    if let Some(error) = error.filter(|_| reporter.was_registered) {
        failure::print_error(&format!("deregistration failed, the registration will expire: {error}"));
    }
    match exit_code(status?) {
        0 => Ok(()),
        code => Err(Failure::Quiet(code)),
    }
}

impl Arguments {
    fn instance(&self) -> Instance {
        let mut instance = Instance::new(&self.service, self.port)
            .host(self.host.clone().unwrap_or_default())
            .protocol(&self.protocol)
            .version(self.version.clone().unwrap_or_default())
            .weight(self.weight)
            .zone(self.zone.clone().unwrap_or_default());
        instance.labels = self.labels.iter().cloned().collect();
        instance.tags.clone_from(&self.tags);
        instance.ttl = self.ttl;
        instance.instance_id = self.instance_id.clone().unwrap_or_default();
        instance
    }

    /// Runs the command until it exits.
    async fn run_command(
        &self,
        registration: &Arc<Registration>,
        mut signals: Signals,
        reporter: &mut StatusReporter<'_>,
    ) -> Result<ExitStatus, Failure> {
        let mut child = self.start()?;
        let mut check = tokio::time::interval(CHECK_INTERVAL);
        let (forward, mut to_forward) = mpsc::unbounded_channel();
        let mut leaving = false;
        loop {
            tokio::select! {
                ended = child.wait() => return ended.map_err(|error| cannot_wait(&error)),
                signal = signals.next() => {
                    if !leaving {
                        reporter.report(registration);
                    }
                    // A second signal ends the wait.
                    if std::mem::replace(&mut leaving, true) {
                        forward_signal(&child, signal);
                    } else {
                        let task = deregister_and_forward(registration.clone(), self.drain, signal, forward.clone());
                        tokio::spawn(task);
                    }
                }
                Some(signal) = to_forward.recv() => forward_signal(&child, signal),
                _ = check.tick() => if !leaving { reporter.report(registration) },
            }
        }
    }

    fn start(&self) -> Result<Child, Failure> {
        let (program, arguments) = (&self.command[0], &self.command[1..]);
        Command::new(program).args(arguments).spawn().map_err(|error| {
            // The exit codes of shells.
            let code = if error.kind() == ErrorKind::NotFound { 127 } else { 126 };
            Failure::Coded(code, format!("cannot run {}: {error}", program.display()))
        })
    }
}

/// Deregisters, waits for calls in flight, then sends the signal back to be forwarded.
async fn deregister_and_forward(
    registration: Arc<Registration>,
    drain: Duration,
    signal: Signal,
    forward: mpsc::UnboundedSender<Signal>,
) {
    let deregistered = tokio::task::spawn_blocking(move || registration.close(Duration::ZERO));
    // Its error is read from the registration at the end.
    drop(deregistered.await);
    tokio::time::sleep(drain).await;
    // The receiver is gone if the command has already exited.
    forward.send(signal).ok();
}

fn forward_signal(child: &Child, signal: Signal) {
    if came_from_our_terminal(signal) {
        return;
    }
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    if let Some(error) = pid.and_then(|pid| kill_process(pid, signal).err()) {
        failure::print_error(&format!("cannot forward {signal:?} to the command: {error}"));
    }
}

/// A terminal sends Ctrl-C to its whole foreground process group. The command has then received it already, and for many
/// servers a second one means "stop at once".
fn came_from_our_terminal(signal: Signal) -> bool {
    let foreground = || {
        let terminal = std::fs::File::open("/dev/tty").ok()?;
        rustix::termios::tcgetpgrp(terminal).ok()
    };
    signal == Signal::INT && foreground() == Some(getpgrp())
}

struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hangup: unix::Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            hangup: unix::signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.hangup.recv() => Signal::HUP,
        }
    }
}

/// Reports changes of the registration's state on stderr, each once.
struct StatusReporter<'a> {
    service: &'a str,
    reported: Option<RegistrationState>,
    was_registered: bool,
    started_at: Instant,
}

impl StatusReporter<'_> {
    fn new(service: &str) -> StatusReporter<'_> {
        StatusReporter { service, reported: None, was_registered: false, started_at: Instant::now() }
    }

    fn report(&mut self, registration: &Registration) {
        let state = registration.state();
        self.was_registered |= state == RegistrationState::Registered;
        if self.reported == Some(state) {
            return;
        }
        if let Some(line) = self.line(state, registration) {
            self.reported = Some(state);
            failure::print_error(&line);
        }
    }

    fn line(&self, state: RegistrationState, registration: &Registration) -> Option<String> {
        let (service, address) = (self.service, registration.address());
        let error = || registration.last_error().map_or_else(String::new, |error| format!(": {error}"));
        match state {
            RegistrationState::Registered => Some(format!("registered {service} at {address}")),
            RegistrationState::Unreachable => Some(format!("cannot register {service}, retrying{}", error())),
            RegistrationState::Refused => {
                Some(format!("the registry rejects {service}, retrying{}", error()))
            }
            RegistrationState::WaitingForPort if self.started_at.elapsed() >= PORT_HINT_AFTER => {
                Some(format!(
                    "{address} does not accept connections yet; {service} will be registered when it does"
                ))
            }
            _ => None,
        }
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

fn cannot_wait(error: &std::io::Error) -> Failure {
    Failure::Failed(format!("cannot wait for the command: {error}"))
}
