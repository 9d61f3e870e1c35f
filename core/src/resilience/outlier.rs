//! Outlier ejection: takes an endpoint out of rotation after failed calls.
//!
//! ```text
//!              2 unreachable or 5 failures in a row
//!   trusted ────────────────────────────────────────▶ ejected ──┐ probes fail
//!      ▲                                              │   ▲  ▲──┘
//!      │ one success               a probe succeeds, or   │ one failure
//!      └──────────────── on trial ◀── its time is up  ────┘
//!                            └────────────────────────────┘
//! ```
//!
//! [`Service`] ensures that at most half of a service is ejected, and never its last endpoint. Each ejection may last longer
//! than the previous one; ten seconds in rotation without a failure cancel one step. A report writes atomics only; the
//! writer lock is taken for a decision.

use std::sync::Arc;
use std::time::Duration;

use super::{Outcome, Probe, probe, stall};
use crate::clock::Tick;
use crate::config::OutlierConfig;
use crate::membership::{Ejection, EndpointState, Filter, Member, RotationStatus, Service};

/// This time in rotation without a failure reduces the multiplier by one.
const CALM: Duration = Duration::from_secs(10);

/// The rules by which one service's endpoints are ejected.
#[derive(Clone, Debug)]
pub struct Outlier {
    config: OutlierConfig,
}

/// The decision after a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutlierDecision {
    /// No change.
    Unchanged,
    /// The endpoint was ejected.
    Ejected(Ejection),
}

impl Outlier {
    /// Rules with these thresholds.
    pub fn new(config: &OutlierConfig) -> Outlier {
        Outlier { config: config.clone() }
    }

    /// Whether ejection is enabled.
    pub fn is_enabled(&self) -> bool {
        self.config.enabled
    }

    /// Reports the outcome of an attempt at `member` that began at `began`, before its [`EndpointState::end`]. Probes are
    /// reported with [`probed`](Outlier::probed) instead.
    pub fn report(
        &self,
        service: &Service,
        member: &Member,
        outcome: Outcome,
        began: Tick,
        now: Tick,
    ) -> OutlierDecision {
        let state = &member.state;
        if outcome.is_answer() {
            state.answered(now);
            if self.config.stall {
                stall::learn_from(service, state, now.since(began));
            } else {
                stall::forget(service, state);
            }
        }
        if !self.config.enabled || began < state.returned_at() {
            return OutlierDecision::Unchanged;
        }
        if outcome.is_failure() {
            return self.failed(service, state, outcome, now);
        }
        if outcome.is_success() {
            succeeded(service, state, began, now);
        }
        OutlierDecision::Unchanged
    }

    /// The slow path, for callers that find `now >= service.wake_at()`: ends expired ejections and returns the background
    /// probes that are due. Each must be executed and reported with [`probed`](Outlier::probed).
    #[must_use]
    pub fn look_after(&self, service: &Service, now: Tick) -> Vec<Probe> {
        if now < service.wake_at() {
            return Vec::new();
        }
        service.readmit_due(now);
        probe::claim_connects(service, now)
    }

    /// For a call that is safe to repeat and finds `now >= service.call_probe_at()`: the endpoint it should
    /// try first, if no other call was faster.
    #[must_use]
    pub fn claim_call_probe(&self, service: &Service, filter: &Filter, now: Tick) -> Option<Probe> {
        if now < service.call_probe_at() {
            return None;
        }
        probe::claim_call(service, filter, now)
    }

    /// Reports the outcome of a probe; true if its endpoint is back in rotation, on trial.
    pub fn probed(&self, service: &Service, probe: &Probe, outcome: Outcome, now: Tick) -> bool {
        probe::conclude(service, probe, outcome, now)
    }

    fn failed(
        &self,
        service: &Service,
        state: &Arc<EndpointState>,
        outcome: Outcome,
        now: Tick,
    ) -> OutlierDecision {
        if state.is_ejected() {
            return OutlierDecision::Unchanged;
        }
        let multiplier = multiplier(state, now);
        state.penalty.set(f64::from(multiplier), now);
        if !self.is_enough(state, outcome) || !service.may_eject() {
            return OutlierDecision::Unchanged;
        }
        let ejection = self.ejection(outcome, multiplier + 1, now);
        if !service.eject(state, ejection) {
            return OutlierDecision::Unchanged;
        }
        state.penalty.set(f64::from(ejection.multiplier), now);
        OutlierDecision::Ejected(ejection)
    }

    fn is_enough(&self, state: &EndpointState, outcome: Outcome) -> bool {
        let (failures, unreachable) = state.streak.grow(outcome.is_unreachable());
        state.standing() == RotationStatus::OnTrial
            || unreachable >= self.config.consecutive_connect_failures.max(1)
            || failures >= self.config.consecutive_failures.max(1)
    }

    fn ejection(&self, outcome: Outcome, multiplier: u32, now: Tick) -> Ejection {
        let lasts = self.config.base_ejection.saturating_mul(multiplier).min(self.config.max_ejection);
        Ejection {
            cause: outcome.cause(),
            since: now,
            until: now.after(lasts),
            multiplier,
            next_probe: now.after(probe::FIRST),
            gap: probe::FIRST_GAP,
        }
    }
}

fn succeeded(service: &Service, state: &EndpointState, began: Tick, now: Tick) {
    state.streak.clear();
    match state.standing() {
        RotationStatus::Trusted => {}
        RotationStatus::OnTrial => state.acquit(),
        RotationStatus::Ejected => readmit_last_resort(service, state, began, now),
    }
}

/// A call that set out while its endpoint was ejected, because the selection had no other, is as good as a
/// probe.
fn readmit_last_resort(service: &Service, state: &EndpointState, began: Tick, now: Tick) {
    if let Some(ejection) = state.ejection()
        && began > ejection.since
    {
        service.readmit(state, ejection.since, now);
    }
}

/// The multiplier as of now: what the last ejection left, less one for each calm stretch since the last
/// failure or return.
fn multiplier(state: &EndpointState, now: Tick) -> u32 {
    let Some((multiplier, last_failure)) = state.penalty.get() else { return 0 };
    let calm = now.since(last_failure.max(state.returned_at()));
    (multiplier as u32).saturating_sub((calm.as_nanos() / CALM.as_nanos()) as u32)
}
