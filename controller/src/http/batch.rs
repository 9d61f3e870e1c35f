//! Many instances in one request: what a client with many registrations sends instead of one beat each.

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
use super::answer::{Refusal, json};
use super::body::Content;
use super::services::MISSING_INSTANCE;

/// Touches each instance, and names those whose rows are not what the digest says.
pub(super) async fn heartbeats(State(app): State<Arc<App>>, content: Content) -> Result<Response, Refusal> {
    let body: HeartbeatsRequest<'_> = content.read()?;
    let now = app.clock.now();
    let is_unknown = |beat: &&HeartbeatRequest<'_>| {
        let digest = from_hex(&beat.digest);
        !app.store.services.heartbeat_with_digest(&beat.instance_id, digest, &beat.health, now)
    };
    let unknown = body.instances.iter().filter(is_unknown).map(|beat| (&*beat.instance_id).into()).collect();
    Ok(json(&HeartbeatsResponse { epoch: app.hub.epoch().into(), unknown }))
}

/// Stores each registration unprobed, and names those whose generation was closed.
pub(super) async fn registrations(
    State(app): State<Arc<App>>,
    content: Content,
) -> Result<Response, Refusal> {
    let body: RegistrationsRequest<'_> = content.read()?;
    if body.registrations.len() > MAX_BATCH {
        return Err(Refusal::bad("at most 500 registrations\n"));
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
