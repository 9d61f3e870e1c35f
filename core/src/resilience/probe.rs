//! Finding out whether an ejected endpoint is back, without risking a call on it.
//!
//! The first probe is due a second after the ejection, the following after gaps of 2, 4, … 30 s; one at once
//! where the endpoint was registered anew. One that could not be connected to is probed by opening a
//! connection in the background; one that answered badly or not at all, by the next call that may be repeated:
//! it goes there first, and moves on at once if that fails.
//!
//! Claiming a probe moves the next one past the end of this one: only one goes at a time, and one that
//! hangs or is forgotten keeps nobody from trying again.

use std::time::Duration;

use super::{Outcome, stall};
use crate::clock::Tick;
use crate::membership::{Ejection, Filter, Member, ProbeKind, Service};

/// From the ejection to the first probe.
pub(super) const FIRST: Duration = Duration::from_secs(1);
/// From the first probe to the second.
pub(super) const FIRST_GAP: Duration = Duration::from_secs(2);
const LONGEST_GAP: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A probe that was claimed and must be carried out; its end is told to
/// [`Outlier::probed`](super::Outlier::probed).
#[derive(Clone, Debug)]
pub struct Probe {
    /// The endpoint to try.
    pub member: Member,
    /// How.
    pub kind: ProbeKind,
    /// How long it may take.
    pub timeout: Duration,
    /// The ejection it may end.
    ejected_since: Tick,
    /// How long after its failure the next one is due.
    gap: Duration,
}

/// Claims every background probe that is due.
pub(super) fn claim_connects(service: &Service, now: Tick) -> Vec<Probe> {
    let out = service.ejected();
    out.iter().filter_map(|member| claim(service, member, ProbeKind::Connect, now)).collect()
}

/// Claims one probe for a call that this filter describes.
pub(super) fn claim_call(service: &Service, filter: &Filter, now: Tick) -> Option<Probe> {
    let wanted = |member: &&Member| member.endpoint.healthy && filter.rejects(&member.endpoint).is_none();
    service.ejected().iter().filter(wanted).find_map(|member| claim(service, member, ProbeKind::Call, now))
}

fn claim(service: &Service, member: &Member, kind: ProbeKind, now: Tick) -> Option<Probe> {
    let due = |ejection: &Ejection| ejection.cause.probed_by() == kind && ejection.next_probe <= now;
    if !member.state.ejection().as_ref().is_some_and(due) {
        return None;
    }
    let timeout = match kind {
        ProbeKind::Connect => CONNECT_TIMEOUT,
        ProbeKind::Call => stall::stall_timeout(service, &member.state),
    };
    let mut claimed = None;
    service.reschedule(&member.state, |ejection| {
        if due(ejection) {
            let (ejected_since, gap) = (ejection.since, ejection.gap);
            claimed = Some(Probe { member: member.clone(), kind, timeout, ejected_since, gap });
            ejection.next_probe = now.after(timeout).after(gap);
            ejection.gap = gap.saturating_mul(2).min(LONGEST_GAP);
        }
    });
    claimed
}

/// Draws the conclusion; true if the endpoint is back in rotation.
pub(super) fn conclude(service: &Service, probe: &Probe, outcome: Outcome, now: Tick) -> bool {
    let state = &probe.member.state;
    if outcome.is_success() {
        return service.readmit(state, probe.ejected_since, now);
    }
    let next = if outcome.is_failure() { now.after(probe.gap) } else { now };
    service.reschedule(state, |ejection| {
        if ejection.since == probe.ejected_since {
            ejection.next_probe = next;
        }
    });
    false
}
