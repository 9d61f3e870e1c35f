//! Where something listens. A value: equal when its parts are, picklable.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use plumline::Error;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

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
                Error::invalid(format!(
                    "{address:?} is not an IP address; pass ip= beside a host that is a name"
                ))
            })?;
            let instance_id = match instance_id {
                "" => plumline::default_instance_id(service, host, port),
                id => id.to_owned(),
            };
            let mut endpoint = plumline::Endpoint::new(service, parsed, port);
            endpoint.instance_id = instance_id;
            node_id.clone_into(&mut endpoint.node_id);
            host.clone_into(&mut endpoint.host);
            protocol.clone_into(&mut endpoint.protocol);
            version.clone_into(&mut endpoint.version);
            endpoint.labels =
                labels.map(|given| convert::labels("labels", given)).transpose()?.unwrap_or_default();
            endpoint.weight = weight;
            zone.clone_into(&mut endpoint.zone);
            endpoint.healthy = healthy;
            endpoint.last_seen = last_seen;
            source.clone_into(&mut endpoint.source);
            generation.clone_into(&mut endpoint.generation);
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
        let plumline::Endpoint { service, host, port, protocol, version, .. } = &**endpoint;
        let ip = endpoint.ip.to_string();
        let mut words = vec![format!("{service:?}"), format!("{host:?}"), port.to_string()];
        words.extend((ip != *host).then(|| format!("ip={ip:?}")));
        words.extend((protocol != "http").then(|| format!("protocol={protocol:?}")));
        words.extend((!version.is_empty()).then(|| format!("version={version:?}")));
        words.extend((!endpoint.healthy).then(|| "healthy=False".to_owned()));
        format!("Endpoint({})", words.join(", "))
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
