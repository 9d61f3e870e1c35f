//! Python values to ours and back, with messages that name what was wrong.

use std::time::Duration;

use plumline::{Error, Labels};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDelta, PyDict, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple};
use serde_json::{Map, Number, Value};

use crate::boundary::Fault;

/// Seconds as a number, or a `timedelta`.
pub(crate) fn duration(name: &str, value: &Bound<'_, PyAny>) -> Result<Duration, Fault> {
    let seconds = seconds(name, value)?;
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        Error::invalid(format!("{name} is {seconds}; it must be a number of seconds from 0 on")).into()
    })
}

/// The same where `None` stands for no such limit.
pub(crate) fn optional_duration(
    name: &str,
    value: Option<&Bound<'_, PyAny>>,
) -> Result<Option<Duration>, Fault> {
    value.map(|value| duration(name, value)).transpose()
}

fn seconds(name: &str, value: &Bound<'_, PyAny>) -> Result<f64, Fault> {
    if value.is_instance_of::<PyDelta>() {
        return Ok(value.call_method0("total_seconds")?.extract()?);
    }
    if value.is_instance_of::<PyBool>()
        || !(value.is_instance_of::<PyFloat>() || value.is_instance_of::<PyInt>())
    {
        return Err(wrong_type(name, "seconds or a timedelta", value));
    }
    Ok(value.extract()?)
}

/// A `TypeError` that says what is wanted and what came.
pub(crate) fn wrong_type(name: &str, wanted: &str, value: &Bound<'_, PyAny>) -> Fault {
    match value.get_type().qualname() {
        Ok(found) => PyTypeError::new_err(format!("{name} must be {wanted}, not {found}")).into(),
        Err(error) => error.into(),
    }
}

/// A mapping of text to text.
pub(crate) fn labels(name: &str, value: &Bound<'_, PyAny>) -> Result<Labels, Fault> {
    let mut labels = Labels::new();
    for (key, value) in pairs(name, value)? {
        labels.insert(text(name, &key)?.to_owned(), text(name, &value)?.to_owned());
    }
    Ok(labels)
}

/// The pairs of a mapping, or of an iterable of pairs.
#[allow(clippy::type_complexity)]
pub(crate) fn pairs<'py>(
    name: &str,
    value: &Bound<'py, PyAny>,
) -> Result<Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>, Fault> {
    if let Ok(dict) = value.cast::<PyDict>() {
        return Ok(dict.iter().collect());
    }
    if let Ok(headers) = value.cast::<crate::headers::Headers>() {
        return pairs(name, headers.call_method0("multi_items")?.as_any());
    }
    if let Ok(mapping) = value.cast::<PyMapping>() {
        return pairs(name, mapping.items()?.as_any());
    }
    if value.is_instance_of::<PyString>() || value.is_instance_of::<PyBytes>() {
        return Err(wrong_type(name, "a mapping or an iterable of pairs", value));
    }
    let Ok(items) = value.try_iter() else {
        return Err(wrong_type(name, "a mapping or an iterable of pairs", value));
    };
    let pair = |item: PyResult<Bound<'py, PyAny>>| -> Result<_, Fault> {
        let item = item?;
        item.extract().map_err(|_| wrong_type(name, "a mapping or an iterable of pairs", &item))
    };
    items.map(pair).collect()
}

/// Text that is UTF-8; Python's strings can hold what is none.
pub(crate) fn text<'a>(name: &str, value: &'a Bound<'_, PyAny>) -> Result<&'a str, Fault> {
    let Ok(text) = value.cast::<PyString>() else { return Err(wrong_type(name, "str", value)) };
    text.to_str().map_err(|_| {
        Error::invalid(format!("{name} contains a lone surrogate, which is not valid Unicode")).into()
    })
}

/// Configuration and instances, on their way to the core.
pub(crate) fn to_json(name: &str, value: &Bound<'_, PyAny>) -> Result<Value, Fault> {
    if value.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(truth) = value.cast::<PyBool>() {
        return Ok(Value::Bool(truth.is_true()));
    }
    if value.is_instance_of::<PyString>() {
        return Ok(text(name, value)?.into());
    }
    if value.is_instance_of::<PyInt>() {
        return whole(name, value);
    }
    if value.is_instance_of::<PyFloat>() || value.is_instance_of::<PyDelta>() {
        let number = seconds(name, value)?;
        let finite = Number::from_f64(number).map(Value::Number);
        return finite.ok_or_else(|| Error::invalid(format!("{name} is {number}; it must be finite")).into());
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        let items = value.try_iter()?.map(|item| to_json(name, &item?));
        return items.collect::<Result<Vec<_>, Fault>>().map(Value::Array);
    }
    if value.cast::<PyMapping>().is_ok() {
        return Ok(Value::Object(object(name, value)?));
    }
    match value.call_method0("__fspath__") {
        Ok(path) => Ok(text(name, &path)?.into()),
        Err(_) => Err(wrong_type(name, "something that JSON can hold", value)),
    }
}

fn whole(name: &str, value: &Bound<'_, PyAny>) -> Result<Value, Fault> {
    let number = value.extract::<i64>().map(Value::from).or_else(|_| value.extract::<u64>().map(Value::from));
    number.map_err(|_| Error::invalid(format!("{name} is {value}; that is too large")).into())
}

/// A mapping, key by key.
pub(crate) fn object(name: &str, value: &Bound<'_, PyAny>) -> Result<Map<String, Value>, Fault> {
    let mut object = Map::new();
    for (key, value) in pairs(name, value)? {
        let key = text(name, &key)?;
        let path = if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
        object.insert(key.to_owned(), to_json(&path, &value)?);
    }
    Ok(object)
}

/// What JSON says, as Python sees it.
pub(crate) fn from_json<'py>(py: Python<'py>, json: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    LOADS.import(py, "json", "loads")?.call1((PyBytes::new(py, json),))
}

/// A `timedelta`.
pub(crate) fn elapsed(py: Python<'_>, duration: Duration) -> PyResult<Bound<'_, PyDelta>> {
    duration.into_pyobject(py)
}

/// An unexpected keyword argument, with the word that was probably meant.
pub(crate) fn unexpected(py: Python<'_>, function: &str, word: &Bound<'_, PyAny>, known: &[&str]) -> Fault {
    let nearest = || -> PyResult<Option<String>> {
        let matches = py.import("difflib")?.call_method1("get_close_matches", (word, known.to_vec(), 1))?;
        Ok(matches.extract::<Vec<String>>()?.pop())
    };
    match nearest() {
        Err(error) => error.into(),
        Ok(nearest) => {
            let hint = nearest.map_or_else(String::new, |nearest| format!("; did you mean '{nearest}'?"));
            PyTypeError::new_err(format!("{function}() got an unexpected keyword argument '{word}'{hint}"))
                .into()
        }
    }
}
