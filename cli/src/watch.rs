//! `plumline watch`: changes as they happen, until Ctrl-C or until nobody reads them any more.

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
use crate::options::Asking;
use crate::output::{self, labels, visible};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The service's name; every service if none is given
    service: Option<String>,
    /// Print a line of JSON per change: {"service", "kind", "added", "updated", "removed", "endpoints"}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    asking: Asking,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let client = arguments.asking.client()?;
    let ending = Ending::listen()?;
    let watch = begin(&client, arguments.service.as_deref(), &ending)?;
    let mut column = 0;
    loop {
        // Without a timeout there is always a change, or a reason to end.
        let Some(change) =
            watch.with_interrupt(&ending).next_within(None).map_err(|error| ending.reason(error))?
        else {
            continue;
        };
        if arguments.json {
            output::print_json(&as_json(&change))?;
        } else {
            column = column.max(visible(&change.service).width());
            output::print(&in_words(&change, &client, column))?;
        }
    }
}

/// A registry that cannot be asked at the start is most likely a wrong address: said at once instead of waited
/// for. One that goes away later is a change like any other.
fn begin(client: &Client, service: Option<&str>, ending: &Ending) -> Result<Watch, Failure> {
    let Some(service) = service else {
        client.with_interrupt(ending).services().map_err(|error| ending.reason(error))?;
        return Ok(client.watch_all()?);
    };
    let found = client.with_interrupt(ending).discover(service).map_err(|error| ending.reason(error))?;
    if found.is_empty() {
        failure::say(&client.explain(service)?.summary);
    }
    Ok(client.watch(service)?)
}

/// Ctrl-C, or a reader who left.
struct Ending {
    interrupted: Arc<AtomicBool>,
}

impl Ending {
    fn listen() -> Result<Ending, Failure> {
        let cannot = |error: std::io::Error| Failure::Failed(format!("cannot wait for Ctrl-C: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        // Listened to from here on, not from whenever the thread gets to run.
        let mut pressed = runtime.block_on(async { signal(SignalKind::interrupt()) }).map_err(cannot)?;
        let interrupted = Arc::new(AtomicBool::new(false));
        let flag = interrupted.clone();
        std::thread::spawn(move || {
            runtime.block_on(pressed.recv());
            flag.store(true, Ordering::Release);
        });
        Ok(Ending { interrupted })
    }

    fn reason(&self, error: Error) -> Failure {
        match error.kind() {
            Kind::Cancelled if self.interrupted.load(Ordering::Acquire) => {
                // The terminal has written ^C; the prompt is to begin below it.
                if std::io::stderr().is_terminal() {
                    eprintln!();
                }
                Failure::INTERRUPTED
            }
            Kind::Cancelled => Failure::UNREAD,
            _ => error.into(),
        }
    }
}

impl Interrupt for Ending {
    fn check(&self) -> plumline::Result<()> {
        if self.interrupted.load(Ordering::Acquire) {
            return Err(Error::new(Kind::Cancelled, "interrupted"));
        }
        if output::is_abandoned() {
            return Err(Error::new(Kind::Cancelled, "nobody reads any more"));
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

/// A line for each endpoint that came (`+`), went (`-`) or changed (`~`); one for whatever else there is to say.
/// The names of services stand in a column as wide as the widest so far.
fn in_words(change: &Change, client: &Client, column: usize) -> String {
    let (time, service) = (time_of_day(), visible(&change.service));
    let gap = " ".repeat(column - service.width() + 2);
    let line = |what: &str| format!("{time}  {service}{gap}{what}\n");
    match change.kind {
        ChangeKind::RegistryDown => {
            line(&format!("registry down, list kept ({}){}", change.endpoints.len(), why_down(client)))
        }
        ChangeKind::RegistryUp => line("registry up"),
        ChangeKind::Snapshot if change.endpoints.is_empty() => line("no endpoints"),
        _ => {
            let marked = [("+", &change.added), ("~", &change.updated), ("-", &change.removed)];
            let described = marked.iter().flat_map(|(mark, endpoints)| {
                endpoints.iter().map(move |endpoint| format!("{mark} {}", in_short(endpoint)))
            });
            let mut lines: String = described.map(|what| line(&what)).collect();
            if change.endpoints.is_empty() {
                lines.push_str(&line("no endpoints left"));
            }
            lines
        }
    }
}

fn why_down(client: &Client) -> String {
    let registries = client.stats().map(|stats| stats.cache.registries).unwrap_or_default();
    let reason = registries.into_iter().find_map(|registry| registry.last_error.filter(|_| !registry.up));
    reason.map_or_else(String::new, |reason| format!(": {reason}"))
}

/// What is worth a word: the address, and whatever is not as usual.
fn in_short(endpoint: &Endpoint) -> String {
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

/// `14:05:09Z`: UTC, because whoever compares it with a log does so across machines.
fn time_of_day() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    format!("{:02}:{:02}:{:02}Z", since / 3600 % 24, since / 60 % 60, since % 60)
}
