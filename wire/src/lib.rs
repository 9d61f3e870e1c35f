//! What a Plumline client and the Plum controller must agree on.
//!
//! - [`body`]: the JSON bodies of batch registrations, batch heartbeats and watches.
//! - [`digest`](mod@digest): the fingerprint of an instance's endpoints, which every batch heartbeat carries.
//! - [`duration`]: how durations are written, such as `250ms`.
//! - [`lenient`]: decoding rules that the original controller set: `null` and missing fields are empty.
//!
//! Endpoint lists and watch responses are not here. The controller writes them straight from bytes that it keeps ready,
//! and the client reads them into its own model, so a shared type would cost the controller a copy per endpoint.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod body;
pub mod digest;
pub mod duration;
pub mod lenient;

use std::collections::BTreeMap;

/// The labels of an endpoint.
pub type Labels = BTreeMap<String, String>;

/// The most registrations, or heartbeats, that a client sends in one request. The controller rejects more registrations.
pub const MAX_BATCH: usize = 500;

/// The response header that lists what a controller supports beyond the original contract. In lower case.
pub const FEATURES_HEADER: &str = "plum-features";

/// The response header with the seconds for which an endpoint is listed after its last heartbeat. In lower case.
pub const SERVICE_TTL_HEADER: &str = "plum-service-ttl";
