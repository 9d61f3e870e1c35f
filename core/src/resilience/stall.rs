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

use crate::membership::{Recent, Service, State};

/// Fewer answers than this say nothing about the slowest in a hundred.
const ENOUGH: u32 = 50;
/// A quantile costs a walk over the buckets: one answer in so many pays for it.
const REFRESH: u32 = 32;
/// One answer in so many is counted for the service too, once it is known: its cells are shared by all
/// threads, and need not be written at every call.
const SAMPLE: u32 = 8;
const LEAST: Duration = Duration::from_secs(1);

/// An answer came after this latency.
pub(super) fn learn_from(service: &Service, state: &State, latency: Duration) {
    let counted = state.answers().record(latency);
    if worth_a_look(counted) {
        learn(state.answers(), |patience| state.patience.set(patience));
    }
    let pulse = service.pulse();
    let is_sampled = pulse.answers.counted() < ENOUGH || counted.is_multiple_of(SAMPLE);
    if is_sampled && worth_a_look(pulse.answers.record(latency)) {
        learn(&pulse.answers, |patience| pulse.patience.set(patience));
    }
}

/// Suspicion is off: what was learnt while it was on makes nobody a suspect any more.
pub(super) fn forget(service: &Service, state: &State) {
    for patience in [&state.patience, &service.pulse().patience] {
        if patience.get().is_some() {
            patience.clear();
        }
    }
}

/// How long an answer of this endpoint may take before something must be wrong.
pub(super) fn patience(service: &Service, state: &State) -> Duration {
    service.pulse().patience_with(state).unwrap_or(LEAST)
}

fn worth_a_look(counted: u32) -> bool {
    counted == ENOUGH || counted > ENOUGH && counted.is_multiple_of(REFRESH)
}

fn learn(answers: &Recent, keep: impl FnOnce(Duration)) {
    if let Some(p99) = answers.quantile(0.99) {
        keep(p99.saturating_mul(10).max(LEAST));
    }
}
