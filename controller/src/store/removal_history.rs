//! The recent removals of all services, so that they can be forgotten when they are too old or too many.

use std::collections::VecDeque;
use std::sync::Arc;

use super::service::Service;

/// How long removals are remembered for watchers that missed them, in lease milliseconds.
pub(super) const REMEMBER_REMOVALS_FOR: u64 = 10 * 60 * 1_000;
/// Removals remembered over all services.
const MAX_REMOVALS: usize = 65_536;

/// The removals that are still remembered, oldest first.
#[derive(Debug, Default)]
pub(super) struct RemovalHistory {
    pub(super) removals: VecDeque<(u64, Arc<Service>, u64)>,
}

impl RemovalHistory {
    pub(super) fn add(&mut self, now: u64, service: &Arc<Service>, revision: u64) {
        self.removals.push_back((now, Arc::clone(service), revision));
    }

    /// Takes out the removals that are too old or too many.
    pub(super) fn pop_old(&mut self, now: u64) -> Vec<(Arc<Service>, u64)> {
        let too_much = self.removals.len().saturating_sub(MAX_REMOVALS);
        let too_old = self.removals.partition_point(|(at, ..)| at + REMEMBER_REMOVALS_FOR <= now);
        let out = self.removals.drain(..too_much.max(too_old));
        out.map(|(_, service, revision)| (service, revision)).collect()
    }
}
