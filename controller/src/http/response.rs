//! The responses of the contract.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// A response with an error status and a text that gives the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ErrorResponse(StatusCode, &'static str);

impl ErrorResponse {
    pub(crate) const BAD_REQUEST: Self = Self::bad("bad request\n");
    pub(crate) const UNAUTHORIZED: Self = Self(StatusCode::UNAUTHORIZED, "unauthorized\n");
    pub(crate) const NOT_FOUND: Self = Self(StatusCode::NOT_FOUND, "404 page not found\n");
    pub(crate) const NO_ENDPOINTS: Self = Self(StatusCode::NOT_FOUND, "no endpoints found\n");
    pub(crate) const METHOD_NOT_ALLOWED: Self = Self(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
    pub(crate) const TOO_SLOW: Self = Self(StatusCode::REQUEST_TIMEOUT, "request body took too long\n");
    pub(crate) const TOO_LARGE: Self = Self(StatusCode::PAYLOAD_TOO_LARGE, "request body too large\n");
    pub(crate) const DB_ERROR: Self = Self(StatusCode::INTERNAL_SERVER_ERROR, "db error\n");

    /// An invalid request.
    pub(crate) const fn bad(text: &'static str) -> Self {
        Self(StatusCode::BAD_REQUEST, text)
    }

    /// A request that conflicts with the stored state.
    pub(crate) const fn conflict(text: &'static str) -> Self {
        Self(StatusCode::CONFLICT, text)
    }
}

impl IntoResponse for ErrorResponse {
    fn into_response(self) -> Response {
        let mut response = text(self.1);
        *response.status_mut() = self.0;
        response
    }
}

pub(crate) fn text(text: &'static str) -> Response {
    with_type(Bytes::from_static(text.as_bytes()), PLAIN)
}

/// A response whose body is already JSON.
pub(crate) fn json_bytes(body: Bytes) -> Response {
    with_type(body, JSON)
}

pub(crate) fn json(value: &impl Serialize) -> Response {
    let body = serde_json::to_vec(value).expect("our own types always serialise");
    json_bytes(body.into())
}

pub(crate) fn no_content() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn with_type(body: Bytes, content_type: HeaderValue) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
