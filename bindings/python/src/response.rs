//! What a call brought back. The body becomes `bytes` when it is first asked for, and only once.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use plumline::{Answer, Error};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDelta, PyTuple};

use crate::boundary::{Fault, boundary, exception};
use crate::convert;
use crate::endpoint::Endpoint;
use crate::headers::Headers;
use crate::request::{to_bytes, to_json_bytes};
use crate::trace::TraceStep;

/// An HTTP answer of any status, and how it was come by.
#[pyclass(frozen, module = "plumline")]
pub(crate) struct Response {
    inner: plumline::Response,
    content: PyOnceLock<Py<PyBytes>>,
}

impl From<plumline::Response> for Response {
    fn from(inner: plumline::Response) -> Response {
        Response { inner, content: PyOnceLock::new() }
    }
}

impl Response {
    /// What a transport stub hands to the core.
    pub(crate) fn to_answer(&self) -> Answer {
        Answer::new(self.inner.status(), self.inner.headers().clone(), self.inner.body())
    }

    /// What an `on_response` hook sees.
    pub(crate) fn of_answer(endpoint: &plumline::Endpoint, answer: &Answer) -> Response {
        let headers = answer.headers.iter();
        plumline::Response::new(endpoint.clone(), answer.status, headers, answer.body.clone()).into()
    }
}

#[pymethods]
impl Response {
    #[new]
    #[pyo3(signature = (status_code=200, *, json=None, headers=None, content=None, endpoint=None))]
    fn new(
        py: Python<'_>,
        status_code: u16,
        json: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyAny>>,
        content: Option<&Bound<'_, PyAny>>,
        endpoint: Option<&Bound<'_, Endpoint>>,
    ) -> PyResult<Response> {
        boundary(py, || {
            if !(200..=599).contains(&status_code) {
                return Err(Error::invalid(format!(
                    "status_code is {status_code}; it must be from 200 to 599"
                ))
                .into());
            }
            let mut fields = Headers::new(py, headers)?.0;
            let body = match (json, content) {
                (Some(_), Some(_)) => return Err(Error::invalid("pass only one of json and content").into()),
                (None, None) => Vec::new(),
                (None, Some(content)) => to_bytes("content", content)?,
                (Some(json), None) => {
                    if fields.get_bytes("content-type").is_none() {
                        fields.push("Content-Type", b"application/json");
                    }
                    to_json_bytes(json)?
                }
            };
            let nowhere = || Arc::new(plumline::Endpoint::new("", IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0));
            let endpoint = endpoint.map_or_else(nowhere, |endpoint| endpoint.get().0.clone());
            Ok(plumline::Response::new(endpoint, status_code, fields.iter(), body).into())
        })
    }

    #[getter]
    fn status_code(&self) -> u16 {
        self.inner.status()
    }

    /// Whether the status is 2xx.
    #[getter]
    fn is_success(&self) -> bool {
        self.inner.is_success()
    }

    #[getter]
    fn headers(&self) -> Headers {
        Headers(self.inner.headers().clone())
    }

    /// The body, decompressed.
    #[getter]
    fn content<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        self.content.get_or_init(py, || PyBytes::new(py, self.inner.body()).unbind()).bind(py).clone()
    }

    /// The body as text; bytes that are not UTF-8 become �.
    #[getter]
    fn text(&self) -> std::borrow::Cow<'_, str> {
        self.inner.text()
    }

    /// The body read as JSON.
    fn json<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        boundary(py, || {
            let read = convert::from_json(py, self.inner.body());
            read.map_err(|cause| match self.inner.json::<serde_json::Value>() {
                Err(error) => {
                    let raised = exception(py, &error);
                    raised.set_cause(py, Some(cause));
                    raised.into()
                }
                // Python is the stricter of the two about depth.
                Ok(_) => Fault::Python(cause),
            })
        })
    }

    /// Itself, or `PlumStatusError` for a 4xx or 5xx.
    fn raise_for_status(this: Bound<'_, Response>) -> PyResult<Bound<'_, Response>> {
        match this.get().inner.status_error() {
            None => Ok(this),
            Some(error) => Err(exception(this.py(), &error)),
        }
    }

    /// The service that was asked for.
    #[getter]
    fn service(&self) -> &str {
        self.inner.service()
    }

    /// The endpoint that answered.
    #[getter]
    fn endpoint(&self) -> Endpoint {
        Endpoint(self.inner.endpoint().clone())
    }

    /// How many attempts it took.
    #[getter]
    fn attempts(&self) -> u32 {
        self.inner.attempts()
    }

    /// What each attempt came to, in order; the last one is this answer.
    #[getter]
    fn trace<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.inner.trace().iter().cloned().map(TraceStep))
    }

    /// How long the whole call took.
    #[getter]
    fn elapsed<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDelta>> {
        convert::elapsed(py, self.inner.elapsed())
    }

    /// Equal are answers with the same status, headers and body, whoever gave them.
    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Response>().is_ok_and(|other| {
            let (a, b) = (&self.inner, &other.get().inner);
            a.status() == b.status() && a.body() == b.body() && a.headers() == b.headers()
        })
    }

    fn __repr__(&self) -> String {
        format!("<Response [{}] {} bytes>", self.inner.status(), self.inner.body().len())
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let parts = (self.status_code(), self.headers(), self.content(py), self.endpoint());
        Ok((py.get_type::<Response>().getattr("_restored")?, parts.into_pyobject(py)?))
    }

    /// For pickle: what a test or a queue needs of it, without the story of its attempts.
    #[staticmethod]
    fn _restored(
        py: Python<'_>,
        status_code: u16,
        headers: &Bound<'_, PyAny>,
        content: &Bound<'_, PyAny>,
        endpoint: &Bound<'_, Endpoint>,
    ) -> PyResult<Response> {
        Response::new(py, status_code, None, Some(headers), Some(content), Some(endpoint))
    }
}
