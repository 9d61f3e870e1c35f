//! An endpoint chosen for one use: `with plum.pick("billing") as pick`.

use plumline::sync::Mutex;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::boundary::boundary;
use crate::endpoint::Endpoint;

/// An endpoint chosen for one use. The first word on how it went counts; without one it is neutral.
///
/// Nothing here leaves the interpreter: it takes less time than giving the interpreter back.
#[pyclass(frozen, module = "plumline")]
pub(crate) struct Pick {
    endpoint: std::sync::Arc<plumline::Endpoint>,
    stale: bool,
    inner: Mutex<Option<plumline::Pick>>,
}

impl From<plumline::Pick> for Pick {
    fn from(pick: plumline::Pick) -> Pick {
        Pick { endpoint: pick.endpoint().clone(), stale: pick.is_stale(), inner: Mutex::new(Some(pick)) }
    }
}

impl Pick {
    /// The first word counts; dropped without one a pick is neutral.
    fn settle(&self, py: Python<'_>, word: impl FnOnce(&plumline::Pick)) -> PyResult<()> {
        boundary(py, || {
            if let Some(pick) = self.inner.lock().take() {
                word(&pick);
            }
            Ok(())
        })
    }
}

#[pymethods]
impl Pick {
    #[getter]
    fn endpoint(&self) -> Endpoint {
        Endpoint(self.endpoint.clone())
    }

    /// Whether its service's list is older than it should be, because the registry does not answer.
    #[getter]
    fn is_stale(&self) -> bool {
        self.stale
    }

    /// It went well.
    fn success(&self, py: Python<'_>) -> PyResult<()> {
        self.settle(py, plumline::Pick::success)
    }

    /// It did not.
    fn failure(&self, py: Python<'_>) -> PyResult<()> {
        self.settle(py, plumline::Pick::failure)
    }

    fn __enter__(this: Bound<'_, Pick>) -> Bound<'_, Pick> {
        this
    }

    /// An `Exception` counts as a failure; what only ends the program or the task says nothing.
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: &Bound<'_, PyAny>,
        _exc: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        if exc_type.is_none() {
            self.success(py)
        } else if exc_type.cast::<PyType>()?.is_subclass_of::<PyException>()? {
            self.failure(py)
        } else {
            self.settle(py, |_| ())
        }
    }

    fn __repr__(&self) -> String {
        format!("<Pick {}>", self.endpoint.address())
    }
}
