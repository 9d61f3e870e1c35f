//! Explains the choice of endpoints: `explain()`, and the messages of [`Kind::NoEndpoint`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::core::Core;
use super::service_context::ServiceContext;
use crate::balance::ewma;
use crate::catalog::{Provenance, RemovedEndpoint};
use crate::clock::{self, Tick};
use crate::error::{Error, Kind};
use crate::interrupt::Never;
use crate::membership::{Filter, Member, Snapshot};
use crate::model::{Endpoint, Query};
use crate::registry::WaitLimit;

/// The endpoints of a service and whether they would be called. Displays as a table; serializes to JSON.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The query, as text.
    pub query: String,
    /// One line: the number of usable endpoints and the source of the list, or why there is none.
    pub summary: String,
    /// The number of endpoints that would be called.
    pub usable: usize,
    /// The source and the age of the list.
    pub source: String,
    /// Every endpoint known, usable or not.
    pub endpoints: Vec<EndpointExplanation>,
}

/// Whether one endpoint would be called, and why not.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct EndpointExplanation {
    /// Its address.
    pub address: String,
    /// Its record.
    pub endpoint: Arc<Endpoint>,
    /// Whether it would be called.
    pub usable: bool,
    /// Why it is not called, or what counts against it.
    pub reasons: Vec<String>,
    /// Latency in milliseconds (EWMA); `None` before the first response.
    pub ewma_ms: Option<f64>,
    /// Success rate (EWMA), 0 to 1.
    pub success: f64,
    /// Calls and picks in flight.
    pub in_flight: u32,
    /// Its weight.
    pub weight: u32,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.summary)?;
        for verdict in &self.endpoints {
            let mark = if verdict.usable { "usable" } else { "not used" };
            let ewma = verdict.ewma_ms.map_or("-".into(), |ewma| format!("{ewma:.2} ms"));
            let EndpointExplanation { address, success, in_flight, weight, .. } = verdict;
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
    context: &ServiceContext,
    query: &Query,
    wait: &WaitLimit<'_>,
    no_list: Option<Error>,
) -> Explanation {
    let now = clock::now();
    let filter = Filter { query: query.clone(), callable: false };
    let snapshot = context.service.snapshot();
    let endpoints: Vec<EndpointExplanation> =
        snapshot.members.iter().map(|member| judge(context, member, &filter, now)).collect();
    let usable = endpoints.iter().filter(|verdict| verdict.usable).count();
    let source = core.catalog().provenance(context.name()).describe();
    let summary = match (usable, no_list) {
        (0, Some(error)) => error.to_string(),
        (0, None) => no_endpoint(core, context, &filter, wait).to_string(),
        _ => format!("{usable} of {} endpoints of {query} usable; {source}", endpoints.len()),
    };
    Explanation { query: query.to_string(), summary, usable, source, endpoints }
}

fn judge(context: &ServiceContext, member: &Member, filter: &Filter, now: Tick) -> EndpointExplanation {
    let (endpoint, state) = (&member.endpoint, &member.state);
    let selection = context.service.selection(filter);
    let view = selection.view();
    let place = view.candidates().iter().position(|slot| Arc::ptr_eq(&slot.member.state, state));
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
    EndpointExplanation {
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

/// The error for a query without a usable endpoint.
pub(super) fn no_endpoint(
    core: &Core,
    context: &ServiceContext,
    filter: &Filter,
    wait: &WaitLimit<'_>,
) -> Error {
    let snapshot = context.service.snapshot();
    let provenance = core.catalog().provenance(context.name());
    if let Some(error) = cannot_be_called(&snapshot, filter) {
        return error.for_service(&**context.name());
    }
    let message = if snapshot.members.is_empty() && provenance.gone.is_empty() {
        nothing_registered(core, context, wait)
    } else {
        count_up(&snapshot, &provenance, filter)
    };
    Error::new(Kind::NoEndpoint, message).for_service(&**context.name())
}

/// The error if all endpoints use another protocol than HTTP.
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

fn nothing_registered(core: &Core, context: &ServiceContext, wait: &WaitLimit<'_>) -> String {
    let name = context.name();
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
    parts.extend(removals_in_words(&provenance.gone));
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

/// `1 expired 40 s ago`, for each removal reason.
fn removals_in_words(gone: &[RemovedEndpoint]) -> Vec<String> {
    let now = clock::now();
    let mut ways: Vec<&str> = gone.iter().map(|gone| gone.why).collect();
    ways.sort_unstable();
    ways.dedup();
    let in_words = |why: &&str| {
        let mut of_this: Vec<&RemovedEndpoint> = gone.iter().filter(|gone| gone.why == *why).collect();
        of_this.sort_by_key(|gone| std::cmp::Reverse(gone.at));
        let ago = of_this.first().map_or(Duration::ZERO, |latest| now.since(latest.at));
        format!("{} {why} {} s ago", of_this.len(), ago.as_secs())
    };
    ways.iter().map(in_words).collect()
}

/// Adds the service to the error of the first list, unless the wait was ended.
pub(super) fn no_list(context: &ServiceContext, error: Error) -> Error {
    if matches!(error.kind(), Kind::Closed | Kind::Cancelled) {
        return error;
    }
    error.for_service(&**context.name())
}

/// The timeout error of `wait_for`, with the reason.
pub(super) fn still_missing(core: &Core, query: &Query, timeout: Duration, error: Error) -> Error {
    let Ok(context) = core.context(&query.service) else { return error };
    let filter = Filter { query: query.clone(), callable: false };
    let why = no_endpoint(core, &context, &filter, &WaitLimit::new(Duration::from_millis(500), &Never));
    Error::new(Kind::Timeout, format!("waited {} s; {why}", timeout.as_secs_f64()))
        .for_service(&*query.service)
}
