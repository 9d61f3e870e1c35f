//! The statistics of a client, serializable to JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use super::core::Core;
use super::service_context::ServiceContext;
use crate::balance::ewma;
use crate::catalog::CacheStats;
use crate::clock::{self, Tick};
use crate::membership::Member;
use crate::registration::RegistrationStats;
use crate::telemetry::{CallFigures, Count};

/// The statistics of a client. Serializes to JSON; contains no secrets.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Calls and picks, by service.
    pub services: BTreeMap<String, ServiceStats>,
    /// The endpoint lists.
    pub cache: CacheStats,
    /// The registrations of this program.
    pub registrations: Vec<RegistrationStats>,
    /// Background threads of this process, shared by all its clients.
    pub threads: usize,
}

/// The statistics of one service.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ServiceStats {
    /// The outcomes of calls and picks.
    #[serde(flatten)]
    pub figures: CallFigures,
    /// Retries left in the budget.
    pub budget: f64,
    /// Whether its list is stale because the registry does not answer.
    pub stale: bool,
    /// Each endpoint, by its address.
    pub endpoints: BTreeMap<String, EndpointStats>,
}

/// The statistics of one endpoint.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct EndpointStats {
    /// Finished calls and picks.
    pub attempts: u64,
    /// Failed calls and picks.
    pub failures: u64,
    /// Calls and picks in flight.
    pub in_flight: u32,
    /// Latency in milliseconds (EWMA); `None` before the first response.
    pub ewma_ms: Option<f64>,
    /// Success rate (EWMA), 0 to 1.
    pub success: f64,
    /// Whether it is ejected.
    pub ejected: bool,
}

pub(super) fn gather(core: &Core) -> Stats {
    let now = clock::now();
    let mut cache = core.catalog().stats();
    // A pick is a cache hit too; services count it as a pick only.
    cache.hits += core.contexts().values().map(|context| context.counters.get(Count::Picks)).sum::<u64>();
    let services =
        core.contexts().iter().map(|(name, context)| (name.clone(), of_service(context, now))).collect();
    Stats { services, cache, registrations: core.registrations().stats(), threads: core.threads() }
}

fn of_service(context: &ServiceContext, now: Tick) -> ServiceStats {
    let members = &context.service.snapshot().members;
    ServiceStats {
        figures: context.counters.figures(),
        budget: context.policies().budget.available(now),
        stale: context.entry.is_stale(),
        endpoints: members.iter().map(|member| (member.endpoint.address(), of_member(member, now))).collect(),
    }
}

fn of_member(member: &Member, now: Tick) -> EndpointStats {
    let state = &member.state;
    EndpointStats {
        attempts: state.attempts(),
        failures: state.failures(),
        in_flight: state.in_flight(),
        ewma_ms: state.latency.get().map(|(nanos, _)| nanos / 1e6),
        success: ewma::success(state, now),
        ejected: state.is_ejected(),
    }
}
