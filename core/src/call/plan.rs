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
use crate::error::{Error, Result};
use crate::resilience::{Outcome, probe_timeout};
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
    probing: bool,
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
    chosen: Chosen,
    /// When it must be over.
    pub(crate) deadline: Deadline,
    /// Whether it asks an endpoint that is out of rotation how it is.
    pub(crate) probe: bool,
}

/// An endpoint held for use without counting references: the view it stands in is held instead.
pub(crate) enum Chosen {
    Slot(Guard<Arc<View>>, usize),
    Member(Member),
}

impl Chosen {
    #[inline]
    pub(crate) fn member(&self) -> &Member {
        match self {
            Chosen::Slot(view, index) => &view.slots()[*index].member,
            Chosen::Member(member) => member,
        }
    }
}

impl Attempt {
    pub(crate) fn member(&self) -> &Member {
        self.chosen.member()
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
        let (tried, used, returns) = (Vec::new(), 0, 0);
        Plan { terms, service, selection, policies, tried, used, returns, probing: false, retries: 0 }
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
        let probe = self.terms.safe.then(|| self.policies.outlier.claim_probe(self.service, self.selection, now));
        if let Some(member) = probe.flatten() {
            return Ok(self.probe(member, now));
        }
        self.attempt(now, draw)
    }

    /// The step after an attempt on `asked` has ended so.
    pub(crate) fn after(&mut self, asked: &Member, ended: Ended, now: Tick, draw: &mut Draw) -> Result<Step> {
        let Ended { outcome, .. } = ended;
        if std::mem::take(&mut self.probing) {
            return if outcome.is_repeatable() {
                // A probe that failed has cost the call nothing but time: it begins anew, elsewhere.
                self.tried.push(asked.state.clone());
                self.attempt(now, draw)
            } else {
                self.used += 1;
                Ok(Step::Done)
            };
        }
        self.used += 1;
        if !outcome.is_repeatable() || !(self.terms.safe || outcome.never_left()) || self.terms.deadline.passed(now) {
            return Ok(Step::Done);
        }
        self.tried.push(asked.state.clone());
        if self.has_untried() {
            self.move_on(outcome, now, draw)
        } else {
            Ok(self.go_back(ended, now, draw))
        }
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
            None => self.policies.backoff.wait(self.returns, draw.uniform()),
        };
        if wait >= left || !(ended.outcome.never_left() || self.policies.budget.take(now)) {
            return Step::Done;
        }
        self.returns += 1;
        self.retries += 1;
        self.tried.clear();
        Step::Wait(now.after(wait))
    }

    fn attempt(&mut self, now: Tick, draw: &mut Draw) -> Result<Step> {
        let view = self.selection.view();
        if view.is_empty() {
            return Ok(Step::NoEndpoint);
        }
        let index = choose(self.policies, &view, &mut Context { now, draw, tried: &self.tried })?;
        let deadline = self.attempt_deadline(now);
        Ok(Step::Attempt(Attempt { chosen: Chosen::Slot(view, index), deadline, probe: false }))
    }

    fn probe(&mut self, member: Member, now: Tick) -> Step {
        self.probing = true;
        let limit = probe_timeout(&member.state);
        let deadline = self.attempt_deadline(now).tightened(now.after(limit));
        Step::Attempt(Attempt { chosen: Chosen::Member(member), deadline, probe: true })
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

/// The balancer's choice; a user's own may be wrong about how many there are.
pub(crate) fn choose(policies: &Policies, view: &View, context: &mut Context<'_>) -> Result<usize> {
    match policies.balancer.choose(view, context) {
        Some(index) if index < view.len() => Ok(index),
        Some(index) => Err(Error::invalid(format!(
            "the balancer chose number {index} of {}; it must be below {}",
            view.len(),
            view.len()
        ))),
        None => Err(Error::invalid(format!("the balancer chose none of {} usable endpoints", view.len()))),
    }
}
