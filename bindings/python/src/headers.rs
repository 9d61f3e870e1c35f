//! Header fields as a mapping that ignores case. Nothing becomes a Python object before somebody asks for it.

use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyList, PyTuple};

use crate::convert;

/// Header fields in their order, duplicates kept, names matched without regard to case.
#[pyclass(frozen, mapping, module = "plumline")]
pub(crate) struct Headers(pub(crate) plumline::Headers);

/// Bytes that are not UTF-8 are read as Latin-1, which is what HTTP once meant.
fn readable(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => value.iter().map(|byte| char::from(*byte)).collect(),
    }
}

impl Headers {
    /// Every value of that name, as one.
    fn joined(&self, name: &str) -> Option<String> {
        let values: Vec<String> = self.0.get_all(name).map(readable).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// Each name once, in its first spelling.
    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in self.0.iter() {
            if !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                names.push(name);
            }
        }
        names
    }

    fn folded(&self) -> Vec<(String, String)> {
        let mut fields: Vec<_> =
            self.0.iter().map(|(name, value)| (name.to_ascii_lowercase(), readable(value))).collect();
        fields.sort();
        fields
    }
}

#[pymethods]
impl Headers {
    #[new]
    #[pyo3(signature = (headers=None))]
    pub(crate) fn new(py: Python<'_>, headers: Option<&Bound<'_, PyAny>>) -> PyResult<Headers> {
        crate::boundary::boundary(py, || {
            let mut fields = plumline::Headers::default();
            for (name, value) in
                headers.map(|given| convert::pairs("headers", given)).transpose()?.unwrap_or_default()
            {
                fields.push(
                    convert::text("a header name", &name)?,
                    convert::text("a header value", &value)?.as_bytes(),
                );
            }
            Ok(Headers(fields))
        })
    }

    fn __getitem__(&self, name: &str) -> PyResult<String> {
        self.joined(name).ok_or_else(|| PyKeyError::new_err(name.to_owned()))
    }

    fn __contains__(&self, name: &Bound<'_, PyAny>) -> bool {
        name.extract::<&str>().is_ok_and(|name| self.0.get_bytes(name).is_some())
    }

    fn __len__(&self) -> usize {
        self.names().len()
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.keys(py)?.try_iter()
    }

    #[pyo3(signature = (key, default=None))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        key: &str,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.joined(key) {
            Some(value) => Ok(Some(value.into_pyobject(py)?.into_any())),
            None => Ok(default),
        }
    }

    /// Every value of that name, each by itself.
    fn get_list(&self, name: &str) -> Vec<String> {
        self.0.get_all(name).map(readable).collect()
    }

    fn keys<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.names())
    }

    fn values<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.names().into_iter().filter_map(|name| self.joined(name)))
    }

    fn items<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.names().into_iter().filter_map(|name| Some((name, self.joined(name)?))))
    }

    /// Every field as it came, duplicates each by itself.
    fn multi_items<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.0.iter().map(|(name, value)| (name, readable(value))))
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        if let Ok(other) = other.cast::<Headers>() {
            return self.folded() == other.get().folded();
        }
        Headers::new(other.py(), Some(other)).is_ok_and(|other| self.folded() == other.folded())
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("Headers({})", self.multi_items(py)?.repr()?))
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        Ok((py.get_type::<Headers>().into_any(), (self.multi_items(py)?,).into_pyobject(py)?))
    }
}
