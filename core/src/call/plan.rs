//! Decides the next step of a call. Pure: it does no I/O.
//!
//! ```text
//!            ┌────────────────── after(outcome, now) ───────────────────┐
//!            ▼                                                          │
//!   Attempt{endpoint} ──► driver sends ──► outcome ─────────────────────┤
//!   Wait{until}       ──► driver waits ─────────────────────────────────┘
//!   Done              ──► the last outcome is the call's
//! ```
//!
//! A retry goes to an untried endpoint at once. It backs off only before it returns to a tried one. A request that may not
//! be repeated is sent once. Time and randomness are arguments, so that the blocking driver and a simulator share the
//! plan.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::Guard;

use super::policies::Policies;
use crate::balance::{Context, Draw};
use crate::clock::{Deadline, Tick};
use crate::error::Result;
use crate::membership::{EndpointState, Member, Selection, Service, View};
use crate::resilience::{Outcome, Probe, may_repeat};

/// The share of the remaining time that one attempt may use while another could follow.
const SHARE: f64 = 0.6;

/// The plan of one call.
pub(crate) struct Plan<'a> {
    limits: CallLimits,
    service: &'a Service,
    selection: &'a Selection,
    policies: &'a Policies,
    /// The endpoints that this round has tried.
    tried: Vec<Arc<EndpointState>>,
    /// Attempts that count.
    used: u32,
    /// How often it has returned to tried endpoints.
    rounds: u32,
    /// The last backoff.
    waited: Duration,
    retries: u32,
}

/// The limits of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallLimits {
    pub(crate) deadline: Deadline,
    pub(crate) attempt_timeout: Option<Duration>,
    pub(crate) attempts: u32,
    /// Whether the service may see the request twice.
    pub(crate) safe: bool,
}

/// What to do next.
pub(crate) enum PlanStep {
    /// Send the request to this endpoint.
    Attempt(Attempt),
    /// Wait until this time, then continue.
    Wait(Tick),
    /// No endpoint is available.
    NoEndpoint,
    /// The call is over; the last outcome is its result.
    Done,
}

/// One attempt.
pub(crate) struct Attempt {
    /// The endpoint.
    pub(crate) chosen: Chosen,
    /// Its deadline.
    pub(crate) deadline: Deadline,
}

/// A chosen endpoint. It holds its view instead of a reference count of its own.
pub(crate) enum Chosen {
    /// An endpoint in rotation.
    Candidate(Guard<Arc<View>>, usize),
    /// A probe of an ejected endpoint.
    Probe(Probe),
}

impl Chosen {
    /// The endpoint and its state.
    #[inline]
    pub(crate) fn member(&self) -> &Member {
        match self {
            Chosen::Candidate(view, index) => &view.candidates()[*index].member,
            Chosen::Probe(probe) => &probe.member,
        }
    }
}

