//! What was logged, on its way to `logging.getLogger("plumline")`.
//!
//! Records wait in the queue of [`plumline_bindings::logs`]; they are handed over when an export returns, or by the
//! drainer: a Python thread that waits on a socket. No native thread ever takes the interpreter.

use plumline_bindings::logs::{Level, Line, take, wants_drainer};
pub(crate) use plumline_bindings::logs::{Listening, enter, listen, open_bell};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// Hands what waits to `logging`.
#[inline]
pub(crate) fn drain(py: Python<'_>) {
    if wants_drainer() {
        start_drainer(py);
    }
    let lines = take();
    if !lines.is_empty() {
        emit(py, lines);
    }
}

/// As `logging` counts.
fn level_of(level: Level) -> u8 {
    match level {
        Level::ERROR => 40,
        Level::WARN => 30,
        Level::INFO => 20,
        _ => 10,
    }
}

/// What a handler of the user's raises is the handler's own affair: the call that logged has succeeded.
fn emit(py: Python<'_>, lines: Vec<Line>) {
    static LOG: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let log = match LOG.import(py, "plumline._logs", "log") {
        Ok(log) => log,
        Err(error) => return error.write_unraisable(py, None),
    };
    for line in lines {
        if let Err(error) = log.call1((level_of(line.level), line.message)) {
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
