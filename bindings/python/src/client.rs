//! The client: every word of it crosses to the core here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use plumline::{Error, Instance};
use plumline_bindings::exit;
use plumline_bindings::handles::Handles;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use serde_json::Value;

use crate::boundary::{Fault, Signals, boundary};
use crate::convert::{self, duration, optional_duration};
use crate::endpoint::{Endpoint, shared};
use crate::explain::Explanation;
use crate::logs::{self, Listening};
use crate::pick::Pick;
use crate::registration::{self, Registration};
use crate::request::{Built, build, build_any, query};
use crate::response::Response;
use crate::service::Service;
use crate::settings::UserCode;
use crate::watch::Watch;

/// Finds services, calls them, survives what fails, and keeps this program registered.
#[pyclass(frozen, weakref, module = "plumline")]
pub(crate) struct Client {
    inner: plumline::Client,
    handles: Handles,
    has_registered: AtomicBool,
    listening: Listening,
}

impl Client {
    fn send(&self, py: Python<'_>, service: &str, built: Built) -> Result<Response, Fault> {
        let Built { request, filtered } = built;
        if filtered {
            return Ok(py.detach(|| self.inner.with_interrupt(&Signals).call(&request))?.into());
        }
        let Ok(handle) = self.handles.get(&self.inner, service) else {
            // A name that cannot be one is the request's first mistake: the core says which.
            return Ok(py.detach(|| self.inner.with_interrupt(&Signals).call(&request))?.into());
        };
        Ok(py.detach(|| handle.with_interrupt(&Signals).call(&request))?.into())
    }
}

