//! The core's events, on their way to the language's own logger.
//!
//! ```text
//!  event on a thread inside an export ──► that thread's list ──► taken when the export returns
//!  event on a background thread ──► bounded queue ──► next export that returns, or the drainer that the bell wakes
//! ```
//!
//! No native thread ever calls into a language: a drainer is a thread of the language's own. It waits in [`wait`],
//! or on a socket of [`open_bell`], and lives as long as a client does. A language without one drains when asked.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use arc_swap::ArcSwapOption;
use plumline::sync::{Condvar, Mutex};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

pub use tracing::Level;

/// So many records wait at most; later ones are dropped and counted.
const MOST: usize = 1_000;

static QUEUE: ArcSwapOption<Queue> = ArcSwapOption::const_empty();
/// Clients that are open.
static CLIENTS: AtomicUsize = AtomicUsize::new(0);
/// Whether a drainer should be there and is not.
static DRAINER_MISSING: AtomicBool = AtomicBool::new(false);
/// Whether something is in the queue.
static WAITING: AtomicBool = AtomicBool::new(false);

thread_local! {
    static INSIDE: Cell<u32> = const { Cell::new(0) };
    /// Whether something is in this thread's list: asked at the end of every export, so it costs next to nothing.
    static HAS_OWN: Cell<bool> = const { Cell::new(false) };
    static OWN: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How grave it is.
    pub level: Level,
    /// What happened, then `name=value` for every field.
    pub message: String,
}

#[derive(Default)]
struct Queue {
    lines: Mutex<Vec<Line>>,
    dropped: AtomicU64,
    came: Condvar,
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
        let is_first = !WAITING.swap(true, Relaxed);
        drop(lines);
        if is_first {
            self.came.notify_all();
            // A full socket rings already, and without one the next export looks.
            let _ = self.bell.lock().as_ref().map(|mut bell| bell.write(&[0]));
        }
    }

    fn take(&self) -> Vec<Line> {
        let mut waiting = self.lines.lock();
        WAITING.store(false, Relaxed);
        let mut lines = std::mem::take(&mut *waiting);
        drop(waiting);
        let dropped = self.dropped.swap(0, Relaxed);
        if dropped > 0 {
            let message = format!("{dropped} log records were dropped: too many at once");
            lines.push(Line { level: Level::WARN, message });
        }
        lines
    }
}

/// Listens to the core's events, in this library's own copy of `tracing`: the host program's is another one.
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
        let line = Line { level: *event.metadata().level(), message: text.message + &text.fields };
        let inside = INSIDE.try_with(Cell::get).unwrap_or(0) > 0;
        if inside {
            HAS_OWN.set(true);
            // While the process exits, this thread's list may be gone already: then nobody would read it either.
            let _ = OWN.try_with(|own| own.borrow_mut().push(line));
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
pub struct Inside(());

/// From here on this thread keeps what it logs to itself, until [`take`] on it: for a language that has a logger
/// to hand it to when the export returns.
#[inline]
pub fn enter() -> Inside {
    INSIDE.set(INSIDE.get() + 1);
    Inside(())
}

impl Drop for Inside {
    #[inline]
    fn drop(&mut self) {
        INSIDE.set(INSIDE.get() - 1);
    }
}

/// A client that is open: while there is one, there is a drainer.
pub struct Listening(AtomicBool);

/// Begins to listen for one more client.
pub fn listen() -> Listening {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        // Nobody else can have set one: this copy of `tracing` is ours alone.
        let _ = tracing::subscriber::set_global_default(Collector);
        QUEUE.store(Some(std::sync::Arc::default()));
    });
    if CLIENTS.fetch_add(1, Relaxed) == 0 {
        DRAINER_MISSING.store(true, Relaxed);
    }
    Listening(AtomicBool::new(true))
}

impl Listening {
    /// The client is closed; with the last one the drainer ends.
    pub fn end(&self) {
        if self.0.swap(false, Relaxed) && CLIENTS.fetch_sub(1, Relaxed) == 1 {
            DRAINER_MISSING.store(false, Relaxed);
            if let Some(queue) = &*QUEUE.load() {
                drop(queue.bell.lock().take());
                // Locked, so that whoever is about to wait has either seen it or is already waiting.
                let _lines = queue.lines.lock();
                queue.came.notify_all();
            }
            // One that was opened in between has no drainer left.
            if CLIENTS.load(Relaxed) > 0 {
                DRAINER_MISSING.store(true, Relaxed);
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
pub fn forked() {
    if QUEUE.load().is_none() {
        return; // nobody has listened yet
    }
    std::mem::forget(QUEUE.swap(Some(std::sync::Arc::default())));
    WAITING.store(false, Relaxed);
    DRAINER_MISSING.store(CLIENTS.load(Relaxed) > 0, Relaxed);
}

/// Whether a drainer has to be started; true once for whoever asks first.
#[inline]
pub fn wants_drainer() -> bool {
    DRAINER_MISSING.load(Relaxed) && DRAINER_MISSING.swap(false, Relaxed)
}

/// Waits, as a drainer does, until a background thread has logged something; false once no client is open.
pub fn wait() -> bool {
    let Some(queue) = QUEUE.load_full() else { return false };
    let mut lines = queue.lines.lock();
    while lines.is_empty() && CLIENTS.load(Relaxed) > 0 {
        queue.came.wait(&mut lines);
    }
    CLIENTS.load(Relaxed) > 0
}

/// The end of a bell that a drainer waits at, readable when a background thread has logged something; the one
/// before it, if any, ends.
pub fn open_bell() -> std::io::Result<UnixStream> {
    let (ours, drainers) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    if let Some(queue) = &*QUEUE.load() {
        *queue.bell.lock() = Some(ours);
    }
    Ok(drainers)
}

/// What waits to be logged: this thread's own records, then those of background threads.
#[inline]
pub fn take() -> Vec<Line> {
    if HAS_OWN.get() || WAITING.load(Relaxed) { take_all() } else { Vec::new() }
}

#[cold]
fn take_all() -> Vec<Line> {
    HAS_OWN.set(false);
    let mut lines = OWN.try_with(RefCell::take).unwrap_or_default();
    if let Some(queue) = QUEUE.load().as_ref().filter(|_| WAITING.load(Relaxed)) {
        lines.extend(queue.take());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_records_are_queued_until_drained() {
        let (first, second) = (listen(), listen());
        assert!(wants_drainer() && !wants_drainer());
        let inside = enter();
        tracing::warn!(service = "orders", "slow");
        drop(inside);
        assert_eq!(take(), [Line { level: Level::WARN, message: "slow service=orders".into() }]);
        let drainer = std::thread::spawn(|| (wait(), take()));
        tracing::info!("from the background");
        let (is_open, lines) = drainer.join().unwrap();
        assert!(is_open && lines.iter().any(|line| line.message == "from the background"));
        (0..MOST + 7).for_each(|n| tracing::debug!("{n}"));
        assert_eq!(take().last().unwrap().message, "7 log records were dropped: too many at once");
        let drainer = std::thread::spawn(wait);
        first.end();
        first.end();
        second.end();
        assert!(!drainer.join().unwrap());
    }
}
