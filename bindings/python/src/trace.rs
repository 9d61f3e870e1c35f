//! The steps of a call. Values: equal when their parts are, picklable.

use std::time::Duration;

use plumline::{Error, TraceOutcome};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDelta, PyTuple};

use crate::boundary::boundary;
use crate::convert;
use crate::endpoint::Endpoint;

/// What one attempt of a call came to.
#[pyclass(frozen, eq, module = "plumline")]
#[derive(PartialEq)]
pub(crate) struct TraceStep(pub(crate) plumline::TraceStep);

#[pymethods]
impl TraceStep {
    #[new]
    #[pyo3(signature = (endpoint, *, status=None, kind=None, error=None, elapsed=None))]
    fn new(
        py: Python<'_>,
        endpoint: &Bound<'_, Endpoint>,
        status: Option<u16>,
        kind: Option<u8>,
        error: Option<String>,
        elapsed: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<TraceStep> {
        boundary(py, || {
            let of_number = |number: u8| plumline::Kind::ALL.into_iter().find(|kind| kind.number() == number);
            let outcome = match (status, kind.and_then(of_number)) {
                (Some(status), None) => TraceOutcome::Status(status),
                (None, Some(kind)) => TraceOutcome::Failed(kind, error.unwrap_or_default()),
                _ => return Err(Error::invalid("a step has either a status or a kind of failure").into()),
            };
            let elapsed = convert::optional_duration("elapsed", elapsed)?.unwrap_or(Duration::ZERO);
            Ok(TraceStep(plumline::TraceStep::new(endpoint.get().0.clone(), outcome, elapsed)))
        })
    }

    #[getter]
    fn endpoint(&self) -> Endpoint {
        Endpoint(self.0.endpoint.clone())
    }

    /// The status that came back; `None` where none did.
    #[getter]
    fn status(&self) -> Option<u16> {
        match self.0.outcome {
            TraceOutcome::Status(status) => Some(status),
            TraceOutcome::Failed(..) => None,
        }
    }

    /// What kind of failure it was; `None` where a status came back.
    #[getter]
    fn kind<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        static KIND: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        match &self.0.outcome {
            TraceOutcome::Status(_) => Ok(None),
            TraceOutcome::Failed(kind, _) => {
                KIND.import(py, "plumline.errors", "Kind")?.call1((kind.number(),)).map(Some)
            }
        }
    }

    /// The failure in words; `None` where a status came back.
    #[getter]
    fn error(&self) -> Option<&str> {
        match &self.0.outcome {
            TraceOutcome::Status(_) => None,
            TraceOutcome::Failed(_, words) => Some(words),
        }
    }

    #[getter]
    fn elapsed<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDelta>> {
        convert::elapsed(py, self.0.elapsed)
    }

    fn __repr__(&self) -> String {
        format!("<TraceStep {}>", self.0)
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let kind = match &self.0.outcome {
            TraceOutcome::Status(_) => None,
            TraceOutcome::Failed(kind, _) => Some(kind.number()),
        };
        let parts = (self.endpoint(), self.status(), kind, self.error(), self.elapsed(py)?);
        Ok((py.get_type::<TraceStep>().getattr("_restored")?, parts.into_pyobject(py)?))
    }

    /// For pickle.
    #[staticmethod]
    fn _restored(
        py: Python<'_>,
        endpoint: &Bound<'_, Endpoint>,
        status: Option<u16>,
        kind: Option<u8>,
        error: Option<String>,
        elapsed: &Bound<'_, PyAny>,
    ) -> PyResult<TraceStep> {
        TraceStep::new(py, endpoint, status, kind, error, Some(elapsed))
    }
}
