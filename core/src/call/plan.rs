//! What to do next in a call, decided without doing any of it.
//!
//! ```text
//!            ┌──────────────── next(now, what happened) ────────────────┐
//!            ▼                                                          │
//!   Attempt{whom, timeout} ──► driver sends ──► outcome ────────────────┤
//!   Wait{until}            ──► driver waits ────────────────────────────┘
//!   Done                   ──► the last outcome is the call's
//! ```
//!
//! A call moves to an endpoint it has not tried at once; it waits only before it returns to one. What may
//! not be repeated is sent once. Time and randomness come in as arguments, so that the blocking driver, the
//! asynchronous one and a simulator can share it.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::Guard;

use super::policies::Policies;
use crate::balance::{Context, Draw};
use crate::clock::{Deadline, Tick};
use crate::error::Result;
use crate::resilience::{Outcome, Probe};
use crate::snapshot::{Member, Selection, Service, State, View};

/// Of what is left, the part one attempt may take while another could follow.
const SHARE: f64 = 0.6;

/// The plan of one call.
pub(crate) struct Plan<'a> {
    terms: Terms,
    service: &'a Service,
    selection: &'a Selection,
    policies: &'a Policies,
    /// Whom this round has asked already.
    tried: Vec<Arc<State>>,
    /// Attempts that count.
    used: u32,
    /// How often it has gone back to endpoints already tried.
    returns: u32,
    /// The last wait before a return.
    waited: Duration,
    retries: u32,
}

/// What the caller allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) deadline: Deadline,
    pub(crate) attempt_timeout: Option<Duration>,
    pub(crate) attempts: u32,
    /// Whether the service may see the request twice.
    pub(crate) safe: bool,
}

/// What to do next.
pub(crate) enum Step {
    /// Ask this endpoint.
    Attempt(Attempt),
    /// Wait until then, then ask again.
    Wait(Tick),
    /// Nobody is there to be asked.
    NoEndpoint,
    /// The call is over; its result is what came last.
    Done,
}

/// One try.
pub(crate) struct Attempt {
    /// Whom to ask.
    pub(crate) chosen: Chosen,
    /// When it must be over.
    pub(crate) deadline: Deadline,
}

/// An endpoint held for use without counting references: the view it stands in is held instead.
pub(crate) enum Chosen {
    /// One of those in rotation.
    Slot(Guard<Arc<View>>, usize),
    /// One that is out of rotation, to ask how it is.
    Probe(Probe),
}

impl Chosen {
    /// The endpoint and its cells.
    #[inline]
    pub(crate) fn member(&self) -> &Member {
        match self {
            Chosen::Slot(view, index) => &view.slots()[*index].member,
            Chosen::Probe(probe) => &probe.member,
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    /// What `Retry-After` said.
    pub(crate) retry_after: Option<Duration>,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(
        terms: Terms,
        service: &'a Service,
        selection: &'a Selection,
        policies: &'a Policies,
        now: Tick,
    ) -> Plan<'a> {
        policies.budget.deposit(now);
        Plan {
            terms,
            service,
            selection,
            policies,
            tried: Vec::new(),
            used: 0,
            returns: 0,
            waited: Duration::ZERO,
            retries: 0,
        }
    }

    /// Attempts made, probes not counted.
    pub(crate) fn attempts(&self) -> u32 {
        self.used
    }

    /// How many of them took from the budget or moved on.
    pub(crate) fn retries(&self) -> u32 {
        self.retries
    }

    /// The first step.
    pub(crate) fn first(&mut self, now: Tick, draw: &mut Draw) -> Result<Step> {
        let claim = || self.policies.outlier.claim_call_probe(self.service, &self.selection.filter, now);
        match self.terms.safe.then(claim).flatten() {
            Some(probe) => Ok(self.probe(probe, now)),
            None => self.attempt(now, draw),
        }
    }

    /// The step after an attempt on `asked` has ended so.
    pub(crate) fn after(&mut self, asked: &Chosen, ended: Ended, now: Tick, draw: &mut Draw) -> Result<Step> {
        let Ended { outcome, .. } = ended;
        if matches!(asked, Chosen::Probe(_)) && outcome.is_repeatable() && !self.selection.view().is_empty() {
            // A probe that failed has cost the call nothing but time: it begins anew, elsewhere.
            self.tried.push(asked.member().state.clone());
            return self.attempt(now, draw);
        }
        self.used += 1;
        if !outcome.is_repeatable()
            || !(self.terms.safe || outcome.never_left())
            || self.terms.deadline.passed(now)
        {
            return Ok(Step::Done);
        }
        self.tried.push(asked.member().state.clone());
        if self.has_untried() { self.move_on(outcome, now, draw) } else { Ok(self.go_back(ended, now, draw)) }
    }

    /// The step after a wait.
    pub(crate) fn after_wait(&mut self, now: Tick, draw: &mut Draw) -> Result<Step> {
        self.attempt(now, draw)
    }

    /// To an endpoint that this call has not tried: at once, whatever `Retry-After` says.
    fn move_on(&mut self, outcome: Outcome, now: Tick, draw: &mut Draw) -> Result<Step> {
        if outcome.never_left() {
            self.used -= 1;
        } else if self.used >= self.terms.attempts || !self.policies.budget.take(now) {
            return Ok(Step::Done);
        }
        self.retries += 1;
        self.attempt(now, draw)
    }

    /// To an endpoint already tried: after a wait, unless that would only put off the failure.
    fn go_back(&mut self, ended: Ended, now: Tick, draw: &mut Draw) -> Step {
        if self.used >= self.terms.attempts {
            return Step::Done;
        }
        let left = self.terms.deadline.left(now);
        let wait = match ended.retry_after {
            Some(asked) if asked > self.policies.settings.retry.max_retry_after => return Step::Done,
            Some(asked) => asked,
            None => self.policies.backoff.wait(self.returns, self.waited, draw.unit()),
        };
        if wait >= left || !(ended.outcome.never_left() || self.policies.budget.take(now)) {
            return Step::Done;
        }
        self.returns += 1;
        self.waited = wait;
        self.retries += 1;
        self.tried.clear();
        Step::Wait(now.after(wait))
    }

    fn attempt(&mut self, now: Tick, draw: &mut Draw) -> Result<Step> {
        let view = self.selection.view();
        if view.is_empty() {
            return Ok(Step::NoEndpoint);
        }
        let index = self.policies.choose(&view, &mut Context { now, draw, tried: &self.tried })?;
        let deadline = self.attempt_deadline(now);
        Ok(Step::Attempt(Attempt { chosen: Chosen::Slot(view, index), deadline }))
    }

    fn probe(&mut self, probe: Probe, now: Tick) -> Step {
        let deadline = self.attempt_deadline(now).tightened(now.after(probe.timeout));
        Step::Attempt(Attempt { chosen: Chosen::Probe(probe), deadline })
    }

    fn attempt_deadline(&self, now: Tick) -> Deadline {
        let another_could_follow = self.terms.safe && self.used + 1 < self.terms.attempts;
        let limit = match self.terms.attempt_timeout {
            Some(limit) => limit,
            None if another_could_follow => self.terms.deadline.left(now).mul_f64(SHARE),
            None => return self.terms.deadline,
        };
        self.terms.deadline.tightened(now.after(limit))
    }

    fn has_untried(&self) -> bool {
        let is_tried = |state: &Arc<State>| self.tried.iter().any(|tried| Arc::ptr_eq(tried, state));
        self.selection.view().slots().iter().any(|slot| !is_tried(&slot.member.state))
    }
}
