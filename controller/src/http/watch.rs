//! `POST /v1/watch`: responds when a watched service changes, or with 204 after `wait`.
//!
//! A watcher that knows nothing yet gets a response at once. Otherwise changes are collected, and each connection gets a
//! response at most every 200 ms, so that many changes arrive in a few large responses.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use plumline_wire::body::{WatchRequest, WatchWait};
use plumline_wire::duration::{from_seconds, parse_duration};
use tokio::time::{Instant, sleep_until};

use super::App;
use super::activity::ConnectionActivity;
use super::request_body::RequestBody;
use super::response::{ErrorResponse, json_bytes, no_content};
use crate::notifier::{COLLECT, MIN_PAUSE};
use crate::store::{PendingUpdate, WatchQuery, write_text};

const DEFAULT_WAIT: Duration = Duration::from_secs(10);
/// The longest wait; longer ones are shortened to it, so that a client notices a dead connection.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

pub(super) async fn watch(
    State(app): State<Arc<App>>,
    Extension(activity): Extension<Arc<ConnectionActivity>>,
    body: RequestBody,
) -> Result<Response, ErrorResponse> {
    let body: WatchRequest<'_> = body.json()?;
    let deadline = Instant::now() + read_wait(body.wait.as_ref())?;
    let since = app.notifier.revision(&body.since);
    let query = WatchQuery { names: body.services.as_deref(), fresh: &body.fresh, since };
    let waiter = app.notifier.add_waiter(query.names);
    let mut collected_at = Instant::now() + COLLECT;
    loop {
        match app.store.services.pending_update(&query) {
            PendingUpdate::AtOnce => break,
            PendingUpdate::Changes => {
                let next_response_at =
                    activity.last_watch_response().map_or(collected_at, |responded| responded + MIN_PAUSE);
                sleep_until(next_response_at.max(collected_at)).await;
                break;
            }
            PendingUpdate::None => {}
        }
        tokio::select! {
            () = waiter.changed() => collected_at = Instant::now(), // The publisher has already collected changes.
            () = sleep_until(deadline) => return Ok(no_content()),
            () = app.closed() => return Ok(no_content()),
        }
    }
    activity.watch_responded(Instant::now());
    Ok(respond_with_update(&app, &query))
}

fn read_wait(wait: Option<&WatchWait<'_>>) -> Result<Duration, ErrorResponse> {
    const INVALID: ErrorResponse = ErrorResponse::bad("invalid wait\n");
    let wait = match wait {
        None => DEFAULT_WAIT,
        Some(WatchWait::Text(text)) => parse_duration(text).map_err(|_| INVALID)?,
        Some(WatchWait::Seconds(seconds)) => from_seconds(*seconds).ok_or(INVALID)?,
    };
    Ok(wait.min(LONGEST_WAIT))
}

fn respond_with_update(app: &App, query: &WatchQuery<'_>) -> Response {
    let (revision, services) = app.store.services.watch_update(query);
    let mut out = b"{\"since\":".to_vec();
    write_text(&mut out, &app.notifier.revision_token(revision));
    out.extend_from_slice(b",\"services\":");
    out.extend_from_slice(&services);
    out.push(b'}');
    json_bytes(out.into())
}
