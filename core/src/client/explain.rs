//! Why a call goes where it goes, or nowhere: `explain()`, and the messages of [`Kind::NoEndpoint`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::core::Core;
use super::line::Line;
use crate::balance::ewma;
use crate::catalog::{Gone, Provenance};
use crate::clock::{self, Tick};
use crate::error::{Error, Kind};
use crate::interrupt::Never;
use crate::membership::{Filter, Member, Snapshot};
use crate::model::{Endpoint, Query};
use crate::registry::WaitLimit;

/// What a client knows of a service, and what it would do with it. Displays as a table; serializes to JSON.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// What was asked, as text.
    pub query: String,
    /// One line: how many endpoints are usable, and where the list is from; or why there is none.
    pub summary: String,
    /// How many endpoints would be called.
    pub usable: usize,
    /// Where the list is from and how old it is.
    pub source: String,
    /// Every endpoint known, usable or not.
    pub endpoints: Vec<Verdict>,
}

/// What is thought of one endpoint.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Verdict {
    /// Where it is.
    pub address: String,
    /// Its record.
    pub endpoint: Arc<Endpoint>,
    /// Whether it would be called.
    pub usable: bool,
    /// Why not, or what speaks against it.
    pub reasons: Vec<String>,
    /// What a use takes, milliseconds (EWMA); `None` until one has ended.
    pub ewma_ms: Option<f64>,
    /// Share of uses that go well (EWMA), 0 to 1.
    pub success: f64,
    /// Uses that have not ended yet.
    pub in_flight: u32,
    /// Its share against the others'.
    pub weight: u32,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.summary)?;
        for verdict in &self.endpoints {
            let mark = if verdict.usable { "usable" } else { "not used" };
            let ewma = verdict.ewma_ms.map_or("-".into(), |ewma| format!("{ewma:.2} ms"));
            let Verdict { address, success, in_flight, weight, .. } = verdict;
            write!(f, "  {address:<21} {mark:<8}  ewma {ewma:>10}  success {success:.2}")?;
            write!(f, "  in flight {in_flight}  weight {weight}")?;
            let reasons = verdict.reasons.join("; ");
            writeln!(f, "{}{reasons}", if reasons.is_empty() { "" } else { "  " })?;
        }
        Ok(())
    }
}

pub(super) fn explain(
    core: &Core,
    line: &Line,
    query: &Query,
    wait: &WaitLimit<'_>,
    unheard: Option<Error>,
) -> Explanation {
    let now = clock::now();
    let filter = Filter { query: query.clone(), callable: false };
    let snapshot = line.service.snapshot();
    let endpoints: Vec<Verdict> =
        snapshot.members.iter().map(|member| judge(line, member, &filter, now)).collect();
    let usable = endpoints.iter().filter(|verdict| verdict.usable).count();
    let source = core.catalog().provenance(line.name()).describe();
    let summary = match (usable, unheard) {
        (0, Some(error)) => error.to_string(),
        (0, None) => no_endpoint(core, line, &filter, wait).to_string(),
        _ => format!("{usable} of {} endpoints of {query} usable; {source}", endpoints.len()),
    };
    Explanation { query: query.to_string(), summary, usable, source, endpoints }
}

fn judge(line: &Line, member: &Member, filter: &Filter, now: Tick) -> Verdict {
    let (endpoint, state) = (&member.endpoint, &member.state);
    let selection = line.service.selection(filter);
    let view = selection.view();
    let place = view.slots().iter().position(|slot| Arc::ptr_eq(&slot.member.state, state));
    let mut reasons = Vec::new();
    reasons.extend(filter.rejects(endpoint).map(|what| format!("filtered ({what})")));
    if !endpoint.healthy {
        reasons.push("unhealthy, says the registry".into());
    }
    if let Some(ejection) = state.ejection() {
        let left = ejection.until.remaining(now).as_secs_f64();
        reasons.push(format!("ejected for {}, at most {left:.1} s more", ejection.cause.in_words()));
    }
    if endpoint.weight == 0 {
        reasons.push("weight 0".into());
    }
    let suspect = place.is_some_and(|index| view.is_suspect(index, now));
    if suspect {
        let hanging = state.hanging(now).unwrap_or_default().as_secs_f64();
        reasons
            .push(format!("suspect: {} calls have waited {hanging:.1} s for any answer", state.in_flight()));
    }
    if member.unconfirmed {
        reasons.push("unconfirmed: its registry no longer lists it, but may have forgotten".into());
    }
    Verdict {
        address: endpoint.address(),
        endpoint: endpoint.clone(),
        usable: place.is_some() && (!suspect || view.len() == 1),
        reasons,
        ewma_ms: state.latency.get().map(|(nanos, _)| nanos / 1e6),
        success: ewma::success(state, now),
        in_flight: state.in_flight(),
        weight: endpoint.weight,
    }
}

