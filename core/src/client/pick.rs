//! An endpoint chosen for one use, of any protocol, and the report on how it went.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::Guard;

use super::explain;
use super::handle::Bound;
use super::line::Desk;
use crate::balance::Context;
use crate::call::with_draw;
use crate::clock::{self, Deadline, Tick};
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::membership::{Member, View};
use crate::model::Endpoint;
use crate::registry::WaitLimit;
use crate::resilience::Outcome;
use crate::telemetry::Count;

/// An endpoint chosen for one use. Say how it went with [`success`](Pick::success) or
/// [`failure`](Pick::failure); the first word counts. Dropped without one it is neutral, and counted in the stats.
#[must_use = "a pick holds its endpoint as busy until it is reported on"]
pub struct Pick {
    /// Leads to everything else, and keeps it alive, without a count that threads would meet at.
    view: Guard<Arc<View>>,
    index: usize,
    began: Tick,
    /// Whoever sets it has the word, from whichever thread.
    settled: AtomicBool,
}

impl Pick {
    /// Chooses among what a selection holds now; waits for the first ever list of the service.
    pub(super) fn choose(bound: &Bound, interrupt: &dyn Interrupt) -> Result<Pick> {
        let now = clock::now();
        if !bound.line.known.enter() {
            let deadline = Pick::deadline(bound, now);
            bound.core.await_list(&bound.line, deadline, interrupt)?;
        }
        if let Some(pick) = Pick::at_hand(bound, now)? {
            Ok(pick)
        } else {
            let Bound { core, line, pickable, .. } = bound;
            let both = core.interrupt(interrupt);
            let wait = WaitLimit { deadline: Pick::deadline(bound, now), interrupt: &both };
            Err(explain::no_endpoint(core, line, &pickable.filter, &wait))
        }
    }

    #[cold]
    fn deadline(bound: &Bound, now: Tick) -> Deadline {
        Deadline::new(now, bound.line.policies().settings.timeout)
    }

    /// Chooses among what a selection holds now, waiting for nothing; `None` where that is nobody.
    #[inline]
    pub(super) fn at_hand(bound: &Bound, now: Tick) -> Result<Option<Pick>> {
        let view = bound.pickable.view();
        let desk = desk_of(&view)?;
        desk.line.reporter(&desk.policies).look_after(now);
        if view.is_empty() {
            return Ok(None);
        }
        let choose = |draw: &mut _| desk.policies.choose(&view, &mut Context { now, draw, tried: &[] });
        let index = with_draw(bound.pickable.id, choose)?;
        view.slots()[index].member.state.begin(now);
        desk.line.counters.add(Count::Picks, 1);
        Ok(Some(Pick { view, index, began: now, settled: AtomicBool::new(false) }))
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.member().endpoint
    }

    /// Whether its service's list is older than it should be, because the registry does not answer.
    pub fn is_stale(&self) -> bool {
        desk_of(&self.view).is_ok_and(|desk| desk.line.known.is_stale())
    }

    /// It went well.
    pub fn success(&self) {
        self.settle(Outcome::Reported(true));
    }

    /// It did not.
    pub fn failure(&self) {
        self.settle(Outcome::Reported(false));
    }

    /// Uses the endpoint; an `Err` counts as a failure. A panic is neutral.
    pub fn run<T, E>(
        self,
        use_it: impl FnOnce(&Endpoint) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let result = use_it(self.endpoint());
        self.settle(Outcome::Reported(result.is_ok()));
        result
    }

    fn member(&self) -> &Member {
        &self.view.slots()[self.index].member
    }

    fn settle(&self, outcome: Outcome) {
        if self.settled.load(Ordering::Relaxed) || self.settled.swap(true, Ordering::Relaxed) {
            return;
        }
        let member = self.member();
        if let Ok(desk) = desk_of(&self.view) {
            let reporter = desk.line.reporter(&desk.policies);
            reporter.report(&self.view, member, outcome, self.began, clock::now());
            desk.line.counters.add(Count::Unreported, u64::from(outcome == Outcome::Neutral));
        }
        member.state.end();
    }
}

/// Where a view's picks report; a view without belongs to a client that was closed.
#[inline]
fn desk_of(view: &View) -> Result<&Desk> {
    view.owner.as_ref().and_then(|owner| owner.downcast_ref()).ok_or_else(super::closed)
}

impl Drop for Pick {
    fn drop(&mut self) {
        self.settle(Outcome::Neutral);
    }
}

impl std::fmt::Debug for Pick {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pick({})", self.endpoint().address())
    }
}
