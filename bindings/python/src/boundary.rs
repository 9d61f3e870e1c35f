//! The one way in: every export runs inside [`boundary`].
//!
//! A panic becomes an ordinary Internal error, an [`Error`] the Python exception of its kind, and an exception
//! that Python code of the user raised on the way (a hook, a signal handler) comes out as it was raised. On the
//! way back, what was logged is handed to `logging`.

use std::cell::RefCell;

use plumline::interrupt::Interrupt;
use plumline::{Error, Kind};
use plumline_bindings::guard::guarded;
use pyo3::CastError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};

use crate::endpoint::Endpoint;
use crate::logs;
use crate::trace::TraceStep;

/// Why an export does not return a value.
pub(crate) enum Fault {
    /// The core says no.
    Core(Error),
    /// Python raised.
    Python(PyErr),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault::Core(error)
    }
}

impl From<PyErr> for Fault {
    fn from(error: PyErr) -> Fault {
        Fault::Python(error)
    }
}

impl From<CastError<'_, '_>> for Fault {
    fn from(error: CastError<'_, '_>) -> Fault {
        Fault::Python(error.into())
    }
}

impl Fault {
    /// The exception that it is to Python.
    pub(crate) fn into_py(self, py: Python<'_>) -> PyErr {
        match self {
            Fault::Core(error) => exception(py, &error),
            Fault::Python(error) => error,
        }
    }
}

thread_local! {
    /// What the user's code raised inside the export that runs on this thread.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Runs an export.
pub(crate) fn boundary<T>(py: Python<'_>, export: impl FnOnce() -> Result<T, Fault>) -> PyResult<T> {
    // A hook may call us again: what was raised out there is not for the inner export to raise.
    let outer = RAISED.take();
    let inside = logs::enter();
    let result = guarded(export);
    drop(inside);
    logs::drain(py);
    match RAISED.replace(outer) {
        Some(raised) => Err(raised),
        None => result.map_err(|fault| fault.into_py(py)),
    }
}

/// Keeps what the user's code raised until the export ends; gives the core an error to stop for.
pub(crate) fn keep_raised(raised: PyErr) -> Error {
    let message = raised.to_string();
    RAISED.with_borrow_mut(|kept| {
        kept.get_or_insert(raised);
    });
    Error::new(Kind::Cancelled, message)
}

/// Whether the user's code has raised inside the present export.
pub(crate) fn has_raised() -> bool {
    RAISED.with_borrow(Option::is_some)
}

/// Asked by whoever waits on the caller's thread: runs Python's signal handlers, so that Ctrl-C ends the wait.
pub(crate) struct Signals;

impl Interrupt for Signals {
    #[allow(clippy::redundant_closure_for_method_calls)] // the method alone is bound to one lifetime
    fn check(&self) -> plumline::Result<()> {
        Python::attach(|py| py.check_signals()).map_err(keep_raised)
    }
}

/// The exception for an error of the core.
pub(crate) fn exception(py: Python<'_>, error: &Error) -> PyErr {
    make_exception(py, error).unwrap_or_else(|failed| failed)
}

/// The same as an object, for those who show it instead of raising it.
pub(crate) fn exception_object(py: Python<'_>, error: &Error) -> Py<PyAny> {
    exception(py, error).into_value(py).into_any()
}

fn make_exception(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    static CLASSES: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let class_of = CLASSES.import(py, "plumline.errors", "class_of")?;
    let class = class_of.call1((error.kind().number(),))?;
    let details = PyDict::new(py);
    details.set_item("service", error.service())?;
    details.set_item("endpoint", error.endpoint().cloned().map(Endpoint))?;
    details.set_item("attempts", error.attempts())?;
    details.set_item("trace", PyTuple::new(py, error.trace().iter().cloned().map(TraceStep))?)?;
    Ok(PyErr::from_value(class.call((error.message(),), Some(&details))?))
}
