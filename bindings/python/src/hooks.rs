//! The user's own Python code inside a call: hooks, transport stubs, balancers. Always on the caller's thread.
//!
//! What it raises comes out of the call as it was raised, with one exception: a transport that raises
//! `ConnectionError` or `TimeoutError` tells of an attempt that failed, and the call goes on around it.

use std::sync::Arc;

use plumline::balance::{Balancer, Context};
use plumline::membership::{Candidate, View};
use plumline::sync::Mutex;
use plumline::{Answer, Bounds, Failure, Outgoing, Transport};
use plumline_bindings::failure::error_of;
use pyo3::exceptions::{PyConnectionError, PyConnectionRefusedError, PyTimeoutError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::boundary::{boundary, exception_object, has_raised, keep_raised};
use crate::convert::wrong_type;
use crate::endpoint::Endpoint;
use crate::headers::Headers;
use crate::response::Response;

type Sent = Result<Answer, Failure>;

/// One attempt's request, as it is about to be sent.
#[pyclass(frozen, module = "plumline")]
pub(crate) struct Request(Mutex<Outgoing>);

#[pymethods]
impl Request {
    #[getter]
    fn method(&self) -> String {
        self.0.lock().method.clone()
    }

    #[getter]
    fn service(&self) -> String {
        self.0.lock().service.clone()
    }

    /// Path and query, escaped.
    #[getter]
    fn path(&self) -> String {
        self.0.lock().path.clone()
    }

    /// Every header but Host and Content-Length; a copy.
    #[getter]
    fn headers(&self) -> Headers {
        Headers(self.0.lock().headers.iter().map(|(name, value)| (name, value)).collect())
    }

    #[getter]
    fn content<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.lock().body.as_deref().unwrap_or_default())
    }

    /// The content read as JSON.
    fn json<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        crate::convert::from_json(py, self.content(py).as_bytes())
    }

    /// Which attempt this is, from 1.
    #[getter]
    fn attempt(&self) -> u32 {
        self.0.lock().attempt
    }

    /// Sets a header, replacing any of that name.
    fn set_header(&self, py: Python<'_>, name: &str, value: &str) -> PyResult<()> {
        boundary(py, || Ok(self.0.lock().set_header(name, value)?))
    }

    fn __repr__(&self) -> String {
        let request = self.0.lock();
        format!("<Request {} {:?} {}>", request.method, request.service, request.path)
    }
}

fn request<'py>(py: Python<'py>, outgoing: &Outgoing) -> PyResult<Bound<'py, Request>> {
    Bound::new(py, Request(Mutex::new(outgoing.clone())))
}

fn shown(endpoint: &plumline::Endpoint) -> Endpoint {
    Endpoint(Arc::new(endpoint.clone()))
}

/// `on_request(request, endpoint)`.
pub(crate) fn on_request(
    hook: Py<PyAny>,
) -> impl Fn(&mut Outgoing, &plumline::Endpoint) -> plumline::Result<()> + Send + Sync {
    move |outgoing, endpoint| {
        let called = Python::attach(|py| {
            let request = request(py, outgoing)?;
            hook.call1(py, (&request, shown(endpoint)))?;
            *outgoing = request.get().0.lock().clone();
            Ok(())
        });
        called.map_err(keep_raised)
    }
}

/// `on_response(request, endpoint, response or exception)`.
pub(crate) fn on_response(
    hook: Py<PyAny>,
) -> impl Fn(&Outgoing, &plumline::Endpoint, &Sent) -> plumline::Result<()> + Send + Sync {
    move |outgoing, endpoint, sent| {
        if has_raised() {
            return Ok(()); // the call is over; what ended it is about to come out
        }
        let called = Python::attach(|py| {
            let came = match sent {
                Ok(answer) => Bound::new(py, Response::of_answer(endpoint, answer))?.into_any().unbind(),
                Err(failure) => exception_object(py, &error_of(failure, endpoint)),
            };
            hook.call1(py, (request(py, outgoing)?, shown(endpoint), came)).map(drop)
        });
        called.map_err(keep_raised)
    }
}

/// `transport(request, endpoint) -> Response`.
pub(crate) struct Stub(pub(crate) Py<PyAny>);

impl Transport for Stub {
    fn send(&self, outgoing: &Outgoing, endpoint: &plumline::Endpoint, _: &Bounds<'_>) -> Sent {
        Python::attach(|py| {
            let came = request(py, outgoing).and_then(|request| self.0.call1(py, (request, shown(endpoint))));
            let came = came.map_err(|raised| failure_of(py, raised))?;
            if let Ok(response) = came.bind(py).cast::<Response>() {
                return Ok(response.get().to_answer());
            }
            let wrong = wrong_type("what the transport returns", "a plumline.Response", came.bind(py));
            Err(Failure::Interrupted(keep_raised(wrong.into_py(py))))
        })
    }
}

fn failure_of(py: Python<'_>, raised: PyErr) -> Failure {
    if raised.is_instance_of::<PyConnectionRefusedError>(py) {
        Failure::Refused(raised.value(py).to_string())
    } else if raised.is_instance_of::<PyConnectionError>(py) {
        Failure::Reset(raised.value(py).to_string())
    } else if raised.is_instance_of::<PyTimeoutError>(py) {
        Failure::Timeout
    } else {
        Failure::Interrupted(keep_raised(raised))
    }
}

/// `balancer(endpoints, choice) -> index`.
pub(crate) struct Own(pub(crate) Py<PyAny>);

/// What a choice may depend on beside the endpoints: figures in their order.
#[pyclass(frozen, module = "plumline")]
pub(crate) struct Choice {
    in_flight: Vec<u32>,
    latency: Vec<Option<f64>>,
    tried: Vec<bool>,
}

#[pymethods]
impl Choice {
    /// Calls and picks that have not ended yet.
    #[getter]
    fn in_flight<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.in_flight)
    }

    /// What a use takes, seconds (EWMA); `None` until one has ended.
    #[getter]
    fn latency<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.latency)
    }

    /// Whether this call has asked it already.
    #[getter]
    fn tried<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.tried)
    }
}

impl Balancer for Own {
    fn choose(&self, view: &View, context: &mut Context<'_>) -> Option<usize> {
        let slots = view.candidates();
        let choice = Choice {
            in_flight: slots.iter().map(Candidate::in_flight).collect(),
            latency: slots.iter().map(|slot| slot.latency().map(|latency| latency.as_secs_f64())).collect(),
            tried: (0..view.len()).map(|index| context.has_tried(view, index)).collect(),
        };
        let chosen = Python::attach(|py| -> PyResult<Option<isize>> {
            let endpoints =
                PyTuple::new(py, slots.iter().map(|slot| Endpoint(slot.member.endpoint.clone())))?;
            self.0.call1(py, (endpoints, choice))?.extract(py)
        });
        match chosen {
            // One that is out of range is refused by number.
            Ok(index) => index.map(|index| usize::try_from(index).unwrap_or(usize::MAX)),
            Err(raised) => {
                keep_raised(raised);
                None
            }
        }
    }
}
