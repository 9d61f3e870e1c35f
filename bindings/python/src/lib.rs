//! The extension module behind `import plumline`: a window onto the crate, with no behaviour of its own.
//!
//! Every function that Python calls goes through [`boundary::boundary`]. Only what may block detaches from the
//! interpreter; picks, reports and figures stay attached, because they take less time than giving it back.

mod boundary;
mod change;
mod client;
mod convert;
mod endpoint;
mod explain;
mod headers;
mod hooks;
mod logs;
mod pick;
mod registration;
mod request;
mod response;
mod service;
mod settings;
mod trace;
mod watch;

use std::os::fd::IntoRawFd;

use pyo3::prelude::*;

/// What `plumline` is made of; users import that instead.
#[pymodule]
mod _plumline {
    #[pymodule_export]
    use super::change::Change;
    #[pymodule_export]
    use super::client::Client;
    #[pymodule_export]
    use super::endpoint::Endpoint;
    #[pymodule_export]
    use super::explain::{Explanation, Verdict};
    #[pymodule_export]
    use super::headers::Headers;
    #[pymodule_export]
    use super::hooks::{Choice, Request};
    #[pymodule_export]
    use super::pick::Pick;
    #[pymodule_export]
    use super::registration::Registration;
    #[pymodule_export]
    use super::response::Response;
    #[pymodule_export]
    use super::service::Service;
    #[pymodule_export]
    use super::trace::TraceStep;
    #[pymodule_export]
    use super::watch::Watch;
    #[pymodule_export]
    use super::{at_exit, config_schema, drain_logs, forked, kinds, log_socket};

    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}

/// Every kind of error, as (name, number).
#[pyfunction]
fn kinds() -> Vec<(&'static str, u8)> {
    plumline::Kind::ALL.iter().map(|kind| (kind.name(), kind.number())).collect()
}

/// The JSON Schema of the configuration, as JSON.
#[pyfunction]
fn config_schema() -> String {
    plumline::Config::schema().to_string()
}

/// In the child after a fork: what was inherited is inert from now on.
#[pyfunction]
fn forked() {
    plumline_bindings::forked();
}

/// At an orderly exit: deregisters what this process registered.
#[pyfunction]
fn at_exit(py: Python<'_>) -> PyResult<()> {
    boundary::boundary(py, || {
        py.detach(|| plumline_bindings::exit::close_all(&boundary::Signals));
        Ok(())
    })
}

/// Hands what background threads have logged to `logging`.
#[pyfunction]
fn drain_logs(py: Python<'_>) {
    logs::drain(py);
}

/// A descriptor that can be read when background threads have logged something; made anew by every call.
#[pyfunction]
fn log_socket() -> PyResult<i32> {
    Ok(logs::open_bell()?.into_raw_fd())
}
