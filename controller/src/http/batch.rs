//! Many instances in one request: what a client with many registrations sends instead of one beat each.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::App;
use super::answer::{Refusal, json};
use super::body::Content;
use super::services::MISSING_INSTANCE;
use crate::model::{HeartbeatsBody, RegistrationsBody};

/// Register bodies in one request.
const MOST_REGISTRATIONS: usize = 500;

#[derive(Serialize)]
struct Beaten<'a> {
    epoch: &'a str,
    unknown: Vec<&'a str>,
}

#[derive(Serialize)]
struct Registered<'a> {
    refused: Vec<&'a str>,
}

/// Touches each instance, and names those whose rows are not what the digest says.
pub(super) async fn heartbeats(State(app): State<Arc<App>>, content: Content) -> Result<Response, Refusal> {
    let body: HeartbeatsBody<'_> = content.read()?;
    let now = app.clock.now();
    let is_unknown = |beat: &&crate::model::HeartbeatBody<'_>| {
        let digest = read_digest(&beat.digest);
        !app.store.services.heartbeat_with_digest(&beat.instance_id, digest, &beat.health, now)
    };
    let unknown = body.instances.iter().filter(is_unknown).map(|beat| &*beat.instance_id).collect();
    Ok(json(&Beaten { epoch: app.hub.epoch(), unknown }))
}

/// Sixteen lower-case hexadecimal digits; anything else is no digest, and matches no rows.
fn read_digest(text: &str) -> Option<u64> {
    let is_canonical =
        text.len() == 16 && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    is_canonical.then(|| u64::from_str_radix(text, 16).ok())?
}

/// Stores each registration unprobed, and names those whose generation was closed.
pub(super) async fn registrations(
    State(app): State<Arc<App>>,
    content: Content,
) -> Result<Response, Refusal> {
    let body: RegistrationsBody<'_> = content.read()?;
    if body.registrations.len() > MOST_REGISTRATIONS {
        return Err(Refusal::bad("at most 500 registrations\n"));
    }
    if body.registrations.iter().any(|registration| registration.instance_id.is_empty()) {
        return Err(MISSING_INSTANCE);
    }
    let now = app.clock.now();
    let is_refused = |registration: &&crate::model::RegisterBody<'_>| {
        app.store.services.register(registration, |_| true, now).is_err()
    };
    let refused = body.registrations.iter().filter(is_refused).map(|registration| &*registration.instance_id);
    Ok(json(&Registered { refused: refused.collect() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::to_hex;

    #[test]
    fn a_digest_is_sixteen_lower_case_digits_or_none() {
        assert_eq!(read_digest(&to_hex(7)), Some(7));
        for wrong in ["", "7", "000000000000000G", "00000000000000AB", "+000000000000007"] {
            assert_eq!(read_digest(wrong), None, "{wrong}");
        }
    }
}
