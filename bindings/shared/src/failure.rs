//! A failed attempt, as hooks are told of it.

use std::sync::Arc;

use plumline::{Endpoint, Error, Failure};

/// The error that a failure at this endpoint is: its kind, in words that name where it went.
pub fn error_of(failure: &Failure, endpoint: &Endpoint) -> Error {
    let error = Error::new(failure.kind(), format!("{}: {failure}", endpoint.address()));
    error.for_service(&*endpoint.service).at_endpoint(Arc::new(endpoint.clone()))
}
