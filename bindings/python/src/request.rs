//! From keyword arguments, in httpx's words, to a request of the core.

use plumline::{Error, Query, Request};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyList, PyString, PyTuple};

use crate::boundary::Fault;
use crate::convert::{self, duration, labels, pairs, text, unexpected};

/// What a call may say.
const OPTIONS: [&str; 12] = [
    "params",
    "headers",
    "json",
    "content",
    "data",
    "timeout",
    "attempt_timeout",
    "attempts",
    "idempotent",
    "max_body",
    "version",
    "labels",
];

/// What a query may say.
const FILTERS: [&str; 3] = ["version", "protocol", "labels"];

/// A request, and whether it asks for some endpoints only.
pub(crate) struct Built {
    pub(crate) request: Request,
    pub(crate) filtered: bool,
}

/// Puts a request together.
pub(crate) fn build(
    method: &'static str,
    service: &str,
    path: &str,
    options: Option<&Bound<'_, PyDict>>,
) -> Result<Built, Fault> {
    let Some(options) = options else {
        return Ok(Built { request: Request::new(method, service, path), filtered: false });
    };
    with_options(method.to_owned(), service, path, options)
}

/// The same with any method.
pub(crate) fn build_any(
    method: &str,
    service: &str,
    path: &str,
    options: Option<&Bound<'_, PyDict>>,
) -> Result<Built, Fault> {
    match options {
        Some(options) => with_options(method.to_owned(), service, path, options),
        None => Ok(Built { request: Request::new(method.to_owned(), service, path), filtered: false }),
    }
}

fn with_options(
    method: String,
    service: &str,
    path: &str,
    options: &Bound<'_, PyDict>,
) -> Result<Built, Fault> {
    let function = method.to_ascii_lowercase();
    let mut request = Request::new(method, service, path);
    let (mut filtered, mut bodies) = (false, 0);
    for (word, value) in options.iter() {
        let name = word.cast::<PyString>()?.to_str()?;
        if !OPTIONS.contains(&name) {
            return Err(unexpected(options.py(), &function, &word, &OPTIONS));
        }
        if value.is_none() {
            continue;
        }
        filtered |= FILTERS.contains(&name);
        bodies += u8::from(matches!(name, "json" | "content" | "data"));
        request = match name {
            "params" => add_params(request, &value)?,
            "headers" => add_headers(request, &value)?,
            "json" => request.json_bytes(to_json_bytes(&value)?),
            "content" => request.body(to_bytes("content", &value)?),
            "data" => add_form(request, &value)?,
            "timeout" => request.timeout(duration(name, &value)?),
            "attempt_timeout" => request.attempt_timeout(duration(name, &value)?),
            "attempts" => request.attempts(count(name, &value)?),
            "max_body" => request.max_body(count(name, &value)?),
            "idempotent" => match value.cast::<PyBool>() {
                Ok(truth) => request.idempotent(truth.is_true()),
                Err(_) => return Err(convert::wrong_type(name, "bool", &value)),
            },
            "version" => request.version(text(name, &value)?),
            _ => labels(name, &value)?
                .into_iter()
                .fold(request, |request, (name, value)| request.label(name, value)),
        };
    }
    if bodies > 1 {
        return Err(Error::invalid("pass only one of json, content and data").into());
    }
    Ok(Built { request, filtered })
}

/// A query from keyword arguments.
pub(crate) fn query(
    function: &str,
    service: &str,
    filters: Option<&Bound<'_, PyDict>>,
) -> Result<Query, Fault> {
    let mut query = Query::new(service);
    for (word, value) in filters.into_iter().flat_map(PyDictMethods::iter) {
        let name = word.cast::<PyString>()?.to_str()?;
        query = match name {
            _ if !FILTERS.contains(&name) => return Err(unexpected(word.py(), function, &word, &FILTERS)),
            _ if value.is_none() => query,
            "version" => query.version(text(name, &value)?),
            "protocol" => query.protocol(text(name, &value)?),
            _ => {
                labels(name, &value)?.into_iter().fold(query, |query, (name, value)| query.label(name, value))
            }
        };
    }
    Ok(query)
}

fn count<'py, T>(name: &str, value: &Bound<'py, PyAny>) -> Result<T, Fault>
where
    T: for<'a> FromPyObject<'a, 'py, Error = PyErr>,
{
    if value.is_instance_of::<PyBool>() || !value.is_instance_of::<pyo3::types::PyInt>() {
        return Err(convert::wrong_type(name, "int", value));
    }
    value.extract().map_err(|_| Error::invalid(format!("{name} is {value}; it must be a count")).into())
}

fn add_headers(mut request: Request, headers: &Bound<'_, PyAny>) -> Result<Request, Fault> {
    for (name, value) in pairs("headers", headers)? {
        request = request.header(text("a header name", &name)?, text("a header value", &value)?);
    }
    Ok(request)
}

fn add_params(request: Request, params: &Bound<'_, PyAny>) -> Result<Request, Fault> {
    let add = |request: Request, (name, value): (String, String)| request.param(&name, value);
    Ok(fields("params", params)?.into_iter().fold(request, add))
}

fn add_form(request: Request, form: &Bound<'_, PyAny>) -> Result<Request, Fault> {
    Ok(request.form(fields("data", form)?))
}

/// Names and values; a list stands for its name several times, as in httpx.
fn fields(what: &str, given: &Bound<'_, PyAny>) -> Result<Vec<(String, String)>, Fault> {
    let mut fields = Vec::new();
    for (name, value) in pairs(what, given)? {
        let name = text("a parameter's name", &name)?;
        let values =
            if is_several(&value) { value.try_iter()?.collect::<PyResult<_>>()? } else { vec![value] };
        for value in values {
            fields.push((name.to_owned(), scalar(&value)?));
        }
    }
    Ok(fields)
}

fn is_several(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>()
}

/// As it stands in a query string: `true`, not `True`.
fn scalar(value: &Bound<'_, PyAny>) -> Result<String, Fault> {
    if value.is_none() {
        return Ok(String::new());
    }
    if let Ok(truth) = value.cast::<PyBool>() {
        return Ok(truth.is_true().to_string());
    }
    let shown = value.str()?;
    Ok(text("a parameter", shown.as_any())?.to_owned())
}

/// Bytes, or text as UTF-8.
pub(crate) fn to_bytes(name: &str, value: &Bound<'_, PyAny>) -> Result<Vec<u8>, Fault> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(bytes.as_bytes().to_vec());
    }
    if value.is_instance_of::<PyString>() {
        return Ok(text(name, value)?.as_bytes().to_vec());
    }
    let py = value.py();
    match py.import("builtins")?.getattr("memoryview")?.call1((value,)) {
        Ok(view) => Ok(view.call_method0("tobytes")?.extract()?),
        Err(_) => Err(convert::wrong_type(name, "bytes or str", value)),
    }
}

/// Compact JSON without NaN.
pub(crate) fn to_json_bytes(value: &Bound<'_, PyAny>) -> Result<Vec<u8>, Fault> {
    static DUMPS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let dumps = DUMPS.import(value.py(), "plumline._json", "dumps")?;
    Ok(dumps.call1((value,))?.extract()?)
}
