//! An endpoint chosen for one use of any protocol, and the report of its outcome.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::Guard;

use super::explain;
use super::handle::BoundService;
use super::service_context::PickOwner;
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

/// An endpoint chosen for one use. Report the outcome with [`success`](Pick::success) or [`failure`](Pick::failure); the
/// first report counts. A pick that is dropped without a report is neutral, and counted as unreported in the stats.
#[must_use = "a pick counts as in flight until it is reported or dropped"]
pub struct Pick {
    /// Keeps everything else alive without a reference count that threads would contend for.
    view: Guard<Arc<View>>,
    index: usize,
    began: Tick,
    /// Set by the first report, from any thread.
    settled: AtomicBool,
}

impl Pick {
    /// Chooses an endpoint of the selection; waits for the first endpoint list of the service.
    pub(super) fn choose(bound: &BoundService, interrupt: &dyn Interrupt) -> Result<Pick> {
        let now = clock::now();
        if !bound.context.entry.mark_used() {
            let deadline = Pick::deadline(bound, now);
            bound.core.await_first_list(&bound.context, deadline, interrupt)?;
        }
        if let Some(pick) = Pick::choose_now(bound, now)? {
            Ok(pick)
        } else {
            let BoundService { core, context, pickable, .. } = bound;
            let both = core.interrupt(interrupt);
            let wait = WaitLimit { deadline: Pick::deadline(bound, now), interrupt: &both };
            Err(explain::no_endpoint(core, context, &pickable.filter, &wait))
        }
    }

    #[cold]
    fn deadline(bound: &BoundService, now: Tick) -> Deadline {
        Deadline::new(now, bound.context.policies().settings.timeout)
    }

    /// Chooses an endpoint of the selection without waiting; `None` if there is none.
    #[inline]
    pub(super) fn choose_now(bound: &BoundService, now: Tick) -> Result<Option<Pick>> {
        let view = bound.pickable.view();
        let owner = owner_of(&view)?;
        owner.context.reporter(&owner.policies).run_due(now);
        if view.is_empty() {
            return Ok(None);
        }
        let choose = |draw: &mut _| owner.policies.choose(&view, &mut Context { now, draw, tried: &[] });
        let index = with_draw(bound.pickable.id, choose)?;
        view.candidates()[index].member.state.begin(now);
        owner.context.counters.add(Count::Picks, 1);
        Ok(Some(Pick { view, index, began: now, settled: AtomicBool::new(false) }))
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.member().endpoint
    }

    /// Whether the endpoint list is stale because the registry does not answer.
    pub fn is_stale(&self) -> bool {
        owner_of(&self.view).is_ok_and(|owner| owner.context.entry.is_stale())
    }

    /// Reports success.
    pub fn success(&self) {
        self.settle(Outcome::Reported(true));
    }

    /// Reports a failure.
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
        &self.view.candidates()[self.index].member
    }

    fn settle(&self, outcome: Outcome) {
        if self.settled.load(Ordering::Relaxed) || self.settled.swap(true, Ordering::Relaxed) {
            return;
        }
        let member = self.member();
        if let Ok(owner) = owner_of(&self.view) {
            let reporter = owner.context.reporter(&owner.policies);
            reporter.report(&self.view, member, outcome, self.began, clock::now());
            owner.context.counters.add(Count::Unreported, u64::from(outcome == Outcome::Neutral));
        }
        member.state.end();
    }
}

/// The owner of a view; a view without one belongs to a closed client.
#[inline]
fn owner_of(view: &View) -> Result<&PickOwner> {
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
