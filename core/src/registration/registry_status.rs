//! The state of one registration at one registry.

use crate::clock::{self, Tick};
use crate::error::{Error, Kind};
use crate::registry::{RegistryEntry, ReportedHealth};

/// A registry that restarts loses an instance once. After this many losses in a row another process writes the same
/// instance id.
const FORGOTTEN_LIMIT: u32 = 3;

/// The state of one registration at one registry.
#[derive(Default)]
pub(super) struct RegistryStatus {
    /// The revision that the registry confirmed; `None` if none.
    pub(super) known: Option<u64>,
    /// The health it last received.
    pub(super) health: ReportedHealth,
    /// Whether the present identity was sent.
    pub(super) sent: bool,
    /// Whether a request without a response may have arrived.
    pub(super) doubtful: bool,
    pub(super) in_flight: bool,
    /// Former identities that are still to be deregistered.
    pub(super) former: Vec<RegistryEntry>,
    pub(super) confirmed: Option<Tick>,
    pub(super) heartbeats: u64,
    /// Heartbeats in a row that the registry answered with "unknown".
    forgotten: u32,
    pub(super) reregistrations: u64,
    pub(super) error: Option<Error>,
}

impl RegistryStatus {
    pub(super) fn confirm(&mut self) {
        self.confirmed = Some(clock::now());
        self.error = None;
        self.doubtful = false;
    }

    /// A heartbeat renewed it.
    pub(super) fn count_heartbeat(&mut self) {
        self.heartbeats += 1;
        self.forgotten = 0;
    }

    /// A heartbeat found it unknown. True once the limit is reached: the caller logs a warning.
    pub(super) fn count_forgotten(&mut self) -> bool {
        self.forgotten = self.forgotten.saturating_add(1);
        self.forgotten == FORGOTTEN_LIMIT
    }

    pub(super) fn fail(&mut self, error: Error) {
        // A request that failed in transit may still have been executed.
        self.doubtful |= !is_refusal(&error);
        self.error = Some(error);
    }
}

/// Whether the registry answered with a refusal.
pub(super) fn is_refusal(error: &Error) -> bool {
    !matches!(error.kind(), Kind::Unavailable | Kind::Timeout | Kind::Cancelled | Kind::Closed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_loss_is_reported_once() {
        let mut at = RegistryStatus::default();
        assert!(!at.count_forgotten(), "as after a restart");
        at.count_heartbeat();
        let told: Vec<bool> = (0..5).map(|_| at.count_forgotten()).collect();
        assert_eq!(told, [false, false, true, false, false]);
        at.count_heartbeat();
        assert!((0..3).any(|_| at.count_forgotten()), "the count starts again");
    }
}
