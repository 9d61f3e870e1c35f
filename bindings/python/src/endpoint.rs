//! What the core tells of: endpoints, changes, the steps of a call. Values: equal when their parts are, picklable.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use plumline::{Error, TraceOutcome};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDelta, PyDict, PyTuple};

use crate::boundary::{Fault, boundary};
use crate::convert;

/// One address of one instance of a service.
#[pyclass(frozen, eq, module = "plumline")]
#[derive(Clone, PartialEq)]
pub(crate) struct Endpoint(pub(crate) Arc<plumline::Endpoint>);

#[pymethods]
impl Endpoint {
    #[new]
    #[pyo3(signature = (service, host, port, *, ip="", protocol="http", version="", labels=None, weight=1, zone="",
        healthy=true, instance_id="", node_id="", last_seen=0, source="", generation=""))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        service: &str,
        host: &str,
        port: u16,
        ip: &str,
        protocol: &str,
        version: &str,
        labels: Option<&Bound<'_, PyAny>>,
        weight: u32,
        zone: &str,
        healthy: bool,
        instance_id: &str,
        node_id: &str,
        last_seen: u64,
        source: &str,
        generation: &str,
    ) -> PyResult<Endpoint> {
        boundary(py, || {
            let address = if ip.is_empty() { host } else { ip };
            let parsed: IpAddr = address.parse().map_err(|_| {
                Error::invalid(format!("{address:?} is no IP address; pass ip= beside a host that is a name"))
            })?;
            let mut endpoint = plumline::Endpoint::new(service, parsed, port);
            endpoint.instance_id = match instance_id {
                "" => plumline::default_instance_id(service, host, port),
                id => id.to_owned(),
            };
            endpoint.host = host.to_owned();
            endpoint.protocol = protocol.to_owned();
            endpoint.version = version.to_owned();
            endpoint.labels =
                labels.map(|labels| convert::labels("labels", labels)).transpose()?.unwrap_or_default();
            endpoint.weight = weight;
            endpoint.zone = zone.to_owned();
            endpoint.healthy = healthy;
            endpoint.node_id = node_id.to_owned();
            endpoint.last_seen = last_seen;
            endpoint.source = source.to_owned();
            endpoint.generation = generation.to_owned();
            Ok(Endpoint(Arc::new(endpoint)))
        })
    }

    #[getter]
    fn service(&self) -> &str {
        &self.0.service
    }

    #[getter]
    fn instance_id(&self) -> &str {
        &self.0.instance_id
    }

    #[getter]
    fn node_id(&self) -> &str {
        &self.0.node_id
    }

    #[getter]
    fn host(&self) -> &str {
        &self.0.host
    }

    #[getter]
    fn ip(&self) -> String {
        self.0.ip.to_string()
    }

    #[getter]
    fn port(&self) -> u16 {
        self.0.port
    }

    #[getter]
    fn protocol(&self) -> &str {
        &self.0.protocol
    }

    #[getter]
    fn version(&self) -> &str {
        &self.0.version
    }

    #[getter]
    fn labels<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let labels = PyDict::new(py);
        self.0.labels.iter().try_for_each(|(name, value)| labels.set_item(name, value))?;
        Ok(labels)
    }

    #[getter]
    fn weight(&self) -> u32 {
        self.0.weight
    }

    #[getter]
    fn zone(&self) -> &str {
        &self.0.zone
    }

    #[getter]
    fn healthy(&self) -> bool {
        self.0.healthy
    }

    #[getter]
    fn last_seen(&self) -> u64 {
        self.0.last_seen
    }

    #[getter]
    fn source(&self) -> &str {
        &self.0.source
    }

    #[getter]
    fn generation(&self) -> &str {
        &self.0.generation
    }

    /// `ip:port`, an IPv6 address in brackets.
    #[getter]
    fn address(&self) -> String {
        self.0.address()
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.0.service, self.0.socket_addr(), &self.0.instance_id).hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self) -> String {
        let endpoint = &self.0;
        let mut words = format!("Endpoint({:?}, {:?}, {}", endpoint.service, endpoint.host, endpoint.port);
        let mut say = |name: &str, value: &str| words.push_str(&format!(", {name}={value:?}"));
        if endpoint.ip.to_string() != endpoint.host {
            say("ip", &endpoint.ip.to_string());
        }
        if endpoint.protocol != "http" {
            say("protocol", &endpoint.protocol);
        }
        if !endpoint.version.is_empty() {
            say("version", &endpoint.version);
        }
        if !endpoint.healthy {
            words.push_str(", healthy=False");
        }
        words.push(')');
        words
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (String,))> {
        let record =
            serde_json::to_string(&*self.0).map_err(|error| Fault::from(invalid(&error)).into_py(py))?;
        Ok((py.get_type::<Endpoint>().getattr("_from_json")?, (record,)))
    }

    /// For pickle.
    #[staticmethod]
    fn _from_json(py: Python<'_>, record: &str) -> PyResult<Endpoint> {
        boundary(py, || Ok(Endpoint(serde_json::from_str(record).map_err(|error| invalid(&error))?)))
    }
}

