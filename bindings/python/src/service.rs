//! A service, or some of its endpoints, bound once: the fast path of many calls and picks.

use std::sync::Arc;

use plumline::ServiceHandle;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::boundary::{Fault, Signals, boundary};
use crate::pick::Pick;
use crate::request::{Built, build, build_any};
use crate::response::Response;

/// A service of a client, looked up once.
#[pyclass(frozen, module = "plumline")]
pub(crate) struct Service(pub(crate) Arc<ServiceHandle>);

impl Service {
    /// Picks without leaving the interpreter, unless a registry has to be asked.
    pub(crate) fn choose(py: Python<'_>, handle: &ServiceHandle) -> Result<Pick, Fault> {
        match handle.try_pick()? {
            Some(pick) => Ok(pick.into()),
            None => Ok(py.detach(|| handle.with_interrupt(&Signals).pick())?.into()),
        }
    }

    fn send(&self, py: Python<'_>, built: &Built) -> Result<Response, Fault> {
        if built.filtered {
            return Err(PyTypeError::new_err(
                "version, protocol and labels are said when the handle is made: client.service(name, version=…)",
            )
            .into());
        }
        Ok(py.detach(|| self.0.with_interrupt(&Signals).call(&built.request))?.into())
    }
}

#[pymethods]
impl Service {
    /// The service's name.
    #[getter]
    fn name(&self) -> &str {
        &self.0.query().service
    }

    /// Chooses an endpoint for one use of any protocol, to be reported on.
    fn pick(&self, py: Python<'_>) -> PyResult<Pick> {
        boundary(py, || Service::choose(py, &self.0))
    }

    /// Sends a GET. An answer of any status is a `Response`.
    #[pyo3(signature = (path, **options), text_signature = "($self, path, *, params=None, headers=None, json=None, content=None, data=None, timeout=None, attempt_timeout=None, attempts=None, idempotent=None, max_body=None)")]
    fn get(&self, py: Python<'_>, path: &str, options: Option<&Bound<'_, PyDict>>) -> PyResult<Response> {
        boundary(py, || self.send(py, &build("GET", self.name(), path, options)?))
    }

    /// Sends a POST. An answer of any status is a `Response`.
    #[pyo3(signature = (path, **options), text_signature = "($self, path, *, params=None, headers=None, json=None, content=None, data=None, timeout=None, attempt_timeout=None, attempts=None, idempotent=None, max_body=None)")]
    fn post(&self, py: Python<'_>, path: &str, options: Option<&Bound<'_, PyDict>>) -> PyResult<Response> {
        boundary(py, || self.send(py, &build("POST", self.name(), path, options)?))
    }

    /// Sends a PUT. An answer of any status is a `Response`.
    #[pyo3(signature = (path, **options), text_signature = "($self, path, *, params=None, headers=None, json=None, content=None, data=None, timeout=None, attempt_timeout=None, attempts=None, idempotent=None, max_body=None)")]
    fn put(&self, py: Python<'_>, path: &str, options: Option<&Bound<'_, PyDict>>) -> PyResult<Response> {
        boundary(py, || self.send(py, &build("PUT", self.name(), path, options)?))
    }

    /// Sends a PATCH. An answer of any status is a `Response`.
    #[pyo3(signature = (path, **options), text_signature = "($self, path, *, params=None, headers=None, json=None, content=None, data=None, timeout=None, attempt_timeout=None, attempts=None, idempotent=None, max_body=None)")]
    fn patch(&self, py: Python<'_>, path: &str, options: Option<&Bound<'_, PyDict>>) -> PyResult<Response> {
        boundary(py, || self.send(py, &build("PATCH", self.name(), path, options)?))
    }

    /// Sends a DELETE. An answer of any status is a `Response`.
    #[pyo3(signature = (path, **options), text_signature = "($self, path, *, params=None, headers=None, json=None, content=None, data=None, timeout=None, attempt_timeout=None, attempts=None, idempotent=None, max_body=None)")]
    fn delete(&self, py: Python<'_>, path: &str, options: Option<&Bound<'_, PyDict>>) -> PyResult<Response> {
        boundary(py, || self.send(py, &build("DELETE", self.name(), path, options)?))
    }

    /// Sends a HEAD. An answer of any status is a `Response`.
    #[pyo3(signature = (path, **options), text_signature = "($self, path, *, params=None, headers=None, json=None, content=None, data=None, timeout=None, attempt_timeout=None, attempts=None, idempotent=None, max_body=None)")]
    fn head(&self, py: Python<'_>, path: &str, options: Option<&Bound<'_, PyDict>>) -> PyResult<Response> {
        boundary(py, || self.send(py, &build("HEAD", self.name(), path, options)?))
    }

    /// Sends an OPTIONS. An answer of any status is a `Response`.
    #[pyo3(signature = (path, **options), text_signature = "($self, path, *, params=None, headers=None, json=None, content=None, data=None, timeout=None, attempt_timeout=None, attempts=None, idempotent=None, max_body=None)")]
    fn options(&self, py: Python<'_>, path: &str, options: Option<&Bound<'_, PyDict>>) -> PyResult<Response> {
        boundary(py, || self.send(py, &build("OPTIONS", self.name(), path, options)?))
    }

    /// Makes a call with any method.
    #[pyo3(signature = (method, path, **options), text_signature = "($self, method, path, *, params=None, headers=None, json=None, content=None, data=None, timeout=None, attempt_timeout=None, attempts=None, idempotent=None, max_body=None)")]
    fn call(
        &self,
        py: Python<'_>,
        method: &str,
        path: &str,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Response> {
        boundary(py, || self.send(py, &build_any(method, self.name(), path, options)?))
    }

    fn __repr__(&self) -> String {
        format!("<Service {}>", self.0.query())
    }
}
