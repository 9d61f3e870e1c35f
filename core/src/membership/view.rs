//! What may be picked now: the usable endpoints of one selection, with a table to draw them by weight.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::{AliasTable, AtomicF64, EndpointState, Filter, Member, Owner, Recent, Snapshot, StallTimeout};
use crate::clock::Tick;
use crate::model::Endpoint;

/// The endpoints that may be picked. Never changed, only replaced.
#[derive(Debug)]
pub struct View {
    candidates: Vec<Candidate>,
    table: AliasTable,
    /// The selection's mean latency, kept over rebuilds.
    pub mean: Arc<MeanLatency>,
    service_latency: Arc<ServiceLatency>,
    /// What picks from it report to.
    pub owner: Option<Owner>,
    /// Whether these are out, and listed only because nothing else is there.
    pub last_resort: bool,
}

/// One endpoint that may be picked.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The endpoint and its cells.
    pub member: Member,
    /// Mean weight of the view over this one's: how much dearer one more call in flight makes it.
    pub load_factor: f64,
}

impl Candidate {
    /// The endpoint's record.
    pub fn endpoint(&self) -> &Endpoint {
        &self.member.endpoint
    }

    /// How many calls of ours it has not answered yet.
    pub fn in_flight(&self) -> u32 {
        self.member.state.in_flight()
    }

    /// Its latency as last seen; `None` until it has answered.
    pub fn latency(&self) -> Option<Duration> {
        self.member.state.latency.get().map(|(nanos, _)| Duration::from_nanos(nanos as u64))
    }
}

/// The mean latency of a selection's known endpoints, looked up by picks and refreshed now and then by reports.
#[derive(Debug)]
pub struct MeanLatency {
    /// Tells this selection from every other of the process, for per-thread counters.
    pub id: u64,
    /// Nanoseconds; 0 while no endpoint is known.
    pub latency: AtomicF64,
    /// How many endpoints it is the mean of.
    pub known: AtomicU32,
    /// When it was last worked out.
    pub at: AtomicU64,
}

impl Default for MeanLatency {
    fn default() -> MeanLatency {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        MeanLatency {
            id: NEXT.fetch_add(1, Relaxed),
            latency: AtomicF64::default(),
            known: AtomicU32::new(0),
            at: AtomicU64::new(0),
        }
    }
}

impl MeanLatency {
    /// A selection made later begins with what is known already, lest only its unknown endpoints look cheap.
    fn begin_with(&self, candidates: &[Candidate]) {
        if self.latency.get() > 0.0 {
            return;
        }
        let known: Vec<f64> =
            candidates.iter().filter_map(|slot| Some(slot.member.state.latency.get()?.0)).collect();
        if !known.is_empty() {
            self.latency.set(known.iter().sum::<f64>() / known.len() as f64);
            self.known.store(known.len() as u32, Relaxed);
        }
    }
}

/// How fast a service answers as a whole: what holds for an endpoint that has answered too little itself.
#[derive(Debug, Default)]
pub struct ServiceLatency {
    /// The latencies of its recent answers.
    pub answers: Recent,
    /// How long a crowd may hang on an endpoint of it.
    pub stall_timeout: StallTimeout,
}

impl ServiceLatency {
    /// How long a crowd may hang on one of its endpoints: as it has taught itself, or else the service.
    #[inline]
    pub fn stall_timeout_of(&self, state: &EndpointState) -> Option<Duration> {
        state.stall_timeout.get().or_else(|| self.stall_timeout.get())
    }
}

impl View {
    /// The view of a snapshot through a filter: what is healthy, not ejected, and has weight.
    pub(super) fn build(
        snapshot: &Snapshot,
        filter: &Filter,
        mean: Arc<MeanLatency>,
        service_latency: Arc<ServiceLatency>,
    ) -> View {
        let healthy: Vec<&Member> = snapshot
            .members
            .iter()
            .filter(|member| member.endpoint.healthy && filter.rejects(&member.endpoint).is_none())
            .collect();
        let mut usable: Vec<&Member> =
            healthy.iter().copied().filter(|member| !member.state.is_ejected()).collect();
        let last_resort = usable.is_empty() && !healthy.is_empty();
        if last_resort {
            usable = healthy;
        }
        weighted(&mut usable);
        let weights: Vec<u32> = usable.iter().map(|member| member.endpoint.weight).collect();
        let candidates = candidates(&usable, &weights);
        mean.begin_with(&candidates);
        View { candidates, table: AliasTable::new(&weights), mean, service_latency, owner: None, last_resort }
    }

    /// The same view with an owner.
    pub(super) fn owned_by(self, owner: Option<Owner>) -> View {
        View { owner, ..self }
    }

    /// How many endpoints may be picked.
    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    /// Whether none may.
    pub fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }

    /// The endpoints that may be picked.
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// Draws an index in proportion to weight. The view must not be empty.
    #[inline]
    pub fn draw(&self, random: u64) -> usize {
        self.table.draw(random)
    }

    /// Whether the endpoint at this index seems to have stopped answering: a crowd of calls hangs on it for
    /// longer than it, or the service where it is new, takes for its slowest answers.
    #[inline]
    pub fn is_suspect(&self, index: usize, now: Tick) -> bool {
        let state = &self.candidates[index].member.state;
        let Some(hanging) = state.hanging(now) else { return false };
        self.service_latency.stall_timeout_of(state).is_some_and(|stall_timeout| hanging > stall_timeout)
    }

    /// How long the endpoint at this index has left a crowd of calls without any answer, suspect or not yet; `None`
    /// where nobody is suspected.
    #[inline]
    pub fn unanswered(&self, index: usize, now: Tick) -> Option<Duration> {
        let state = &self.candidates[index].member.state;
        state.unanswered(now).filter(|_| self.service_latency.stall_timeout_of(state).is_some())
    }
}

/// Weight 0 takes an endpoint out, unless all have it.
pub(super) fn weighted(usable: &mut Vec<&Member>) {
    if usable.iter().any(|member| member.endpoint.weight > 0) {
        usable.retain(|member| member.endpoint.weight > 0);
    }
}

fn candidates(usable: &[&Member], weights: &[u32]) -> Vec<Candidate> {
    let counted = |weight: u32| f64::from(weight.max(1));
    let average = weights.iter().copied().map(counted).sum::<f64>() / usable.len().max(1) as f64;
    let slot = |member: &&Member| Candidate {
        member: Member::clone(member),
        load_factor: average / counted(member.endpoint.weight),
    };
    usable.iter().map(slot).collect()
}
