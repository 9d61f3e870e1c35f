//! Staying known. The client owns registrations: a handle that Python collects changes nothing.

use std::time::Duration;

use plumline::Instance;
use plumline_bindings::instance::{FIELDS, changed};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::boundary::{Fault, Signals, boundary, exception_object};
use crate::convert::{self, duration, optional_duration, unexpected};

/// An instance from keyword arguments, on top of one that is there already.
pub(crate) fn instance(
    function: &str,
    base: Instance,
    fields: &Bound<'_, PyDict>,
) -> Result<Instance, Fault> {
    for word in fields.keys() {
        if !FIELDS.iter().any(|known| word.eq(known).unwrap_or(false)) {
            return Err(unexpected(fields.py(), function, &word, &FIELDS));
        }
    }
    Ok(changed(base, convert::object("", fields.as_any())?)?)
}

/// Keeps an instance known until it is closed.
#[pyclass(frozen, weakref, module = "plumline")]
pub(crate) struct Registration {
    pub(crate) inner: plumline::Registration,
    pub(crate) drain: Duration,
}

#[pymethods]
impl Registration {
    /// `waiting_for_port`, `registering`, `registered`, `unreachable`, `refused` or `closed`.
    #[getter]
    fn state(&self) -> String {
        let state = serde_json::to_value(self.inner.state()).unwrap_or_default();
        state.as_str().unwrap_or_default().to_owned()
    }

    /// `host:port` as others see it.
    #[getter]
    fn address(&self) -> String {
        self.inner.address()
    }

    #[getter]
    fn service(&self) -> String {
        self.inner.instance().service
    }

    #[getter]
    fn instance_id(&self) -> String {
        self.inner.instance().instance_id
    }

    /// What last went wrong; `None` once it is registered again.
    #[getter]
    fn last_error(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.inner.last_error().map(|error| exception_object(py, &error))
    }

    /// Waits until it is registered; raises what last went wrong if that does not come about in time.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        boundary(py, || {
            let timeout = optional_duration("timeout", timeout)?.unwrap_or(Duration::from_secs(10));
            Ok(py.detach(|| self.inner.with_interrupt(&Signals).wait(timeout))?)
        })
    }

    /// Changes what is registered, now and after every outage to come.
    #[pyo3(signature = (**changes), text_signature = "($self, *, port=None, host=None, protocol=None, version=None, labels=None, weight=None, zone=None, tags=None, ttl=None, healthy=None)")]
    fn update(&self, py: Python<'_>, changes: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
        boundary(py, || {
            let Some(changes) = changes else { return Ok(()) };
            let changed = instance("update", self.inner.instance(), changes)?;
            Ok(py.detach(|| self.inner.update(changed))?)
        })
    }

    /// Deregisters, then waits for the drain; again: does nothing.
    #[pyo3(signature = (drain=None))]
    fn close(&self, py: Python<'_>, drain: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        boundary(py, || {
            let drain = drain.map_or(Ok(self.drain), |drain| duration("drain", drain))?;
            Ok(py.detach(|| self.inner.with_interrupt(&Signals).close(drain))?)
        })
    }

    fn __enter__(this: Bound<'_, Registration>) -> Bound<'_, Registration> {
        this
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _exc_type: &Bound<'_, PyAny>,
        _exc: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.close(py, None)
    }

    fn __repr__(&self) -> String {
        format!("<Registration {} of {:?}, {}>", self.address(), self.service(), self.state())
    }
}
