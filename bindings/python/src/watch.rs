//! Changes as they happen: `for change in plum.watch("orders")`.

use plumline::Kind;
use pyo3::prelude::*;

use crate::boundary::{Signals, boundary};
use crate::change::Change;
use crate::convert::optional_duration;

/// Tells of every change, beginning with what is there. A slow reader gets changes merged, never a gap.
#[pyclass(frozen, module = "plumline")]
pub(crate) struct Watch(pub(crate) plumline::Watch);

#[pymethods]
impl Watch {
    /// The next change; `None` if the timeout passes without one. Without a timeout it waits until there is one.
    #[pyo3(signature = (timeout=None))]
    fn get(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Change>> {
        boundary(py, || {
            let timeout = optional_duration("timeout", timeout)?;
            Ok(py.detach(|| self.0.with_interrupt(&Signals).next_within(timeout))?.map(Change))
        })
    }

    fn __iter__(this: Bound<'_, Watch>) -> Bound<'_, Watch> {
        this
    }

    /// Ends when the watch or its client is closed.
    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Change>> {
        boundary(py, || match py.detach(|| self.0.with_interrupt(&Signals).next_within(None)) {
            Ok(change) => Ok(change.map(Change)),
            Err(error) if error.kind() == Kind::Closed => Ok(None),
            Err(error) => Err(error.into()),
        })
    }

    /// Ends it: iterating stops, in whichever thread.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        boundary(py, || {
            self.0.close();
            Ok(())
        })
    }

    fn __enter__(this: Bound<'_, Watch>) -> Bound<'_, Watch> {
        this
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _exc_type: &Bound<'_, PyAny>,
        _exc: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.close(py)
    }
}
