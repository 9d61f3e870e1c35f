//! Carries a plan out on the caller's own thread: no hand-over, no runtime, nothing between the caller and
//! the socket but the plan.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::draws::with_draw;
use super::hooks::{Bounds, Hooks, Outgoing};
use super::outgoing::{Prepared, agent_of};
use super::plan::{Attempt, Ended, Plan, Step, Terms};
use super::policies::Policies;
use super::{CallStats, Request, Response};
use crate::clock::{self, Deadline, Tick};
use crate::error::{Error, Kind, Result, TraceOutcome, TraceStep};
use crate::interrupt::{Interrupt, SLICE};
use crate::resilience::{Outcome, is_safe, retry_after};
use crate::snapshot::{Member, Selection, Service};
use crate::transport::{Answer, Failure};

/// Everything one call needs, borrowed from where it lives.
pub(crate) struct Call<'a> {
    pub(crate) service: &'a Service,
    pub(crate) name: &'a Arc<str>,
    pub(crate) selection: &'a Selection,
    pub(crate) policies: &'a Policies,
    pub(crate) hooks: &'a Hooks,
    pub(crate) request: &'a Request,
    pub(crate) stats: &'a CallStats,
    pub(crate) interrupt: &'a dyn Interrupt,
    pub(crate) started: Tick,
    pub(crate) deadline: Deadline,
}

type Sent = std::result::Result<Answer, Failure>;

impl Call<'_> {
    /// The whole life of a call.
    pub(crate) fn run(&self) -> Result<Response> {
        let mut plan = Plan::new(self.terms(), self.service, self.selection, self.policies, self.started);
        let mut story = Story::default();
        let mut step = self.drawing(|draw| plan.first(self.started, draw))?;
        loop {
            step = match step {
                Step::Attempt(attempt) => {
                    let ended = self.attempt(&attempt, &plan, &mut story)?;
                    self.drawing(|draw| plan.after(attempt.member(), ended, clock::now(), draw))?
                }
                Step::Wait(until) => {
                    self.wait(until)?;
                    self.drawing(|draw| plan.after_wait(clock::now(), draw))?
                }
                Step::NoEndpoint | Step::Done => break,
            };
        }
        self.stats.count(&plan, story.last.as_ref().is_some_and(Sent::is_ok));
        self.conclude(story, plan.attempts())
    }

    fn terms(&self) -> Terms {
        let options = &self.request.options;
        let settings = &self.policies.settings;
        Terms {
            deadline: self.deadline,
            attempt_timeout: options.attempt_timeout.or(settings.attempt_timeout),
            attempts: options.attempts.unwrap_or(settings.retry.attempts),
            safe: options.idempotent.unwrap_or_else(|| is_safe(&self.request.method)),
        }
    }

    fn drawing<T>(&self, choose: impl FnOnce(&mut crate::balance::Draw) -> T) -> T {
        with_draw(self.selection.id(), choose)
    }
}
