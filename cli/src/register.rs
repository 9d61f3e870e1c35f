//! `plumline register … -- command`: a program that knows nothing of registries is known all the same.
//!
//! ```text
//!  register (published once the port answers) ──► run the command ──► it ends ──► deregister ──► its exit code
//!                                                      ▲
//!  SIGTERM, SIGINT, SIGHUP ──► deregister ──► drain ───┘ passed on: by then nobody is sent here any more
//! ```

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use plumline::config::parse_duration;
use plumline::registration::State;
use plumline::{Instance, Registration};
use rustix::process::{Pid, Signal, getpgrp, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::mpsc;

use crate::failure::{self, Failure};
use crate::options::{Asking, parse_pair};

/// How often the registration is looked at, to tell of what became of it.
const LOOK: Duration = Duration::from_millis(100);
/// A command whose port is still closed after this time may need a hint.
const SLOW: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
#[command(
    override_usage = "plumline register [OPTIONS] --port PORT SERVICE -- COMMAND [ARGUMENTS]...",
    after_help = "Starts the command, registers it once its port answers, and keeps it registered while it runs. \
On SIGTERM, SIGINT and SIGHUP it deregisters, waits --drain, and passes the signal on. \
Ends with the exit code of the command.

Example:
  plumline register web --port 8000 --host 127.0.0.1 -- python3 -m http.server 8000"
)]
pub(crate) struct Arguments {
    /// The service that the command offers
    service: String,
    /// The port it listens on
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Where others reach it [default: this machine's address towards the registry]
    #[arg(long)]
    host: Option<String>,
    /// http, https, grpc, tcp, …
    #[arg(long, default_value = "http")]
    protocol: String,
    /// Its version
    #[arg(long)]
    version: Option<String>,
    /// A label; may be given several times
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = parse_pair)]
    labels: Vec<(String, String)>,
    /// A tag; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Its share of the traffic; 0 gets none
    #[arg(long, default_value_t = 1)]
    weight: u32,
    /// The zone it runs in
    #[arg(long)]
    zone: Option<String>,
    /// How long the registry keeps it without hearing from it
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    ttl: Option<Duration>,
    /// Its id [default: SERVICE-HOST-PORT]
    #[arg(long, value_name = "ID")]
    instance_id: Option<String>,
    /// How long it goes on running once it is deregistered by a signal, for calls on their way
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_duration)]
    drain: Duration,
    #[command(flatten)]
    asking: Asking,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let client = arguments.asking.client()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| cannot_wait(&error))?;
    let signals = runtime.block_on(async { Signals::listen() }).map_err(|error| cannot_wait(&error))?;
    // Before the command is started: what the registry refuses should not have run.
    let registration = Arc::new(client.register(arguments.instance())?);
    let mut news = News::new(&arguments.service);
    let status = runtime.block_on(arguments.accompany(&registration, signals, &mut news));
    let closed = registration.close(Duration::ZERO);
    // Waits for a deregistration that a signal has begun.
    drop(runtime);
    let error = closed.err().or_else(|| registration.last_error());
    if let Some(error) = error.filter(|_| news.was_registered) {
        failure::say(&format!("not deregistered, it expires by itself: {error}"));
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

    /// Runs the command to its end.
    async fn accompany(
        &self,
        registration: &Arc<Registration>,
        mut signals: Signals,
        news: &mut News<'_>,
    ) -> Result<ExitStatus, Failure> {
        let mut child = self.start()?;
        let mut look = tokio::time::interval(LOOK);
        let (leave, mut left) = mpsc::unbounded_channel();
        let mut leaving = false;
        loop {
            tokio::select! {
                ended = child.wait() => return ended.map_err(|error| cannot_wait(&error)),
                signal = signals.next() => {
                    if !leaving {
                        news.tell(registration);
                    }
                    // Whoever signals twice does not want to wait.
                    if std::mem::replace(&mut leaving, true) {
                        pass_on(&child, signal);
                    } else {
                        let goodbye = say_goodbye(registration.clone(), self.drain, signal, leave.clone());
                        tokio::spawn(goodbye);
                    }
                }
                Some(signal) = left.recv() => pass_on(&child, signal),
                _ = look.tick() => if !leaving { news.tell(registration) },
            }
        }
    }

    fn start(&self) -> Result<Child, Failure> {
        let (program, arguments) = (&self.command[0], &self.command[1..]);
        Command::new(program).args(arguments).spawn().map_err(|error| {
            // As shells have it.
            let code = if error.kind() == ErrorKind::NotFound { 127 } else { 126 };
            Failure::Coded(code, format!("cannot run {}: {error}", program.display()))
        })
    }
}

/// Deregisters, lets calls on their way end, and then has the signal passed on.
async fn say_goodbye(
    registration: Arc<Registration>,
    drain: Duration,
    signal: Signal,
    leave: mpsc::UnboundedSender<Signal>,
) {
    let deregistered = tokio::task::spawn_blocking(move || registration.close(Duration::ZERO));
    // What went wrong is read from the registration at the end.
    drop(deregistered.await);
    tokio::time::sleep(drain).await;
    // Nobody receives it once the command has ended by itself.
    leave.send(signal).ok();
}

fn pass_on(child: &Child, signal: Signal) {
    if came_from_our_terminal(signal) {
        return;
    }
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    if let Some(error) = pid.and_then(|pid| kill_process(pid, signal).err()) {
        failure::say(&format!("cannot pass {signal:?} on: {error}"));
    }
}

/// A terminal sends Ctrl-C to everybody in its foreground: the command has had it already, and to many a server
/// a second one means "at once".
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

/// Tells on stderr what becomes of the registration, each thing once.
struct News<'a> {
    service: &'a str,
    told: Option<State>,
    was_registered: bool,
    began: Instant,
}

impl News<'_> {
    fn new(service: &str) -> News<'_> {
        News { service, told: None, was_registered: false, began: Instant::now() }
    }

    fn tell(&mut self, registration: &Registration) {
        let state = registration.state();
        self.was_registered |= state == State::Registered;
        if self.told == Some(state) {
            return;
        }
        if let Some(line) = self.line(state, registration) {
            self.told = Some(state);
            failure::say(&line);
        }
    }

    fn line(&self, state: State, registration: &Registration) -> Option<String> {
        let (service, address) = (self.service, registration.address());
        let error = || registration.last_error().map_or_else(String::new, |error| format!(": {error}"));
        match state {
            State::Registered => Some(format!("registered {service} at {address}")),
            State::Unreachable => Some(format!("cannot register {service}, still trying{}", error())),
            State::Refused => Some(format!("the registry refuses {service}, still trying{}", error())),
            State::WaitingForPort if self.began.elapsed() >= SLOW => {
                Some(format!("{address} does not answer yet; {service} is registered once it does"))
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
