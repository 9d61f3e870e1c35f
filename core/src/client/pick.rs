//! An endpoint chosen for one use, of any protocol, and the report on how it went.

use std::sync::Arc;

use arc_swap::Guard;

use super::explain;
use super::handle::Bound;
use crate::balance::Context;
use crate::call::with_draw;
use crate::clock::{self, Deadline, Tick};
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::model::Endpoint;
use crate::registry::Wait;
use crate::resilience::Outcome;
use crate::snapshot::{Member, View};
use crate::telemetry::Count;

/// An endpoint chosen for one use. Say how it went with [`success`](Pick::success) or
/// [`failure`](Pick::failure); the first word counts. Dropped without one it is neutral, and counted in the stats.
#[must_use = "a pick holds its endpoint as busy until it is reported on"]
pub struct Pick {
    owner: Owner,
    view: Guard<Arc<View>>,
    index: usize,
    began: Tick,
    settled: bool,
}

/// What keeps a pick's service alive.
pub(super) enum Owner {
    /// Of its own.
    Own(Box<Bound>),
    /// Borrowed from a handle: nothing is counted, so that threads do not meet here.
    Handle(Guard<Arc<Bound>>),
}

impl Owner {
    fn bound(&self) -> &Bound {
        match self {
            Owner::Own(bound) => bound,
            Owner::Handle(bound) => bound,
        }
    }
}

impl Pick {
    /// Chooses among what a selection holds now; waits for the first ever list of the service.
    pub(super) fn choose(owner: Owner, interrupt: &dyn Interrupt) -> Result<Pick> {
        let now = clock::now();
        let Bound { core, line, .. } = owner.bound();
        let deadline = Deadline::new(now, line.policies().settings.timeout);
        core.await_list(line, deadline, interrupt)?;
        Pick::at_hand(owner, now)?.map_err(|owner| {
            let Bound { core, line, pickable, .. } = owner.bound();
            let both = core.interrupt(interrupt);
            explain::no_endpoint(core, line, &pickable.filter, &Wait { deadline, interrupt: &both })
        })
    }

    /// Chooses among what a selection holds now, waiting for nothing; hands the owner back where that is nobody.
    pub(super) fn at_hand(owner: Owner, now: Tick) -> Result<std::result::Result<Pick, Owner>> {
        let Bound { line, pickable: selection, .. } = owner.bound();
        let policies = line.policies();
        line.reporter(&policies).look_after(now);
        let view = selection.view();
        if view.is_empty() {
            return Ok(Err(owner));
        }
        let choose = |draw: &mut _| policies.choose(&view, &mut Context { now, draw, tried: &[] });
        let index = with_draw(selection.id, choose)?;
        view.slots()[index].member.state.begin(now);
        line.counters.add(Count::Picks, 1);
        Ok(Ok(Pick { owner, view, index, began: now, settled: false }))
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.member().endpoint
    }

    /// Whether its service's list is older than it should be, because the registry does not answer.
    pub fn is_stale(&self) -> bool {
        self.owner.bound().line.known.is_stale()
    }

    /// It went well.
    pub fn success(&mut self) {
        self.settle(Outcome::Reported(true));
    }

    /// It did not.
    pub fn failure(&mut self) {
        self.settle(Outcome::Reported(false));
    }

    /// Uses the endpoint; an `Err` counts as a failure. A panic is neutral.
    pub fn run<T, E>(
        mut self,
        use_it: impl FnOnce(&Endpoint) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let result = use_it(self.endpoint());
        self.settle(Outcome::Reported(result.is_ok()));
        result
    }

    fn member(&self) -> &Member {
        &self.view.slots()[self.index].member
    }

    fn settle(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        let line = &self.owner.bound().line;
        let policies = line.policies();
        let member = self.member();
        line.reporter(&policies).report(&self.view, member, outcome, self.began, clock::now());
        member.state.end();
        if outcome == Outcome::Neutral {
            line.counters.add(Count::Unreported, 1);
        }
    }
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
