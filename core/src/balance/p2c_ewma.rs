//! `p2c_ewma`, the default: of two endpoints drawn by weight, the cheaper one.
//!
//! ```text
//!   cost = latency · (1 + in flight · mean weight / weight) / success²
//! ```
//!
//! Two draws compare few enough endpoints that no herd forms, and enough that a slow one is nearly always
//! beside a faster one (Mitzenmacher, 1996). Both draws are by weight and independent, so the same endpoint
//! may come up twice; then one other is drawn and taken only if it costs less than half: weights keep their
//! meaning at low load, and a slow endpoint gains nothing from meeting itself.
//!
//! The latency of an endpoint that hangs would stay what it was, and look ever better beside peers that are
//! slow at times: it is reckoned to be at least as long as three calls or more, begun since its last answer, have
//! waited for one. Where suspicion is switched off, or not yet possible, it is not.

use super::draw::{eligible, last_choice};
use super::{Balancer, Context, ewma};
use crate::clock::Tick;
use crate::membership::View;

/// Below this, success is not worth telling apart, and the cost stays finite.
const LEAST_SUCCESS: f64 = 0.05;

/// Takes the cheaper of two endpoints drawn by weight.
#[derive(Clone, Copy, Debug, Default)]
pub struct P2cEwma;

impl Balancer for P2cEwma {
    fn choose(&self, view: &View, context: &mut Context<'_>) -> Option<usize> {
        if view.len() < 2 {
            return (!view.is_empty()).then_some(0);
        }
        let Some(first) = eligible(view, context, None) else { return last_choice(view, context) };
        let second = eligible(view, context, None).unwrap_or(first);
        let mean = view.mean.latency.get();
        let price = |index| cost(view, index, mean, context.now);
        if first != second {
            return Some(if price(second) < price(first) { second } else { first });
        }
        let limit = price(first) / 2.0;
        match eligible(view, context, Some(first)) {
            Some(other) if cost(view, other, mean, context.now) < limit => Some(other),
            _ => Some(first),
        }
    }
}

#[inline]
fn cost(view: &View, index: usize, mean: f64, now: Tick) -> f64 {
    let slot = &view.candidates()[index];
    let state = &slot.member.state;
    let mut latency = ewma::latency(state, mean, now).unwrap_or(if mean > 0.0 { mean } else { 1.0 });
    if let Some(unanswered) = view.unanswered(index, now) {
        latency = latency.max(unanswered.as_nanos() as u64 as f64);
    }
    let success = ewma::success(state, now).max(LEAST_SUCCESS);
    latency * (1.0 + f64::from(state.in_flight()) * slot.load_factor) / (success * success)
}
