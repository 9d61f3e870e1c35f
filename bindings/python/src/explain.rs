//! Why a call goes where it goes: what `explain()` returns.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::endpoint::Endpoint;

/// What a client knows of a service, and what it would do with it. `str()` is a table.
#[pyclass(frozen, module = "plumline")]
pub(crate) struct Explanation(pub(crate) plumline::Explanation);

#[pymethods]
impl Explanation {
    #[getter]
    fn query(&self) -> &str {
        &self.0.query
    }

    #[getter]
    fn summary(&self) -> &str {
        &self.0.summary
    }

    #[getter]
    fn usable(&self) -> usize {
        self.0.usable
    }

    #[getter]
    fn source(&self) -> &str {
        &self.0.source
    }

    #[getter]
    fn endpoints<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.0.endpoints.iter().cloned().map(Verdict))
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        format!("<Explanation {}>", self.0.summary)
    }
}

/// What is thought of one endpoint.
#[pyclass(frozen, module = "plumline")]
pub(crate) struct Verdict(plumline::EndpointExplanation);

#[pymethods]
impl Verdict {
    #[getter]
    fn address(&self) -> &str {
        &self.0.address
    }

    #[getter]
    fn endpoint(&self) -> Endpoint {
        Endpoint(self.0.endpoint.clone())
    }

    #[getter]
    fn usable(&self) -> bool {
        self.0.usable
    }

    #[getter]
    fn reasons<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.0.reasons)
    }

    #[getter]
    fn ewma_ms(&self) -> Option<f64> {
        self.0.ewma_ms
    }

    #[getter]
    fn success(&self) -> f64 {
        self.0.success
    }

    #[getter]
    fn in_flight(&self) -> u32 {
        self.0.in_flight
    }

    #[getter]
    fn weight(&self) -> u32 {
        self.0.weight
    }

    fn __repr__(&self) -> String {
        let plumline::EndpointExplanation { address, usable, reasons, .. } = &self.0;
        let usable = if *usable { "usable" } else { "not used" };
        let colon = if reasons.is_empty() { "" } else { ": " };
        format!("<Verdict {address} {usable}{colon}{}>", reasons.join("; "))
    }
}
