//! `GET /v1/stream`: an event stream that says that something changed, not what.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use tokio::sync::watch::Receiver;
use tokio::time::sleep;

use super::App;
use crate::watch::PAUSE;

/// A comment this often keeps proxies, and our own idle limit, from closing a quiet stream.
const COMMENT_EVERY: Duration = Duration::from_secs(15);

pub(super) async fn stream(State(app): State<Arc<App>>) -> Response {
    let published = app.hub.published();
    let first = stream::once(async { Bytes::from_static(b"event: ping\ndata: init\n\n") });
    let rest = stream::unfold((app, published), next);
    let mut response = Response::new(Body::from_stream(first.chain(rest).map(Ok::<_, Infallible>)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

type Listening = (Arc<App>, Receiver<u64>);

/// The next piece; none once the controller ends.
async fn next((app, mut published): Listening) -> Option<(Bytes, Listening)> {
    let piece = tokio::select! {
        changed = published.changed() => {
            changed.ok()?;
            sleep(PAUSE).await;
            let revision = *published.borrow_and_update();
            format!("event: update\ndata: {}\n\n", app.hub.token(revision)).into()
        }
        () = sleep(COMMENT_EVERY) => Bytes::from_static(b": still here\n\n"),
        () = app.closes() => return None,
    };
    Some((piece, (app, published)))
}
