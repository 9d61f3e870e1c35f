//! The core's events, on their way to `logging.getLogger("plumline")`.
//!
//! ```text
//!  event on a thread inside an export ──► that thread's list ──► emitted when the export returns
//!  event on a background thread ──► bounded queue ──► next export that returns, or the drainer that the bell wakes
//! ```
//!
//! No native thread ever takes the interpreter: the drainer is a Python thread that waits on a socket. It lives
//! as long as a client does.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// So many records wait at most; later ones are dropped and counted.
const MOST: usize = 1_000;

static QUEUE: ArcSwapOption<Queue> = ArcSwapOption::const_empty();
/// Clients that are open.
static CLIENTS: AtomicUsize = AtomicUsize::new(0);
/// Whether a drainer should be there and is not.
static DRAINER_MISSING: AtomicBool = AtomicBool::new(false);

thread_local! {
    static INSIDE: Cell<u32> = const { Cell::new(0) };
    static OWN: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// One record, with its level as `logging` counts.
struct Line {
    level: u8,
    message: String,
}

#[derive(Default)]
struct Queue {
    lines: Mutex<Vec<Line>>,
    waiting: AtomicBool,
    dropped: AtomicU64,
    bell: Mutex<Option<UnixStream>>,
}

impl Queue {
    fn push(&self, line: Line) {
        let mut lines = self.lines.lock();
        if lines.len() >= MOST {
            self.dropped.fetch_add(1, Relaxed);
            return;
        }
        lines.push(line);
        drop(lines);
        if !self.waiting.swap(true, Relaxed) {
            // A full socket rings already, and without one the next export looks.
            let _ = self.bell.lock().as_ref().map(|mut bell| bell.write(&[0]));
        }
    }

    fn take(&self) -> Vec<Line> {
        self.waiting.store(false, Relaxed);
        let mut lines = std::mem::take(&mut *self.lines.lock());
        let dropped = self.dropped.swap(0, Relaxed);
        if dropped > 0 {
            lines.push(Line {
                level: 30,
                message: format!("{dropped} log records were dropped: too many at once"),
            });
        }
        lines
    }
}

/// Listens to the core's events, in this module's own copy of `tracing`: the host program's is another one.
struct Collector;

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= Level::DEBUG
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let line = Line { level: level_of(*event.metadata().level()), message: text.message + &text.fields };
        let inside = INSIDE.try_with(Cell::get).unwrap_or(0) > 0;
        if inside {
            OWN.with_borrow_mut(|own| own.push(line));
        } else if let Some(queue) = &*QUEUE.load() {
            queue.push(line);
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

fn level_of(level: Level) -> u8 {
    match level {
        Level::ERROR => 40,
        Level::WARN => 30,
        Level::INFO => 20,
        _ => 10,
    }
}

/// An event in words: the message, then `name=value` for every field.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

/// An export that runs on this thread.
pub(crate) struct Inside;

/// From here on this thread keeps what it logs to itself.
pub(crate) fn enter() -> Inside {
    INSIDE.set(INSIDE.get() + 1);
    Inside
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(INSIDE.get() - 1);
    }
}

/// A client that is open: while there is one, there is a drainer.
pub(crate) struct Listening(AtomicBool);

/// Begins to listen for one more client.
pub(crate) fn listen() -> Listening {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        // Nobody else can have set one: this copy of `tracing` is ours alone.
        let _ = tracing::subscriber::set_global_default(Collector);
        QUEUE.store(Some(Arc::default()));
    });
    if CLIENTS.fetch_add(1, Relaxed) == 0 {
        DRAINER_MISSING.store(true, Relaxed);
    }
    Listening(AtomicBool::new(true))
}

impl Listening {
    /// The client is closed; with the last one the drainer ends.
    pub(crate) fn end(&self) {
        if self.0.swap(false, Relaxed) && CLIENTS.fetch_sub(1, Relaxed) == 1 {
            DRAINER_MISSING.store(false, Relaxed);
            if let Some(queue) = &*QUEUE.load() {
                drop(queue.bell.lock().take());
            }
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.end();
    }
}

/// In the child after a fork: the queue may have been locked by a thread that does not exist here.
pub(crate) fn forked() {
    let Some(inherited) = QUEUE.swap(Some(Arc::default())) else {
        QUEUE.store(None);
        return;
    };
    std::mem::forget(inherited);
    DRAINER_MISSING.store(CLIENTS.load(Relaxed) > 0, Relaxed);
}

/// The end of the bell that a drainer waits at; the one before it, if any, ends.
pub(crate) fn open_bell() -> std::io::Result<i32> {
    let (ours, drainers) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    if let Some(queue) = &*QUEUE.load() {
        *queue.bell.lock() = Some(ours);
    }
    Ok(drainers.into_raw_fd())
}

/// Hands what waits to `logging`.
#[inline]
pub(crate) fn drain(py: Python<'_>) {
    if DRAINER_MISSING.load(Relaxed) && DRAINER_MISSING.swap(false, Relaxed) {
        start_drainer(py);
    }
    let own = OWN.take();
    let queue = QUEUE.load();
    let queued = queue.as_ref().filter(|queue| queue.waiting.load(Relaxed)).map(|queue| queue.take());
    drop(queue);
    if !own.is_empty() || queued.is_some() {
        emit(py, own.into_iter().chain(queued.unwrap_or_default()));
    }
}

/// What a handler of the user's raises is the handler's own affair: the call that logged has succeeded.
fn emit(py: Python<'_>, lines: impl Iterator<Item = Line>) {
    static LOG: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let log = match LOG.import(py, "plumline._logs", "log") {
        Ok(log) => log,
        Err(error) => return error.write_unraisable(py, None),
    };
    for line in lines {
        if let Err(error) = log.call1((line.level, line.message)) {
            error.write_unraisable(py, Some(log));
        }
    }
}

fn start_drainer(py: Python<'_>) {
    let started = py.import("plumline._logs").and_then(|logs| logs.call_method0("start"));
    if let Err(error) = started {
        error.write_unraisable(py, None);
    }
}
