//! Reads request bodies within the limits of size and time.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use tokio::time::timeout;

use super::App;
use super::response::ErrorResponse;

/// The whole body of a request.
#[derive(Debug)]
pub(crate) struct RequestBody(Bytes);

impl RequestBody {
    /// Parses the body as JSON, borrowing strings from it.
    pub(crate) fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, ErrorResponse> {
        serde_json::from_slice(&self.0).map_err(|_| ErrorResponse::BAD_REQUEST)
    }
}

impl FromRequest<Arc<App>> for RequestBody {
    type Rejection = ErrorResponse;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ErrorResponse> {
        if announced_length(request.headers()) > app.limits.body as u64 {
            return Err(ErrorResponse::TOO_LARGE);
        }
        let read = read_whole(request.into_body(), app.limits.body);
        timeout(app.limits.body_time, read).await.map_err(|_| ErrorResponse::TOO_SLOW)?
    }
}

fn announced_length(headers: &HeaderMap) -> u64 {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    length.and_then(|length| length.parse().ok()).unwrap_or(0)
}

async fn read_whole(body: Body, limit: usize) -> Result<RequestBody, ErrorResponse> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(RequestBody(collected.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Err(ErrorResponse::TOO_LARGE),
        Err(_) => Err(ErrorResponse::BAD_REQUEST),
    }
}
