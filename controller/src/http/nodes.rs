//! Nodes: heartbeat, list, show and delete.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;

use super::App;
use super::bodies::NodeHeartbeat;
use super::request_body::RequestBody;
use super::response::{ErrorResponse, json, json_bytes, no_content};

/// The original always returns 15, whatever its node TTL is.
const HEARTBEAT_RESPONSE: Bytes = Bytes::from_static(br#"{"ttlSec":15}"#);

pub(super) async fn heartbeat(
    State(app): State<Arc<App>>,
    body: RequestBody,
) -> Result<Response, ErrorResponse> {
    let body: NodeHeartbeat = body.json()?;
    // A node without an id could be neither shown nor deleted.
    if !body.node_id.is_empty() {
        app.store.nodes.heartbeat(body.node_id, body.ip, body.labels, app.clock.now());
    }
    Ok(json_bytes(HEARTBEAT_RESPONSE))
}

pub(super) async fn list(State(app): State<Arc<App>>) -> Response {
    json(&app.store.nodes.list(app.node_ttl, app.clock.now()))
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Response, ErrorResponse> {
    app.store.nodes.get(&id).map(|node| json(&node)).ok_or(ErrorResponse::NOT_FOUND)
}

pub(super) async fn delete(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    app.store.nodes.delete(&id);
    no_content()
}