/// Why nobody could be chosen.
pub(super) fn no_endpoint(core: &Core, line: &Line, filter: &Filter, wait: &WaitLimit<'_>) -> Error {
    let snapshot = line.service.snapshot();
    let provenance = core.catalog().provenance(line.name());
    if let Some(error) = cannot_be_called(&snapshot, filter) {
        return error.for_service(&**line.name());
    }
    let message = if snapshot.members.is_empty() && provenance.gone.is_empty() {
        nothing_registered(core, line, wait)
    } else {
        count_up(&snapshot, &provenance, filter)
    };
    Error::new(Kind::NoEndpoint, message).for_service(&**line.name())
}

/// Only endpoints of another protocol than HTTP are there.
fn cannot_be_called(snapshot: &Snapshot, filter: &Filter) -> Option<Error> {
    let anyone = Filter { query: filter.query.clone(), callable: false };
    let mut meant =
        snapshot.members.iter().filter(|member| anyone.rejects(&member.endpoint).is_none()).peekable();
    meant.peek()?;
    let others: Vec<&str> = meant
        .map(|member| member.endpoint.protocol.as_str())
        .filter(|p| !matches!(*p, "http" | "https"))
        .collect();
    let all_others = others.len() == snapshot.members.len();
    (filter.callable && all_others).then(|| {
        let query = &filter.query;
        let protocol = others.first().unwrap_or(&"");
        Error::new(
            Kind::Unsupported,
            format!("{query} speaks {protocol:?}; only http and https can be called, pick() an endpoint for others"),
        )
    })
}

fn nothing_registered(core: &Core, line: &Line, wait: &WaitLimit<'_>) -> String {
    let name = line.name();
    let meant = core.catalog().similar(name, wait);
    let hint = meant.map_or_else(String::new, |meant| format!("; did you mean {meant:?}?"));
    let source = core.catalog().provenance(name).describe();
    if hint.is_empty() {
        format!("nothing registered as {name:?}; {source}")
    } else {
        format!("nothing registered as {name:?}{hint}")
    }
}

fn count_up(snapshot: &Snapshot, provenance: &Provenance, filter: &Filter) -> String {
    let rejected: Vec<String> =
        snapshot.members.iter().filter_map(|member| filter.rejects(&member.endpoint)).collect();
    let count = |is: &dyn Fn(&&Member) -> bool| snapshot.members.iter().filter(is).count();
    let unhealthy = count(&|member| filter.rejects(&member.endpoint).is_none() && !member.endpoint.healthy);
    let ejected = count(&|member| member.state.is_ejected());
    let mut parts = Vec::new();
    parts.extend(gone_in_words(&provenance.gone));
    if unhealthy > 0 {
        parts.push(format!("{unhealthy} unhealthy"));
    }
    if let Some(first) = rejected.first() {
        parts.push(format!("{} filtered ({first})", rejected.len()));
    }
    parts.push(format!("{ejected} ejected"));
    let known = snapshot.members.len() + provenance.gone.len();
    format!(
        "no endpoint for {}: {known} known, {}; {}",
        filter.query,
        parts.join(", "),
        provenance.describe()
    )
}

/// `1 expired 40 s ago`, for each way of going.
fn gone_in_words(gone: &[Gone]) -> Vec<String> {
    let now = clock::now();
    let mut ways: Vec<&str> = gone.iter().map(|gone| gone.why).collect();
    ways.sort_unstable();
    ways.dedup();
    let in_words = |why: &&str| {
        let mut of_this: Vec<&Gone> = gone.iter().filter(|gone| gone.why == *why).collect();
        of_this.sort_by_key(|gone| std::cmp::Reverse(gone.at));
        let ago = of_this.first().map_or(Duration::ZERO, |latest| now.since(latest.at));
        format!("{} {why} {} s ago", of_this.len(), ago.as_secs())
    };
    ways.iter().map(in_words).collect()
}

/// The service could not be asked for even once.
pub(super) fn unheard(line: &Line, error: Error) -> Error {
    if matches!(error.kind(), Kind::Closed | Kind::Cancelled) {
        return error;
    }
    error.for_service(&**line.name())
}

/// `wait_for` gave up: what is there instead.
pub(super) fn still_missing(core: &Core, query: &Query, timeout: Duration, error: Error) -> Error {
    let Ok(line) = core.line(&query.service) else { return error };
    let filter = Filter { query: query.clone(), callable: false };
    let why = no_endpoint(core, &line, &filter, &WaitLimit::new(Duration::from_millis(500), &Never));
    Error::new(Kind::Timeout, format!("waited {} s; {why}", timeout.as_secs_f64()))
        .for_service(&*query.service)
}