#[pymethods]
impl Client {
    #[new]
    #[pyo3(
        signature = (registry=None, *, transport=None, balancer=None, on_request=None, on_response=None, **config),
        text_signature = "(registry=None, *, transport=None, balancer=None, on_request=None, on_response=None, **config)"
    )]
    fn new(
        py: Python<'_>,
        registry: Option<&Bound<'_, PyAny>>,
        transport: Option<Bound<'_, PyAny>>,
        balancer: Option<Bound<'_, PyAny>>,
        on_request: Option<Bound<'_, PyAny>>,
        on_response: Option<Bound<'_, PyAny>>,
        config: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Client> {
        boundary(py, || {
            let code = UserCode { transport, balancer, on_request, on_response };
            let builder = code.into_builder(registry, config)?;
            let listening = logs::listen();
            let inner = builder.build()?;
            Ok(Client {
                inner,
                handles: Handles::default(),
                has_registered: AtomicBool::new(false),
                listening,
            })
        })
    }

    /// The endpoints of a service that are there and healthy. A service nobody knows has none.
    #[pyo3(signature = (service, **filters), text_signature = "($self, service, *, version=None, protocol=None, labels=None)")]
    fn discover<'py>(
        &self,
        py: Python<'py>,
        service: &str,
        filters: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Bound<'py, PyList>> {
        boundary(py, || {
            let query = query("discover", service, filters)?;
            let found = match self.inner.try_discover(&query)? {
                Some(found) => found,
                None => py.detach(|| self.inner.with_interrupt(&Signals).discover(&query))?,
            };
            Ok(PyList::new(py, found.into_iter().map(Endpoint))?)
        })
    }

    /// Chooses an endpoint for one use of any protocol, to be reported on.
    #[pyo3(signature = (service, **filters), text_signature = "($self, service, *, version=None, protocol=None, labels=None)")]
    fn pick(&self, py: Python<'_>, service: &str, filters: Option<&Bound<'_, PyDict>>) -> PyResult<Pick> {
        boundary(py, || {
            let handle = match filters {
                None => self.handles.get(&self.inner, service)?,
                Some(_) => Arc::new(self.inner.service(query("pick", service, filters)?)?),
            };
            Service::choose(py, &handle)
        })
    }

    /// Sends a GET. An answer of any status is a `Response`.
    #[pyo3(signature = (service, path, **options), text_signature = "($self, service, path, *, params=None, headers=None, json=None, content=None, data=None, timeout=None, attempt_timeout=None, attempts=None, idempotent=None, max_body=None, version=None, labels=None)")]
    fn get(
        &self,
        py: Python<'_>,
        service: &str,
        path: &str,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Response> {
        boundary(py, || self.send(py, service, build("GET", service, path, options)?))
    }

    /// Sends a POST. An answer of any status is a `Response`.
    #[pyo3(signature = (service, path, **options), text_signature = "($self, service, path, *, params=None, headers=None, json=None, content=None, data=None, timeout=None, attempt_timeout=None, attempts=None, idempotent=None, max_body=None, version=None, labels=None)")]
    fn post(
        &self,
        py: Python<'_>,
        service: &str,
        path: &str,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Response> {
        boundary(py, || self.send(py, service, build("POST", service, path, options)?))
    }

    /// Sends a PUT. An answer of any status is a `Response`.
    #[pyo3(signature = (service, path, **options), text_signature = "($self, service, path, *, params=None, headers=None, json=None, content=None, data=None, timeout=None, attempt_timeout=None, attempts=None, idempotent=None, max_body=None, version=None, labels=None)")]
    fn put(
        &self,
        py: Python<'_>,
        service: &str,
        path: &str,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Response> {
        boundary(py, || self.send(py, service, build("PUT", service, path, options)?))
    }

    /// Sends a PATCH. An answer of any status is a `Response`.
    #[pyo3(signature = (service, path, **options), text_signature = "($self, service, path, *, params=None, headers=None, json=None, content=None, data=None, timeout=None, attempt_timeout=None, attempts=None, idempotent=None, max_body=None, version=None, labels=None)")]
    fn patch(
        &self,
        py: Python<'_>,
        service: &str,
        path: &str,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Response> {
        boundary(py, || self.send(py, service, build("PATCH", service, path, options)?))
    }

    /// Sends a DELETE. An answer of any status is a `Response`.
    #[pyo3(signature = (service, path, **options), text_signature = "($self, service, path, *, params=None, headers=None, json=None, content=None, data=None, timeout=None, attempt_timeout=None, attempts=None, idempotent=None, max_body=None, version=None, labels=None)")]
    fn delete(
        &self,
        py: Python<'_>,
        service: &str,
        path: &str,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Response> {
        boundary(py, || self.send(py, service, build("DELETE", service, path, options)?))
    }

    /// Sends a HEAD. An answer of any status is a `Response`.
    #[pyo3(signature = (service, path, **options), text_signature = "($self, service, path, *, params=None, headers=None, json=None, content=None, data=None, timeout=None, attempt_timeout=None, attempts=None, idempotent=None, max_body=None, version=None, labels=None)")]
    fn head(
        &self,
        py: Python<'_>,
        service: &str,
        path: &str,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Response> {
        boundary(py, || self.send(py, service, build("HEAD", service, path, options)?))
    }

    /// Sends an OPTIONS. An answer of any status is a `Response`.
    #[pyo3(signature = (service, path, **options), text_signature = "($self, service, path, *, params=None, headers=None, json=None, content=None, data=None, timeout=None, attempt_timeout=None, attempts=None, idempotent=None, max_body=None, version=None, labels=None)")]
    fn options(
        &self,
        py: Python<'_>,
        service: &str,
        path: &str,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Response> {
        boundary(py, || self.send(py, service, build("OPTIONS", service, path, options)?))
    }

    /// Makes a call with any method.
    #[pyo3(signature = (method, service, path, **options), text_signature = "($self, method, service, path, *, params=None, headers=None, json=None, content=None, data=None, timeout=None, attempt_timeout=None, attempts=None, idempotent=None, max_body=None, version=None, labels=None)")]
    fn call(
        &self,
        py: Python<'_>,
        method: &str,
        service: &str,
        path: &str,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Response> {
        boundary(py, || self.send(py, service, build_any(method, service, path, options)?))
    }

    /// A handle bound to a service: the fast path of many calls and picks.
    #[pyo3(signature = (service, **filters), text_signature = "($self, service, *, version=None, protocol=None, labels=None)")]
    fn service(
        &self,
        py: Python<'_>,
        service: &str,
        filters: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Service> {
        boundary(py, || Ok(Service(Arc::new(self.inner.service(query("service", service, filters)?)?))))
    }

    /// Registers this program, and keeps it registered until the registration or the client is closed, or the
    /// program ends in good order.
    #[pyo3(signature = (service, port, **instance), text_signature = "($self, service, port, *, host=None, protocol=None, version=None, labels=None, weight=None, zone=None, tags=None, ttl=None, instance_id=None, healthy=None)")]
    fn register(
        &self,
        py: Python<'_>,
        service: &str,
        port: &Bound<'_, PyAny>,
        instance: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Registration> {
        boundary(py, || {
            let fields = instance.map_or_else(|| Ok(PyDict::new(py)), PyDictMethods::copy)?;
            fields.set_item("port", port)?;
            let instance = registration::instance("register", Instance::new(service, 0), &fields)?;
            let drain = self.inner.config().registration.drain;
            let registered = py.detach(|| self.inner.with_interrupt(&Signals).register(instance))?;
            if !self.has_registered.swap(true, Relaxed) {
                exit::remember(&self.inner);
            }
            Ok(Registration { inner: registered.detach(), drain })
        })
    }

    /// Tells of every change of a service, beginning with what is there.
    fn watch(&self, py: Python<'_>, service: &str) -> PyResult<Watch> {
        boundary(py, || Ok(Watch(self.inner.watch(service)?)))
    }

    /// Tells of every change of every service, those included that appear later.
    fn watch_all(&self, py: Python<'_>) -> PyResult<Watch> {
        boundary(py, || Ok(Watch(self.inner.watch_all()?)))
    }

    /// Waits until a service has an endpoint: for those who want to start only when it is there.
    #[pyo3(signature = (service, timeout, **filters), text_signature = "($self, service, timeout, *, version=None, protocol=None, labels=None)")]
    fn wait_for(
        &self,
        py: Python<'_>,
        service: &str,
        timeout: &Bound<'_, PyAny>,
        filters: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        boundary(py, || {
            let (query, timeout) = (query("wait_for", service, filters)?, duration("timeout", timeout)?);
            Ok(py.detach(|| self.inner.with_interrupt(&Signals).wait_for(query, timeout))?)
        })
    }

    /// Says for each endpoint of a service whether it would be called, and why not.
    #[pyo3(signature = (service, **filters), text_signature = "($self, service, *, version=None, protocol=None, labels=None)")]
    fn explain(
        &self,
        py: Python<'_>,
        service: &str,
        filters: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Explanation> {
        boundary(py, || {
            let query = query("explain", service, filters)?;
            Ok(Explanation(py.detach(|| self.inner.with_interrupt(&Signals).explain(query))?))
        })
    }

    /// The names of every service there is, sorted.
    fn services(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        boundary(py, || Ok(py.detach(|| self.inner.with_interrupt(&Signals).services())?))
    }

    /// Everything that is counted.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        boundary(py, || {
            let stats = serde_json::to_vec(&self.inner.stats()?);
            let stats = stats.map_err(|error| Error::new(plumline::Kind::Internal, error.to_string()))?;
            Ok(convert::from_json(py, &stats)?)
        })
    }

    /// Says what exists of a service, beside what the registries say: a registry of one's own.
    fn publish(&self, py: Python<'_>, service: &str, endpoints: &Bound<'_, PyAny>) -> PyResult<()> {
        boundary(py, || {
            let endpoints = shared("endpoints", endpoints)?.into_iter().map(Arc::unwrap_or_clone).collect();
            Ok(py.detach(|| self.inner.publish(service, endpoints))?)
        })
    }

    /// Has every list asked for anew before it is used again; if that fails, the old one still serves.
    fn clear_cache(&self, py: Python<'_>) -> PyResult<()> {
        boundary(py, || Ok(py.detach(|| self.inner.clear_cache())?))
    }

    /// Changes settings while the client lives, such as `{"timeout": 2}`.
    fn configure(&self, py: Python<'_>, changes: &Bound<'_, PyAny>) -> PyResult<()> {
        boundary(py, || {
            let changes = Value::Object(convert::object("", changes)?);
            Ok(py.detach(|| self.inner.configure(changes))?)
        })
    }

    /// Deregisters what is registered, ends watches and calls in flight, and gives back threads and connections.
    /// Everything afterwards raises `PlumClosedError`; closing again does nothing.
    #[pyo3(signature = (drain=None))]
    fn close(&self, py: Python<'_>, drain: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        boundary(py, || {
            let drain = optional_duration("drain", drain)?;
            py.detach(|| self.inner.with_interrupt(&Signals).close_draining(drain));
            self.handles.clear();
            exit::forget_closed();
            logs::drain(py); // while there is still somebody to tell it
            self.listening.end();
            Ok(())
        })
    }

    /// Whether it was closed.
    #[getter]
    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    fn __enter__(this: Bound<'_, Client>) -> Bound<'_, Client> {
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
        let closed = if self.inner.is_closed() { ", closed" } else { "" };
        format!("<{:?}{closed}>", self.inner)
    }
}
