//! Everything that is counted, as one JSON-able value.

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

/// Everything a client counts. Serializes to JSON; holds no secret.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Calls and picks, by service.
    pub services: BTreeMap<String, ServiceStats>,
    /// How the lists of endpoints fare.
    pub cache: CacheStats,
    /// How this program's registrations fare.
    pub registrations: Vec<RegistrationStats>,
    /// Background threads of this process, shared by all its clients.
    pub threads: usize,
}

/// What is counted for one service.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ServiceStats {
    /// What calls and picks came to.
    #[serde(flatten)]
    pub figures: CallFigures,
    /// How many retries the budget holds.
    pub budget: f64,
    /// Whether its list is older than it should be, because the registry does not answer.
    pub stale: bool,
    /// Each endpoint, by its address.
    pub endpoints: BTreeMap<String, EndpointStats>,
}

/// What is counted for one endpoint.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct EndpointStats {
    /// Uses that have ended.
    pub attempts: u64,
    /// Those among them that failed.
    pub failures: u64,
    /// Uses that have not ended yet.
    pub in_flight: u32,
    /// What a use takes, milliseconds (EWMA); `None` until one has ended.
    pub ewma_ms: Option<f64>,
    /// Share of uses that go well (EWMA), 0 to 1.
    pub success: f64,
    /// Whether it is out of rotation.
    pub ejected: bool,
}

pub(super) fn gather(core: &Core) -> Stats {
    let now = clock::now();
    let mut cache = core.catalog().stats();
    // A pick is a look-up too; it is counted once, as a pick.
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
