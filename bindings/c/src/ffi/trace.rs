//! The story of a call: what each attempt came to.

use plumline::TraceOutcome;

use super::boundary::{Kind, look};
use super::endpoint::Endpoint;
use super::kinds::PLUMLINE_OK;
use super::text::Str;
use crate::shelf::Shelf;

/// What one attempt of a call came to. It belongs to the response or error that it was asked of.
pub struct TraceStep {
    inner: plumline::TraceStep,
    endpoint: Endpoint,
    words: Shelf,
}

/// All steps, made when somebody asks for one.
pub(crate) struct Story(Vec<TraceStep>);

impl Story {
    pub(crate) fn of(trace: &[plumline::TraceStep]) -> Story {
        Story(trace.iter().map(TraceStep::of).collect())
    }

    pub(crate) fn get(&self, index: usize) -> Option<&TraceStep> {
        self.0.get(index)
    }
}

impl TraceStep {
    fn of(step: &plumline::TraceStep) -> TraceStep {
        let words = match &step.outcome {
            TraceOutcome::Status(_) => Shelf::default(),
            TraceOutcome::Failed(_, words) => Shelf::of([words]),
        };
        TraceStep { inner: step.clone(), endpoint: step.endpoint.clone().into(), words }
    }
}

/// Where the attempt went.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_trace_step_endpoint(step: Option<&TraceStep>) -> Option<&Endpoint> {
    look(step, None, |step| Some(&step.endpoint))
}

/// The status that came back; 0 where none did.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_trace_step_status(step: Option<&TraceStep>) -> u16 {
    look(step, 0, |step| match step.inner.outcome {
        TraceOutcome::Status(status) => status,
        TraceOutcome::Failed(..) => 0,
    })
}

/// What kind of failure it was; `PLUMLINE_OK` where a status came back.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_trace_step_kind(step: Option<&TraceStep>) -> Kind {
    look(step, PLUMLINE_OK, |step| match step.inner.outcome {
        TraceOutcome::Status(_) => PLUMLINE_OK,
        TraceOutcome::Failed(kind, _) => i32::from(kind.number()),
    })
}

/// The failure in words; none where a status came back.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_trace_step_error(step: Option<&TraceStep>) -> Str {
    look(step, Str::NONE, |step| Str::lent_if(step.words.get(0)))
}

/// How long the attempt took, milliseconds.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_trace_step_elapsed_ms(step: Option<&TraceStep>) -> f64 {
    look(step, 0.0, |step| step.inner.elapsed.as_secs_f64() * 1e3)
}
