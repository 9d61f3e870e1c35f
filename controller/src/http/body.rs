//! Reading a request's body: no larger and no slower than the limits allow.

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
use super::answer::Refusal;

/// The whole body.
#[derive(Debug)]
pub(crate) struct Content(Bytes);

impl Content {
    /// Reads the body as JSON, borrowing from it.
    pub(crate) fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Refusal> {
        serde_json::from_slice(&self.0).map_err(|_| Refusal::BAD_REQUEST)
    }
}

impl FromRequest<Arc<App>> for Content {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Refusal> {
        if announced_length(request.headers()) > app.limits.body as u64 {
            return Err(Refusal::TOO_LARGE);
        }
        let read = read_whole(request.into_body(), app.limits.body);
        timeout(app.limits.body_time, read).await.map_err(|_| Refusal::TOO_SLOW)?
    }
}

fn announced_length(headers: &HeaderMap) -> u64 {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    length.and_then(|length| length.parse().ok()).unwrap_or(0)
}

async fn read_whole(body: Body, limit: usize) -> Result<Content, Refusal> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(Content(collected.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Err(Refusal::TOO_LARGE),
        Err(_) => Err(Refusal::BAD_REQUEST),
    }
}
