//! `GET /v1/stream`: an event stream that announces that something changed, but not what.

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
use crate::notifier::MIN_PAUSE;

/// How often a comment is sent, so that neither proxies nor the idle limit close a quiet stream.
const COMMENT_INTERVAL: Duration = Duration::from_secs(15);

pub(super) async fn stream(State(app): State<Arc<App>>) -> Response {
    let published = app.notifier.published();
    let first = stream::once(async { Bytes::from_static(b"event: ping\ndata: init\n\n") });
    let rest = stream::unfold((app, published), next);
    let mut response = Response::new(Body::from_stream(first.chain(rest).map(Ok::<_, Infallible>)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

type StreamState = (Arc<App>, Receiver<u64>);

/// The next event; `None` once the controller is closing.
async fn next((app, mut published): StreamState) -> Option<(Bytes, StreamState)> {
    let event = tokio::select! {
        changed = published.changed() => {
            changed.ok()?;
            sleep(MIN_PAUSE).await;
            let revision = *published.borrow_and_update();
            format!("event: update\ndata: {}\n\n", app.notifier.revision_token(revision)).into()
        }
        () = sleep(COMMENT_INTERVAL) => Bytes::from_static(b": still here\n\n"),
        () = app.closed() => return None,
    };
    Some((event, (app, published)))
}
