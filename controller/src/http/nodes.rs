//! The machines: reporting, listing, removing.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;

use super::App;
use super::answer::{Refusal, json, no_content, raw_json};
use super::bodies::NodeHeartbeat;
use super::body::Content;

/// The original says 15 whatever its node TTL is.
const BEAT_ANSWER: Bytes = Bytes::from_static(br#"{"ttlSec":15}"#);

pub(super) async fn heartbeat(State(app): State<Arc<App>>, content: Content) -> Result<Response, Refusal> {
    let body: NodeHeartbeat = content.read()?;
    // A node without a name cannot be asked for or removed.
    if !body.node_id.is_empty() {
        app.store.nodes.heartbeat(body.node_id, body.ip, body.labels, app.clock.now());
    }
    Ok(raw_json(BEAT_ANSWER))
}

pub(super) async fn list(State(app): State<Arc<App>>) -> Response {
    json(&app.store.nodes.list(app.node_ttl, app.clock.now()))
}

pub(super) async fn show(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, Refusal> {
    app.store.nodes.get(&id).map(|node| json(&node)).ok_or(Refusal::NOT_FOUND)
}

pub(super) async fn delete(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    app.store.nodes.delete(&id);
    no_content()
}