/// The outcome of an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttemptOutcome {
    pub(crate) outcome: Outcome,
    /// The value of `Retry-After`.
    pub(crate) retry_after: Option<Duration>,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(
        limits: CallLimits,
        service: &'a Service,
        selection: &'a Selection,
        policies: &'a Policies,
        now: Tick,
    ) -> Plan<'a> {
        policies.budget.deposit(now);
        Plan {
            limits,
            service,
            selection,
            policies,
            tried: Vec::new(),
            used: 0,
            rounds: 0,
            waited: Duration::ZERO,
            retries: 0,
        }
    }

    /// The number of attempts, without probes.
    pub(crate) fn attempts(&self) -> u32 {
        self.used
    }

    /// The number of retries.
    pub(crate) fn retries(&self) -> u32 {
        self.retries
    }

    /// The first step.
    pub(crate) fn first(&mut self, now: Tick, draw: &mut Draw) -> Result<PlanStep> {
        let claim = || self.policies.outlier.claim_call_probe(self.service, &self.selection.filter, now);
        match self.limits.safe.then(claim).flatten() {
            Some(probe) => Ok(self.probe(probe, now)),
            None => self.attempt(now, draw),
        }
    }

    /// The step after the attempt at `asked` has ended.
    pub(crate) fn after(
        &mut self,
        asked: &Chosen,
        ended: AttemptOutcome,
        now: Tick,
        draw: &mut Draw,
    ) -> Result<PlanStep> {
        let AttemptOutcome { outcome, .. } = ended;
        if matches!(asked, Chosen::Probe(_)) && outcome.is_repeatable() && !self.selection.view().is_empty() {
            // A failed probe does not count as an attempt: the call starts again at another endpoint.
            self.tried.push(asked.member().state.clone());
            return self.attempt(now, draw);
        }
        self.used += 1;
        if !may_repeat(self.limits.safe, outcome) || self.limits.deadline.passed(now) {
            return Ok(PlanStep::Done);
        }
        self.tried.push(asked.member().state.clone());
        if self.has_untried() {
            self.try_another(outcome, now, draw)
        } else {
            Ok(self.retry_tried(ended, now, draw))
        }
    }

    /// The step after a wait.
    pub(crate) fn after_wait(&mut self, now: Tick, draw: &mut Draw) -> Result<PlanStep> {
        self.attempt(now, draw)
    }

    /// Retries at an untried endpoint, at once, whatever `Retry-After` says.
    fn try_another(&mut self, outcome: Outcome, now: Tick, draw: &mut Draw) -> Result<PlanStep> {
        if outcome.never_left() {
            self.used -= 1;
        } else if self.used >= self.limits.attempts || !self.policies.budget.take(now) {
            return Ok(PlanStep::Done);
        }
        self.retries += 1;
        self.attempt(now, draw)
    }

    /// Returns to a tried endpoint after a backoff, unless the backoff ends after the deadline.
    fn retry_tried(&mut self, ended: AttemptOutcome, now: Tick, draw: &mut Draw) -> PlanStep {
        if self.used >= self.limits.attempts {
            return PlanStep::Done;
        }
        let left = self.limits.deadline.left(now);
        let wait = match ended.retry_after {
            Some(asked) if asked > self.policies.settings.retry.max_retry_after => return PlanStep::Done,
            Some(asked) => asked,
            None => self.policies.backoff.wait(self.rounds, self.waited, draw.unit()),
        };
        if wait >= left || !(ended.outcome.never_left() || self.policies.budget.take(now)) {
            return PlanStep::Done;
        }
        self.rounds += 1;
        self.waited = wait;
        self.retries += 1;
        self.tried.clear();
        PlanStep::Wait(now.after(wait))
    }

    fn attempt(&mut self, now: Tick, draw: &mut Draw) -> Result<PlanStep> {
        let view = self.selection.view();
        if view.is_empty() {
            return Ok(PlanStep::NoEndpoint);
        }
        let index = self.policies.choose(&view, &mut Context { now, draw, tried: &self.tried })?;
        let deadline = self.attempt_deadline(now);
        Ok(PlanStep::Attempt(Attempt { chosen: Chosen::Candidate(view, index), deadline }))
    }

    fn probe(&mut self, probe: Probe, now: Tick) -> PlanStep {
        let deadline = self.attempt_deadline(now).tightened(now.after(probe.timeout));
        PlanStep::Attempt(Attempt { chosen: Chosen::Probe(probe), deadline })
    }

    fn attempt_deadline(&self, now: Tick) -> Deadline {
        let another_could_follow = self.limits.safe && self.used + 1 < self.limits.attempts;
        let limit = match self.limits.attempt_timeout {
            Some(limit) => limit,
            None if another_could_follow => self.limits.deadline.left(now).mul_f64(SHARE),
            None => return self.limits.deadline,
        };
        self.limits.deadline.tightened(now.after(limit))
    }

    fn has_untried(&self) -> bool {
        let is_tried = |state: &Arc<EndpointState>| self.tried.iter().any(|tried| Arc::ptr_eq(tried, state));
        self.selection.view().candidates().iter().any(|slot| !is_tried(&slot.member.state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use crate::membership::{Filter, ListedEndpoint};
    use crate::model::{Endpoint, Query};

    const SECOND: Duration = Duration::from_secs(1);

    /// A service with a manual clock.
    struct Fixture {
        service: Arc<Service>,
        selection: Arc<Selection>,
        policies: Policies,
        draw: Draw,
        now: Tick,
    }

    impl Fixture {
        fn of(endpoints: u16) -> Fixture {
            Fixture::with(endpoints, Settings::default())
        }

        fn with(endpoints: u16, settings: Settings) -> Fixture {
            let service = Service::new("s");
            let listed = (1..=endpoints).map(|port| ListedEndpoint {
                endpoint: Arc::new(Endpoint::new("s", "127.0.0.1".parse().unwrap(), port)),
                unconfirmed: false,
            });
            service.replace(listed.collect());
            let selection = service.selection(&Filter { query: Query::new("s"), callable: true });
            let policies = Policies::new(settings, None);
            Fixture { service, selection, policies, draw: Draw::new(7), now: Tick::from_nanos(1) }
        }

        fn limits(&self, safe: bool) -> CallLimits {
            let settings = &self.policies.settings;
            CallLimits {
                deadline: Deadline::new(self.now, settings.timeout),
                attempt_timeout: settings.attempt_timeout,
                attempts: settings.retry.attempts,
                safe,
            }
        }

        /// Runs a call whose attempts end as scripted; the last entry repeats. Returns the steps as text.
        fn play(&mut self, safe: bool, script: &[AttemptOutcome]) -> Vec<String> {
            let mut told = Vec::new();
            let mut plan =
                Plan::new(self.limits(safe), &self.service, &self.selection, &self.policies, self.now);
            let mut step = plan.first(self.now, &mut self.draw).unwrap();
            let mut script = script.iter().chain(std::iter::repeat(script.last().unwrap()));
            while told.len() < 50 {
                step = match step {
                    PlanStep::Attempt(attempt) => {
                        told.push(format!("ask {}", attempt.chosen.member().endpoint.port));
                        plan.after(&attempt.chosen, *script.next().unwrap(), self.now, &mut self.draw)
                            .unwrap()
                    }
                    PlanStep::Wait(until) => {
                        told.push("wait".into());
                        self.now = until;
                        plan.after_wait(self.now, &mut self.draw).unwrap()
                    }
                    PlanStep::NoEndpoint => {
                        told.push("nobody".into());
                        break;
                    }
                    PlanStep::Done => break,
                };
            }
            told
        }

        fn first_attempt(&mut self, safe: bool) -> Duration {
            let mut plan =
                Plan::new(self.limits(safe), &self.service, &self.selection, &self.policies, self.now);
            match plan.first(self.now, &mut self.draw).unwrap() {
                PlanStep::Attempt(attempt) => attempt.deadline.left(self.now),
                _ => panic!("the first step should be an attempt"),
            }
        }
    }

    fn ends(outcome: Outcome) -> AttemptOutcome {
        AttemptOutcome { outcome, retry_after: None }
    }

    fn asked(told: &[String]) -> Vec<&str> {
        told.iter().filter_map(|word| word.strip_prefix("ask ")).collect()
    }

    #[test]
    fn retries_untried_endpoints_at_once_and_backs_off_before_tried() {
        let told = Fixture::of(2).play(true, &[ends(Outcome::Status(503))]);
        assert_eq!(told.len(), 4, "{told:?}");
        assert!(told[0] != told[1] && told[2] == "wait", "{told:?}");
    }

    #[test]
    fn refused_connections_do_not_count_while_endpoints_are_untried() {
        let told = Fixture::of(6).play(false, &[ends(Outcome::Refused)]);
        let mut ports = asked(&told)[..6].to_vec();
        ports.sort_unstable();
        assert_eq!(ports, ["1", "2", "3", "4", "5", "6"], "{told:?}");
    }

    #[test]
    fn unsafe_requests_are_sent_once() {
        for outcome in [Outcome::Reset, Outcome::Timeout, Outcome::Status(503)] {
            assert_eq!(asked(&Fixture::of(3).play(false, &[ends(outcome)])).len(), 1);
            assert_eq!(asked(&Fixture::of(3).play(true, &[ends(outcome)])).len(), 3);
        }
    }

    #[test]
    fn final_statuses_end_the_call() {
        for status in [200, 302, 404, 500, 501] {
            assert_eq!(asked(&Fixture::of(3).play(true, &[ends(Outcome::Status(status))])).len(), 1);
        }
    }

    #[test]
    fn honors_short_retry_after_when_no_endpoint_is_untried() {
        let asks = |wait: Duration| AttemptOutcome { outcome: Outcome::Status(503), retry_after: Some(wait) };
        let mut bench = Fixture::of(1);
        let began = bench.now;
        assert_eq!(bench.play(true, &[asks(SECOND), ends(Outcome::Status(200))]), ["ask 1", "wait", "ask 1"]);
        assert_eq!(bench.now.since(began), SECOND);
        assert_eq!(Fixture::of(1).play(true, &[asks(SECOND * 2)]), ["ask 1"]);
    }

    #[test]
    fn skips_backoff_that_ends_after_the_deadline() {
        let settings = Settings { timeout: Duration::from_millis(900), ..Settings::default() };
        let asks = AttemptOutcome { outcome: Outcome::Status(503), retry_after: Some(SECOND) };
        assert_eq!(Fixture::with(1, settings).play(true, &[asks]), ["ask 1"]);
    }

    #[test]
    fn attempt_leaves_time_for_another() {
        assert_eq!(Fixture::of(2).first_attempt(true), Duration::from_secs(6));
        assert_eq!(Fixture::of(2).first_attempt(false), Duration::from_secs(10));
        let once = |settings: Settings| Fixture::with(2, settings).first_attempt(true);
        let mut settings = Settings::default();
        settings.retry.attempts = 1;
        assert_eq!(once(settings.clone()), Duration::from_secs(10));
        settings.attempt_timeout = Some(SECOND);
        assert_eq!(once(settings), SECOND);
    }

    #[test]
    fn empty_retry_budget_ends_the_call() {
        let mut bench = Fixture::of(3);
        let calls: Vec<usize> =
            (0..100).map(|_| asked(&bench.play(true, &[ends(Outcome::Status(503))])).len()).collect();
        assert_eq!(calls[0], 3);
        let total: usize = calls.iter().sum();
        assert!(total <= 100 * 12 / 10 + 10, "{total}");
    }

    #[test]
    fn empty_service_yields_no_endpoint() {
        assert_eq!(Fixture::of(0).play(true, &[ends(Outcome::Refused)]), ["nobody"]);
    }
}
