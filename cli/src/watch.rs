//! `plumline watch`: prints changes as they happen, until Ctrl-C or until the reader closes stdout.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use plumline::interrupt::Interrupt;
use plumline::{Change, ChangeKind, Client, Endpoint, Error, Kind, Watch};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use unicode_width::UnicodeWidthStr;

use crate::failure::{self, Failure};
use crate::options::RegistryOptions;
use crate::output::{self, labels, visible};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The service's name; every service if none is given
    service: Option<String>,
    /// Print a line of JSON per change: {"service", "kind", "added", "updated", "removed", "endpoints"}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    registry: RegistryOptions,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let client = arguments.registry.client()?;
    let stop = StopSignal::listen()?;
    let watch = begin(&client, arguments.service.as_deref(), &stop)?;
    let mut column = 0;
    loop {
        // Without a timeout this returns a change or an error.
        let Some(change) =
            watch.with_interrupt(&stop).next_within(None).map_err(|error| stop.reason(error))?
        else {
            continue;
        };
        if arguments.json {
            output::print_json(&as_json(&change))?;
        } else {
            column = column.max(visible(&change.service).width());
            output::print(&as_text(&change, &client, column))?;
        }
    }
}

/// A registry that is unavailable at the start is most likely a wrong address, so this fails at once. One that becomes
/// unavailable later is reported as a change.
fn begin(client: &Client, service: Option<&str>, stop: &StopSignal) -> Result<Watch, Failure> {
    let Some(service) = service else {
        client.with_interrupt(stop).services().map_err(|error| stop.reason(error))?;
        return Ok(client.watch_all()?);
    };
    let found = client.with_interrupt(stop).discover(service).map_err(|error| stop.reason(error))?;
    if found.is_empty() {
        failure::print_error(&client.explain(service)?.summary);
    }
    Ok(client.watch(service)?)
}

/// Ends the watch on Ctrl-C, or when the reader closes stdout.
struct StopSignal {
    interrupted: Arc<AtomicBool>,
}

impl StopSignal {
    fn listen() -> Result<StopSignal, Failure> {
        let cannot = |error: std::io::Error| Failure::Failed(format!("cannot wait for Ctrl-C: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        // Registered here rather than in the thread, so that no signal is missed.
        let mut pressed = runtime.block_on(async { signal(SignalKind::interrupt()) }).map_err(cannot)?;
        let interrupted = Arc::new(AtomicBool::new(false));
        let flag = interrupted.clone();
        std::thread::spawn(move || {
            runtime.block_on(pressed.recv());
            flag.store(true, Ordering::Release);
        });
        Ok(StopSignal { interrupted })
    }

    fn reason(&self, error: Error) -> Failure {
        match error.kind() {
            Kind::Cancelled if self.interrupted.load(Ordering::Acquire) => {
                // The terminal has printed ^C; the prompt should begin on the next line.
                if std::io::stderr().is_terminal() {
                    eprintln!();
                }
                Failure::INTERRUPTED
            }
            Kind::Cancelled => Failure::OUTPUT_CLOSED,
            _ => error.into(),
        }
    }
}

impl Interrupt for StopSignal {
    fn check(&self) -> plumline::Result<()> {
        if self.interrupted.load(Ordering::Acquire) {
            return Err(Error::new(Kind::Cancelled, "interrupted"));
        }
        if output::is_stdout_closed() {
            return Err(Error::new(Kind::Cancelled, "stdout was closed"));
        }
        Ok(())
    }
}

fn as_json(change: &Change) -> serde_json::Value {
    let Change { service, kind, added, updated, removed, endpoints, .. } = change;
    json!({
        "service": service, "kind": kind.name(),
        "added": added, "updated": updated, "removed": removed, "endpoints": endpoints,
    })
}

/// One line for each endpoint that was added (`+`), removed (`-`) or updated (`~`), or one for any other change.
/// Service names are padded to the widest so far.
fn as_text(change: &Change, client: &Client, column: usize) -> String {
    let (time, service) = (time_of_day(), visible(&change.service));
    let gap = " ".repeat(column - service.width() + 2);
    let line = |what: &str| format!("{time}  {service}{gap}{what}\n");
    match change.kind {
        ChangeKind::RegistryDown => {
            line(&format!("registry down, list kept ({}){}", change.endpoints.len(), down_reason(client)))
        }
        ChangeKind::RegistryUp => line("registry up"),
        ChangeKind::Snapshot if change.endpoints.is_empty() => line("no endpoints"),
        _ => {
            let marked = [("+", &change.added), ("~", &change.updated), ("-", &change.removed)];
            let described = marked.iter().flat_map(|(mark, endpoints)| {
                endpoints.iter().map(move |endpoint| format!("{mark} {}", summary(endpoint)))
            });
            let mut lines: String = described.map(|what| line(&what)).collect();
            if change.endpoints.is_empty() {
                lines.push_str(&line("no endpoints left"));
            }
            lines
        }
    }
}

fn down_reason(client: &Client) -> String {
    let registries = client.stats().map(|stats| stats.cache.registries).unwrap_or_default();
    let reason = registries.into_iter().find_map(|registry| registry.last_error.filter(|_| !registry.up));
    reason.map_or_else(String::new, |reason| format!(": {reason}"))
}

/// The address and the protocol, and every other field that is not at its default.
fn summary(endpoint: &Endpoint) -> String {
    let mut words = vec![endpoint.address(), visible(&endpoint.protocol)];
    let mut add = |text: &str| {
        if !text.is_empty() {
            words.push(visible(text));
        }
    };
    add(&endpoint.version);
    add(if endpoint.healthy { "" } else { "unhealthy" });
    if endpoint.weight != 1 {
        add(&format!("weight {}", endpoint.weight));
    }
    add(&endpoint.zone);
    add(&labels(endpoint));
    words.join("  ")
}

/// `14:05:09Z`: UTC, so that it can be compared with logs of other machines.
fn time_of_day() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    format!("{:02}:{:02}:{:02}Z", since / 3600 % 24, since / 60 % 60, since % 60)
}
