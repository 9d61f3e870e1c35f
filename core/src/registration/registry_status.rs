//! How far one registry knows a registration.

use crate::clock::{self, Tick};
use crate::error::{Error, Kind};
use crate::registry::{Entry, Health};

/// A registry that restarts forgets once; so often in a row somebody else writes there.
const FORGOTTEN_LIMIT: u32 = 3;

/// How far one registry knows it.
#[derive(Default)]
pub(super) struct RegistryStatus {
    /// The revision it holds; `None`: none, as far as we know.
    pub(super) known: Option<u64>,
    /// What it was last told of its health.
    pub(super) health: Health,
    /// Under which identity it was last sent, and whether it may have arrived without our knowing.
    pub(super) sent: bool,
    pub(super) doubtful: bool,
    pub(super) in_flight: bool,
    /// Identities it had before, still to be removed.
    pub(super) former: Vec<Entry>,
    pub(super) confirmed: Option<Tick>,
    pub(super) beats: u64,
    /// Beats in a row that found it unknown.
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

    /// A beat found it as it is.
    pub(super) fn count_heartbeat(&mut self) {
        self.beats += 1;
        self.forgotten = 0;
    }

    /// A beat found it unknown. Whether that is to be told: when it has become a habit.
    pub(super) fn count_forgotten(&mut self) -> bool {
        self.forgotten = self.forgotten.saturating_add(1);
        self.forgotten == FORGOTTEN_LIMIT
    }

    pub(super) fn fail(&mut self, error: Error) {
        // Whether the request was read nobody knows.
        self.doubtful |= !is_refusal(&error);
        self.error = Some(error);
    }
}

/// It answered, and said no.
pub(super) fn is_refusal(error: &Error) -> bool {
    !matches!(error.kind(), Kind::Unavailable | Kind::Timeout | Kind::Cancelled | Kind::Closed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_forgotten_again_and_again_is_told_of_once() {
        let mut at = RegistryStatus::default();
        assert!(!at.count_forgotten(), "as after a restart");
        at.count_heartbeat();
        let told: Vec<bool> = (0..5).map(|_| at.count_forgotten()).collect();
        assert_eq!(told, [false, false, true, false, false]);
        at.count_heartbeat();
        assert!((0..3).any(|_| at.count_forgotten()), "it has begun anew");
    }
}
