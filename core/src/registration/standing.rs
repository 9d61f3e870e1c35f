//! How far one registry knows a registration.

use crate::clock::{self, Tick};
use crate::error::{Error, Kind};
use crate::registry::{RegistryEntry, ReportedHealth};

/// A registry that restarts forgets once; so often in a row somebody else writes there.
const A_HABIT: u32 = 3;

/// How far one registry knows it.
#[derive(Default)]
pub(super) struct AtStore {
    /// The revision it holds; `None`: none, as far as we know.
    pub(super) known: Option<u64>,
    /// What it was last told of its health.
    pub(super) health: ReportedHealth,
    /// Under which identity it was last sent, and whether it may have arrived without our knowing.
    pub(super) sent: bool,
    pub(super) doubtful: bool,
    pub(super) in_flight: bool,
    /// Identities it had before, still to be removed.
    pub(super) former: Vec<RegistryEntry>,
    pub(super) confirmed: Option<Tick>,
    pub(super) beats: u64,
    /// Beats in a row that found it unknown.
    forgotten: u32,
    pub(super) reregistrations: u64,
    pub(super) error: Option<Error>,
}

impl AtStore {
    pub(super) fn confirm(&mut self) {
        self.confirmed = Some(clock::now());
        self.error = None;
        self.doubtful = false;
    }

    /// A beat found it as it is.
    pub(super) fn kept(&mut self) {
        self.beats += 1;
        self.forgotten = 0;
    }

    /// A beat found it unknown. Whether that is to be told: when it has become a habit.
    pub(super) fn forgot(&mut self) -> bool {
        self.forgotten = self.forgotten.saturating_add(1);
        self.forgotten == A_HABIT
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
        let mut at = AtStore::default();
        assert!(!at.forgot(), "as after a restart");
        at.kept();
        let told: Vec<bool> = (0..5).map(|_| at.forgot()).collect();
        assert_eq!(told, [false, false, true, false, false]);
        at.kept();
        assert!((0..3).any(|_| at.forgot()), "it has begun anew");
    }
}
