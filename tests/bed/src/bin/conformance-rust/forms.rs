//! The normal forms in which values and errors are told.

use std::sync::Arc;
use std::time::Duration;

use plumline::{Change, Endpoint, Error, Explanation, Registration, Response, TraceOutcome, TraceStep};
use serde_json::{Value, json};

use crate::own::Raised;

pub fn endpoint(endpoint: &Endpoint) -> Value {
    json!({
        "service": endpoint.service,
        "address": endpoint.address(),
        "host": endpoint.host,
        "ip": endpoint.ip,
        "port": endpoint.port,
        "protocol": endpoint.protocol,
        "version": endpoint.version,
        "labels": endpoint.labels,
        "weight": endpoint.weight,
        "zone": endpoint.zone,
        "healthy": endpoint.healthy,
        "instance_id": endpoint.instance_id,
        "node_id": endpoint.node_id,
        "source": endpoint.source,
    })
}

pub fn endpoints(all: &[Arc<Endpoint>]) -> Value {
    all.iter().map(|one| endpoint(one)).collect()
}

pub fn response(response: &Response) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers: Vec<_> = response.headers().iter().map(|(name, value)| (name, text(value))).collect();
    json!({
        "status": response.status(),
        "is_success": response.is_success(),
        "headers": headers,
        "body": body(response.body()),
        "service": response.service(),
        "endpoint": response.endpoint().address(),
        "attempts": response.attempts(),
        "trace": trace(response.trace()),
        "elapsed": millis(response.elapsed()),
    })
}

/// Text as it is, anything else as base64.
fn body(bytes: &[u8]) -> Value {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.into();
    }
    let mut encoded = String::new();
    for three in bytes.chunks(3) {
        let packed =
            three.iter().enumerate().fold(0, |packed, (i, byte)| packed | u32::from(*byte) << (16 - 8 * i));
        for place in 0..4 {
            let letter = LETTERS[(packed >> (18 - 6 * place)) as usize & 63] as char;
            encoded.push(if place <= three.len() { letter } else { '=' });
        }
    }
    json!({"base64": encoded})
}

fn trace(steps: &[TraceStep]) -> Value {
    let shown = |step: &TraceStep| match &step.outcome {
        TraceOutcome::Status(status) => json!({"endpoint": step.endpoint.address(), "status": status}),
        TraceOutcome::Failed(kind, _) => json!({"endpoint": step.endpoint.address(), "kind": kind.number()}),
    };
    steps.iter().map(shown).collect()
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// What an operation answers that failed.
pub fn failed(failure: &Error) -> Value {
    match raised(failure) {
        Some(text) => json!({"raised": text}),
        None => json!({"error": error(failure)}),
    }
}

/// What the user's own code raised, if it was that.
fn raised(error: &Error) -> Option<&str> {
    Some(&std::error::Error::source(error)?.downcast_ref::<Raised>()?.0)
}

pub fn error(error: &Error) -> Value {
    json!({
        "kind": error.kind().number(),
        "name": error.kind().name(),
        "message": error.message(),
        "service": error.service(),
        "endpoint": error.endpoint().map(|endpoint| endpoint.address()),
        "attempts": error.attempts(),
        "retryable": error.is_retryable(),
        "trace": trace(error.trace()),
    })
}

pub fn change(change: &Change) -> Value {
    json!({
        "service": change.service,
        "kind": change.kind.name(),
        "added": endpoints(&change.added),
        "updated": endpoints(&change.updated),
        "removed": endpoints(&change.removed),
        "endpoints": endpoints(&change.endpoints),
    })
}

pub fn registration(registration: &Registration) -> Value {
    let instance = registration.instance();
    json!({
        "state": registration.state(),
        "address": registration.address(),
        "service": instance.service,
        "instance_id": instance.instance_id,
        "last_error": registration.last_error().map(|last| error(&last)),
    })
}

pub fn explanation(explanation: &Explanation) -> Value {
    let mut told = json!(explanation);
    for (row, verdict) in told["endpoints"].as_array_mut().into_iter().flatten().zip(&explanation.endpoints) {
        row["endpoint"] = endpoint(&verdict.endpoint);
    }
    told
}
