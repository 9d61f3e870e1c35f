//! Why a call goes where it goes.

use super::boundary::{free, look};
use super::endpoint::Endpoint;
use super::text::Str;
use crate::shelf::Shelf;

/// What a client knows of a service, and what it would do with it. Yours to free with `plumline_explanation_free()`.
pub struct Explanation {
    usable: usize,
    words: Shelf,
    verdicts: Vec<Verdict>,
}

/// What is thought of one endpoint. It belongs to the explanation.
pub struct Verdict {
    inner: plumline::EndpointExplanation,
    endpoint: Endpoint,
    /// The address, then the reasons.
    words: Shelf,
}

impl From<plumline::Explanation> for Explanation {
    fn from(of: plumline::Explanation) -> Explanation {
        let table = of.to_string();
        Explanation {
            usable: of.usable,
            words: Shelf::of([&of.query, &of.summary, &of.source, &table]),
            verdicts: of.endpoints.into_iter().map(Verdict::from).collect(),
        }
    }
}

impl From<plumline::EndpointExplanation> for Verdict {
    fn from(inner: plumline::EndpointExplanation) -> Verdict {
        let words = Shelf::of([&inner.address].into_iter().chain(&inner.reasons));
        Verdict { endpoint: inner.endpoint.clone().into(), words, inner }
    }
}

fn word(explanation: Option<&Explanation>, place: usize) -> Str {
    look(explanation, Str::NONE, |explanation| Str::lent_if(explanation.words.get(place)))
}

/// What was asked.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_explanation_query(explanation: Option<&Explanation>) -> Str {
    word(explanation, 0)
}

/// One line: how many endpoints are usable, and where the list is from; or why there is none.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_explanation_summary(explanation: Option<&Explanation>) -> Str {
    word(explanation, 1)
}

/// Where the list is from and how old it is.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_explanation_source(explanation: Option<&Explanation>) -> Str {
    word(explanation, 2)
}

/// All of it as a table to read, a line each.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_explanation_text(explanation: Option<&Explanation>) -> Str {
    word(explanation, 3)
}

/// How many endpoints would be called.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_explanation_usable(explanation: Option<&Explanation>) -> usize {
    look(explanation, 0, |explanation| explanation.usable)
}

/// How many endpoints are known, usable or not.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_explanation_count(explanation: Option<&Explanation>) -> usize {
    look(explanation, 0, |explanation| explanation.verdicts.len())
}

/// What is thought of the endpoint at this index; NULL past the end. It belongs to the explanation.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_explanation_at(
    explanation: Option<&Explanation>,
    index: usize,
) -> Option<&Verdict> {
    look(explanation, None, |explanation| explanation.verdicts.get(index))
}

/// Where it is.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_verdict_address(verdict: Option<&Verdict>) -> Str {
    look(verdict, Str::NONE, |verdict| Str::lent_if(verdict.words.get(0)))
}

/// Its record. It belongs to the explanation.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_verdict_endpoint(verdict: Option<&Verdict>) -> Option<&Endpoint> {
    look(verdict, None, |verdict| Some(&verdict.endpoint))
}

/// Whether it would be called.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_verdict_is_usable(verdict: Option<&Verdict>) -> bool {
    look(verdict, false, |verdict| verdict.inner.usable)
}

/// How many reasons there are against it.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_verdict_reason_count(verdict: Option<&Verdict>) -> usize {
    look(verdict, 0, |verdict| verdict.inner.reasons.len())
}

/// Why not, or what speaks against it; none past the end.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_verdict_reason_at(verdict: Option<&Verdict>, index: usize) -> Str {
    look(verdict, Str::NONE, |verdict| {
        Str::lent_if(index.checked_add(1).and_then(|place| verdict.words.get(place)))
    })
}

/// What a use of it takes, milliseconds (EWMA); below 0 until one has ended.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_verdict_ewma_ms(verdict: Option<&Verdict>) -> f64 {
    look(verdict, -1.0, |verdict| verdict.inner.ewma_ms.unwrap_or(-1.0))
}

/// Share of uses that go well (EWMA), 0 to 1.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_verdict_success(verdict: Option<&Verdict>) -> f64 {
    look(verdict, 0.0, |verdict| verdict.inner.success)
}

/// Uses of it that have not ended yet.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_verdict_in_flight(verdict: Option<&Verdict>) -> u32 {
    look(verdict, 0, |verdict| verdict.inner.in_flight)
}

/// Its share of the traffic against the others'.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_verdict_weight(verdict: Option<&Verdict>) -> u32 {
    look(verdict, 0, |verdict| verdict.inner.weight)
}

/// Frees an explanation and everything that was borrowed from it. NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_explanation_free(explanation: Option<Box<Explanation>>) {
    free(explanation);
}