fn invalid(error: &serde_json::Error) -> Error {
    Error::invalid(format!("no record of an endpoint: {error}"))
}

/// Endpoints as a tuple.
pub(crate) fn tuple<'py>(
    py: Python<'py>,
    endpoints: &[Arc<plumline::Endpoint>],
) -> PyResult<Bound<'py, PyTuple>> {
    PyTuple::new(py, endpoints.iter().cloned().map(Endpoint))
}

/// Endpoints from any iterable of them.
pub(crate) fn shared(
    name: &str,
    endpoints: &Bound<'_, PyAny>,
) -> Result<Vec<Arc<plumline::Endpoint>>, Fault> {
    let endpoint = |item: PyResult<Bound<'_, PyAny>>| -> Result<_, Fault> {
        let item = item?;
        match item.cast::<Endpoint>() {
            Ok(endpoint) => Ok(endpoint.get().0.clone()),
            Err(_) => Err(convert::wrong_type(name, "Endpoints", &item)),
        }
    };
    endpoints.try_iter()?.map(endpoint).collect()
}

/// One step of a watch: what happened, and the full list after it.
#[pyclass(frozen, eq, module = "plumline")]
#[derive(PartialEq)]
pub(crate) struct Change(pub(crate) plumline::Change);

const CHANGE_KINDS: [plumline::ChangeKind; 4] = [
    plumline::ChangeKind::Snapshot,
    plumline::ChangeKind::Changed,
    plumline::ChangeKind::RegistryDown,
    plumline::ChangeKind::RegistryUp,
];

#[pymethods]
impl Change {
    #[new]
    #[pyo3(signature = (service, kind, endpoints, *, added=None, updated=None, removed=None))]
    fn new(
        py: Python<'_>,
        service: String,
        kind: &str,
        endpoints: &Bound<'_, PyAny>,
        added: Option<&Bound<'_, PyAny>>,
        updated: Option<&Bound<'_, PyAny>>,
        removed: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Change> {
        boundary(py, || {
            let known = CHANGE_KINDS.into_iter().find(|known| known.name() == kind);
            let kind = known.ok_or_else(|| {
                let names = CHANGE_KINDS.map(plumline::ChangeKind::name).join(", ");
                Error::invalid(format!("kind is {kind:?}; known are {names}"))
            })?;
            let some = |name, list: Option<_>| list.map(|list| shared(name, list)).transpose();
            Ok(Change(plumline::Change {
                service,
                kind,
                added: some("added", added)?.unwrap_or_default(),
                updated: some("updated", updated)?.unwrap_or_default(),
                removed: some("removed", removed)?.unwrap_or_default(),
                endpoints: shared("endpoints", endpoints)?,
            }))
        })
    }

    #[getter]
    fn service(&self) -> &str {
        &self.0.service
    }

    #[getter]
    fn kind(&self) -> &'static str {
        self.0.kind.name()
    }

    #[getter]
    fn added<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        tuple(py, &self.0.added)
    }

    #[getter]
    fn updated<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        tuple(py, &self.0.updated)
    }

    #[getter]
    fn removed<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        tuple(py, &self.0.removed)
    }

    #[getter]
    fn endpoints<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        tuple(py, &self.0.endpoints)
    }

    fn __repr__(&self) -> String {
        let plumline::Change { service, kind, added, updated, removed, endpoints } = &self.0;
        format!(
            "<Change {} of {service:?}: {} endpoints, {} added, {} updated, {} removed>",
            kind.name(),
            endpoints.len(),
            added.len(),
            updated.len(),
            removed.len()
        )
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let of_change = py.get_type::<Change>().getattr("_restored")?;
        let parts = (
            self.service(),
            self.kind(),
            self.endpoints(py)?,
            self.added(py)?,
            self.updated(py)?,
            self.removed(py)?,
        );
        Ok((of_change, parts.into_pyobject(py)?))
    }

    /// For pickle.
    #[staticmethod]
    fn _restored(
        py: Python<'_>,
        service: String,
        kind: &str,
        endpoints: &Bound<'_, PyAny>,
        added: &Bound<'_, PyAny>,
        updated: &Bound<'_, PyAny>,
        removed: &Bound<'_, PyAny>,
    ) -> PyResult<Change> {
        Change::new(py, service, kind, endpoints, Some(added), Some(updated), Some(removed))
    }
}

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
            Ok(TraceStep(plumline::TraceStep { endpoint: endpoint.get().0.clone(), outcome, elapsed }))
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
