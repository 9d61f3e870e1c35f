//! What all requests have in common: authorization, CORS, and the headers that announce features.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, AUTHORIZATION,
    WWW_AUTHENTICATE,
};
use axum::http::{HeaderName, HeaderValue, Method, Request};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use tower_service::Service;

use super::App;
use super::activity::ConnectionActivity;
use super::response::{ErrorResponse, no_content};

const FEATURES: HeaderName = HeaderName::from_static(plumline_wire::FEATURES_HEADER);
const SERVICE_TTL: HeaderName = HeaderName::from_static(plumline_wire::SERVICE_TTL_HEADER);

/// Handles one request from start to finish.
pub(super) async fn respond(
    app: Arc<App>,
    mut router: Router,
    activity: Arc<ConnectionActivity>,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    activity.request_started();
    let mut response = if request.method() == Method::OPTIONS {
        preflight()
    } else if is_allowed(&app, &request) {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Arc::clone(&activity));
        router.call(request).await?
    } else {
        unauthorized()
    };
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(FEATURES, HeaderValue::from_static("watch, batch"));
    headers.insert(SERVICE_TTL, app.ttl_header.clone());
    activity.request_finished(app.clock.coarse());
    Ok(response)
}

/// The preflight request of browsers, which carries no token.
fn preflight() -> Response {
    let mut response = no_content();
    let headers = response.headers_mut();
    let methods = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE, OPTIONS");
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Authorization, Content-Type"));
    response
}

/// `/healthz` needs no token.
fn is_allowed(app: &App, request: &Request<Incoming>) -> bool {
    let Some(expected) = &app.token else { return true };
    let given = request.headers().get(AUTHORIZATION).map_or(&b""[..], HeaderValue::as_bytes);
    bearer(given).is_some_and(|token| is_same(token, expected.as_bytes()))
        || request.uri().path() == "/healthz"
}

/// The token behind `Bearer`; schemes ignore case (RFC 9110, 11.1).
fn bearer(given: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = given.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

/// Compares in constant time, so that the response time does not reveal how much of a token is right.
fn is_same(given: &[u8], expected: &[u8]) -> bool {
    let difference = given.iter().zip(expected).fold(0, |all, (one, other)| all | (one ^ other));
    given.len() == expected.len() && difference == 0
}

fn unauthorized() -> Response {
    let mut response = ErrorResponse::UNAUTHORIZED.into_response();
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}
