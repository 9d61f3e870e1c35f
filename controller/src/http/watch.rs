//! `POST /v1/watch`: the answer comes when there is something to tell, or nothing after `wait`.
//!
//! An asker that knows nothing is answered at once. Otherwise changes are gathered, and a connection gets an
//! answer at most each 200 ms, so that a registry in turmoil is told in few large pieces.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use plumline_wire::body::{WatchRequest, WatchWait};
use plumline_wire::duration::{from_seconds, parse_duration};
use tokio::time::{Instant, sleep_until};

use super::App;
use super::answer::{Refusal, no_content, raw_json};
use super::body::Content;
use super::connection::Pulse;
use crate::store::{Owed, Wanted, write_text};
use crate::watch::{GATHER, PAUSE};

const DEFAULT_WAIT: Duration = Duration::from_secs(10);
/// Longer waits are cut to this: an asker must hear from us now and then.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

pub(super) async fn watch(
    State(app): State<Arc<App>>,
    Extension(pulse): Extension<Arc<Pulse>>,
    content: Content,
) -> Result<Response, Refusal> {
    let body: WatchRequest<'_> = content.read()?;
    let until = Instant::now() + read_wait(body.wait.as_ref())?;
    let since = app.hub.revision(&body.since);
    let wanted = Wanted { names: body.services.as_deref(), fresh: &body.fresh, since };
    let waiter = app.hub.enter(wanted.names);
    let mut gathered_at = Instant::now() + GATHER;
    loop {
        match app.store.services.owed(&wanted) {
            Owed::AtOnce => break,
            Owed::Changes => {
                let rested_at = pulse.last_watch_answer().map_or(gathered_at, |answered| answered + PAUSE);
                sleep_until(rested_at.max(gathered_at)).await;
                break;
            }
            Owed::Nothing => {}
        }
        tokio::select! {
            () = waiter.woken() => gathered_at = Instant::now(), // The publisher has gathered already.
            () = sleep_until(until) => return Ok(no_content()),
            () = app.closes() => return Ok(no_content()),
        }
    }
    pulse.watch_answered(Instant::now());
    Ok(tell(&app, &wanted))
}

fn read_wait(wait: Option<&WatchWait<'_>>) -> Result<Duration, Refusal> {
    const INVALID: Refusal = Refusal::bad("invalid wait\n");
    let wait = match wait {
        None => DEFAULT_WAIT,
        Some(WatchWait::Text(text)) => parse_duration(text).map_err(|_| INVALID)?,
        Some(WatchWait::Seconds(seconds)) => from_seconds(*seconds).ok_or(INVALID)?,
    };
    Ok(wait.min(LONGEST_WAIT))
}

fn tell(app: &App, wanted: &Wanted<'_>) -> Response {
    let (revision, services) = app.store.services.news(wanted);
    let mut out = b"{\"since\":".to_vec();
    write_text(&mut out, &app.hub.token(revision));
    out.extend_from_slice(b",\"services\":");
    out.extend_from_slice(&services);
    out.push(b'}');
    raw_json(out.into())
}
