//! Executes the plan of a call on the caller's own thread, without a background thread or a runtime.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::draw_cache::with_draw;
use super::hooks::{Bounds, Hooks, Outgoing};
use super::outgoing::{Prepared, agent_of, connections_of};
use super::plan::{Attempt, AttemptOutcome, CallLimits, Chosen, Plan, PlanStep};
use super::policies::Policies;
use super::report::Reporter;
use super::{Request, Response};
use crate::balance::Draw;
use crate::clock::{self, Deadline, Tick};
use crate::error::{Error, Result, TraceOutcome, TraceStep};
use crate::interrupt::{Interrupt, SLICE};
use crate::membership::Selection;
use crate::resilience::{Outcome, is_safe, parse_retry_after};
use crate::telemetry::Count;
use crate::transport::{Answer, Exchange, Failure, Limits};

/// Everything that one call needs, borrowed.
pub(crate) struct Call<'a> {
    pub(crate) name: &'a Arc<str>,
    pub(crate) selection: &'a Selection,
    pub(crate) policies: &'a Policies,
    pub(crate) reporter: Reporter<'a>,
    pub(crate) hooks: &'a Hooks,
    pub(crate) request: &'a Request,
    pub(crate) interrupt: &'a dyn Interrupt,
    pub(crate) started: Tick,
    pub(crate) deadline: Deadline,
}

type AttemptResult = std::result::Result<Answer, Failure>;

impl Call<'_> {
    /// Runs the whole call; `None` if no endpoint was available.
    pub(crate) fn run(&self) -> Result<Option<Response>> {
        let prepared = Prepared::new(self.request, &self.policies.settings);
        let service = self.reporter.service;
        let mut plan = Plan::new(self.limits(), service, self.selection, self.policies, self.started);
        let mut history = CallHistory::default();
        let mut step = self.with_draw_of(|draw| plan.first(self.started, draw))?;
        loop {
            step = match step {
                PlanStep::Attempt(attempt) => {
                    let ended = self.attempt(&attempt, &prepared, &mut history)?;
                    self.with_draw_of(|draw| plan.after(&attempt.chosen, ended, clock::now(), draw))?
                }
                PlanStep::Wait(until) => {
                    self.wait(until)?;
                    self.with_draw_of(|draw| plan.after_wait(clock::now(), draw))?
                }
                PlanStep::NoEndpoint | PlanStep::Done => break,
            };
        }
        self.count(&plan, &history);
        self.conclude(history, plan.attempts())
    }

    fn limits(&self) -> CallLimits {
        let (options, settings) = (&self.request.options, &self.policies.settings);
        CallLimits {
            deadline: self.deadline,
            attempt_timeout: options.attempt_timeout.or(settings.attempt_timeout),
            attempts: options.attempts.unwrap_or(settings.retry.attempts),
            safe: is_safe(&self.request.method, options.idempotent),
        }
    }

    fn with_draw_of<T>(&self, choose: impl FnOnce(&mut Draw) -> T) -> T {
        with_draw(self.selection.id, choose)
    }

    /// Sends the request to one endpoint and reports the outcome to the policies.
    fn attempt(
        &self,
        attempt: &Attempt,
        prepared: &Prepared<'_>,
        history: &mut CallHistory,
    ) -> Result<AttemptOutcome> {
        let member = attempt.chosen.member();
        let began = clock::now();
        let in_flight = self.reporter.begin(member, began);
        let sent = self.send(attempt, prepared, history.trace.len() as u32 + 1);
        let now = clock::now();
        let ended = outcome_of(&sent);
        match &attempt.chosen {
            Chosen::Candidate(view, _) => self.reporter.report(view, member, ended.outcome, began, now),
            Chosen::Probe(probe) => {
                self.reporter.probed(&self.selection.view(), probe, ended.outcome, began, now);
            }
        }
        drop(in_flight);
        history.add(TraceStep {
            endpoint: member.endpoint.clone(),
            outcome: trace_outcome(&sent),
            elapsed: now.since(began),
        });
        if let Err(Failure::Interrupted(error)) = sent {
            return Err(error
                .for_service(&**self.name)
                .after(history.trace.len() as u32, std::mem::take(&mut history.trace)));
        }
        history.last = Some(sent);
        Ok(ended)
    }

    fn send(&self, attempt: &Attempt, prepared: &Prepared<'_>, number: u32) -> AttemptResult {
        if !self.hooks.is_empty() {
            return self.send_hooked(attempt, prepared.to_outgoing(self.request, number), prepared.host);
        }
        let exchange = Exchange {
            method: &self.request.method,
            path: &self.request.path,
            host: prepared.host,
            headers: &prepared.headers,
            body: self.body(),
            repeatable: self.limits().safe,
        };
        self.exchange(attempt, &exchange)
    }

    /// Sends the request through the user's hooks and transport.
    fn send_hooked(&self, attempt: &Attempt, mut outgoing: Outgoing, host: Option<&str>) -> AttemptResult {
        let endpoint = &attempt.chosen.member().endpoint;
        if let Some(on_request) = &self.hooks.on_request {
            on_request(&mut outgoing, endpoint).map_err(Failure::Interrupted)?;
            outgoing.check().map_err(Failure::Interrupted)?;
        }
        // A hook may have set Host; it is written separately.
        let said = outgoing.take_host();
        let host = said.as_deref().or(host);
        let sent = if let Some(transport) = &self.hooks.transport {
            let bounds = Bounds { deadline: attempt.deadline, interrupt: self.interrupt };
            transport.send(&outgoing, endpoint, &bounds)
        } else {
            let borrowed = outgoing.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let exchange = Exchange {
                method: &outgoing.method,
                path: &outgoing.path,
                host,
                headers: &borrowed.collect::<Vec<_>>(),
                body: outgoing.body.as_deref().or_else(|| self.body()),
                repeatable: self.limits().safe,
            };
            self.exchange(attempt, &exchange)
        };
        if let Some(on_response) = &self.hooks.on_response {
            on_response(&outgoing, endpoint, &sent).map_err(Failure::Interrupted)?;
        }
        sent
    }

    fn exchange(&self, attempt: &Attempt, exchange: &Exchange<'_>) -> AttemptResult {
        let settings = &self.policies.settings;
        let kept = connections_of(attempt.chosen.member(), settings).map_err(Failure::Interrupted)?;
        let agent = agent_of(kept.as_ref()).map_err(Failure::Interrupted)?;
        let limits = Limits {
            deadline: attempt.deadline,
            max_body: self.request.options.max_body.unwrap_or(self.policies.settings.max_body),
            interrupt: self.interrupt,
        };
        agent.exchange(exchange, &limits)
    }

    /// The body. A method that expects one sends an empty body if there is none.
    fn body(&self) -> Option<&[u8]> {
        let expected = matches!(&*self.request.method, "POST" | "PUT" | "PATCH");
        self.request.body.as_deref().or(expected.then_some(&[]))
    }

    /// Waits in slices, on this thread.
    fn wait(&self, until: Tick) -> Result<()> {
        loop {
            self.interrupt.check()?;
            let left = until.remaining(clock::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(SLICE));
        }
    }

    fn count(&self, plan: &Plan<'_>, history: &CallHistory) {
        let counters = self.reporter.counters;
        counters.add(Count::Calls, 1);
        counters.add(Count::Failures, u64::from(!matches!(history.last, Some(Ok(_)))));
        counters.add(Count::Attempts, u64::from(plan.attempts()));
        counters.add(Count::Retries, u64::from(plan.retries()));
    }

    /// Returns the last outcome as that of the call.
    fn conclude(&self, history: CallHistory, attempts: u32) -> Result<Option<Response>> {
        let CallHistory { trace, last } = history;
        match last {
            None => Ok(None),
            Some(Ok(answer)) => {
                let elapsed = clock::now().since(self.started);
                Ok(Some(Response::of_call(self.name.clone(), answer, trace, attempts, elapsed)))
            }
            Some(Err(failure)) => Err(self.error(&failure, trace, attempts)),
        }
    }

    fn error(&self, failure: &Failure, trace: Vec<TraceStep>, attempts: u32) -> Error {
        let endpoint = trace.last().map(|step| step.endpoint.clone());
        let at = endpoint.as_ref().map_or_else(String::new, |endpoint| endpoint.address());
        let name = self.name;
        let message = match (failure, attempts) {
            (Failure::Timeout, _) => {
                let elapsed = clock::now().since(self.started).as_millis();
                format!("{name:?} at {at} did not answer in time ({elapsed} ms, {attempts} attempts)")
            }
            (_, 1) => format!("{name:?} at {at}: {failure}"),
            _ => format!("{name:?} at {at}: {failure} ({attempts} attempts)"),
        };
        let error = Error::new(failure.kind(), message).for_service(&**name).after(attempts, trace);
        endpoint.map_or(error.clone(), |endpoint| error.at_endpoint(endpoint))
    }
}

