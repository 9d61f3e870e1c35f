//! Suspecting an endpoint that has stopped answering, before anything times out.
//!
//! ```text
//!  in flight   1   2   3 ─────────────────────────────▶ now
//!                      t₃   no answer for longer than max(1 s, 10·p99): suspect
//!                       ↖ each answer moves t₃ to the present
//! ```
//!
//! A suspect is not picked while others are usable; nothing in flight is cut. How long is too long is learnt
//! from about its last thousand answers, or from the whole service's while it has given fewer than fifty;
//! where both are new, nobody is suspected. Whether it hangs *now* is asked of [`View`](crate::membership::View)
//! by each pick; here is what the answers teach.

use std::time::Duration;

use crate::membership::{EndpointState, Recent, Service};

/// Fewer answers than this say nothing about the slowest in a hundred.
const ENOUGH: u32 = 50;
/// A quantile costs a walk over the buckets: one answer in so many pays for it.
const REFRESH: u32 = 32;
/// One answer in so many is counted for the service too, once it is known: its cells are shared by all
/// threads, and need not be written at every call.
const SAMPLE: u32 = 8;
const LEAST: Duration = Duration::from_secs(1);

/// An answer came after this latency.
pub(super) fn learn_from(service: &Service, state: &EndpointState, latency: Duration) {
    let counted = state.answers().record(latency);
    if worth_a_look(counted) {
        learn(state.answers(), |stall_timeout| state.stall_timeout.set(stall_timeout));
    }
    let service_latency = service.service_latency();
    let is_sampled = service_latency.answers.counted() < ENOUGH || counted.is_multiple_of(SAMPLE);
    if is_sampled && worth_a_look(service_latency.answers.record(latency)) {
        learn(&service_latency.answers, |stall_timeout| service_latency.stall_timeout.set(stall_timeout));
    }
}

/// Suspicion is off: what was learnt while it was on makes nobody a suspect any more.
pub(super) fn forget(service: &Service, state: &EndpointState) {
    for stall_timeout in [&state.stall_timeout, &service.service_latency().stall_timeout] {
        if stall_timeout.get().is_some() {
            stall_timeout.clear();
        }
    }
}

/// How long an answer of this endpoint may take before something must be wrong.
pub(super) fn stall_timeout(service: &Service, state: &EndpointState) -> Duration {
    service.service_latency().stall_timeout_of(state).unwrap_or(LEAST)
}

fn worth_a_look(counted: u32) -> bool {
    counted == ENOUGH || counted > ENOUGH && counted.is_multiple_of(REFRESH)
}

fn learn(answers: &Recent, keep: impl FnOnce(Duration)) {
    if let Some(p99) = answers.quantile(0.99) {
        keep(p99.saturating_mul(10).max(LEAST));
    }
}
