//! What a watch tells. A value: equal when its parts are, picklable.

use plumline::Error;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::boundary::boundary;
use crate::endpoint::{shared, tuple};

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
            let mut change = plumline::Change::new(service, kind);
            change.added = some("added", added)?.unwrap_or_default();
            change.updated = some("updated", updated)?.unwrap_or_default();
            change.removed = some("removed", removed)?.unwrap_or_default();
            change.endpoints = shared("endpoints", endpoints)?;
            Ok(Change(change))
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
        let plumline::Change { service, kind, added, updated, removed, endpoints, .. } = &self.0;
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
