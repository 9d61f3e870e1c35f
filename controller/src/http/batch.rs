//! Requests for many instances: batch heartbeats and batch registrations.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use plumline_wire::MAX_BATCH;
use plumline_wire::body::{
    HeartbeatRequest, HeartbeatsRequest, HeartbeatsResponse, RegisterRequest, RegistrationsRequest,
    RegistrationsResponse,
};
use plumline_wire::digest::from_hex;

use super::App;
use super::request_body::RequestBody;
use super::response::{ErrorResponse, json};
use super::services::MISSING_INSTANCE;

/// Renews each instance, and returns those whose stored rows do not match their digest.
pub(super) async fn heartbeats(
    State(app): State<Arc<App>>,
    body: RequestBody,
) -> Result<Response, ErrorResponse> {
    let body: HeartbeatsRequest<'_> = body.json()?;
    let now = app.clock.now();
    let is_unknown = |heartbeat: &&HeartbeatRequest<'_>| {
        let digest = from_hex(&heartbeat.digest);
        !app.store.services.heartbeat_with_digest(&heartbeat.instance_id, digest, &heartbeat.health, now)
    };
    let unknown =
        body.instances.iter().filter(is_unknown).map(|heartbeat| (&*heartbeat.instance_id).into()).collect();
    Ok(json(&HeartbeatsResponse { epoch: app.notifier.epoch().into(), unknown }))
}

/// Stores each registration without a probe, and returns those whose generation was closed.
pub(super) async fn registrations(
    State(app): State<Arc<App>>,
    body: RequestBody,
) -> Result<Response, ErrorResponse> {
    let body: RegistrationsRequest<'_> = body.json()?;
    if body.registrations.len() > MAX_BATCH {
        return Err(ErrorResponse::bad("at most 500 registrations\n"));
    }
    if body.registrations.iter().any(|registration| registration.instance_id.is_empty()) {
        return Err(MISSING_INSTANCE);
    }
    let now = app.clock.now();
    let is_refused = |registration: &&RegisterRequest<'_>| {
        app.store.services.register(registration, |_| true, now).is_err()
    };
    let refused =
        body.registrations.iter().filter(is_refused).map(|registration| (&*registration.instance_id).into());
    Ok(json(&RegistrationsResponse { refused: refused.collect() }))
}