/// The attempts of a call so far.
#[derive(Default)]
struct CallHistory {
    trace: Vec<TraceStep>,
    last: Option<AttemptResult>,
}

impl CallHistory {
    fn add(&mut self, step: TraceStep) {
        self.trace.push(step);
    }
}

fn outcome_of(sent: &AttemptResult) -> AttemptOutcome {
    let outcome = match sent {
        Ok(answer) => Outcome::Status(answer.status),
        Err(Failure::Refused(_)) => Outcome::Refused,
        Err(Failure::Reset(_)) => Outcome::Reset,
        Err(Failure::Timeout) => Outcome::Timeout,
        Err(Failure::Tls(_) | Failure::BadAnswer(_)) => Outcome::BadAnswer,
        // The endpoint answered; the size limit is the caller's.
        Err(Failure::TooLarge(_)) => Outcome::Reported(true),
        Err(Failure::Interrupted(_)) => Outcome::Neutral,
    };
    let retry_after = match sent {
        Ok(answer) if matches!(answer.status, 429 | 503) => retry_after(answer),
        _ => None,
    };
    AttemptOutcome { outcome, retry_after }
}

fn retry_after(answer: &Answer) -> Option<Duration> {
    answer.headers.get("retry-after").and_then(|value| parse_retry_after(value, SystemTime::now()))
}

fn trace_outcome(sent: &AttemptResult) -> TraceOutcome {
    match sent {
        Ok(answer) => TraceOutcome::Status(answer.status),
        Err(failure) => TraceOutcome::Failed(failure.kind(), failure.to_string()),
    }
}
