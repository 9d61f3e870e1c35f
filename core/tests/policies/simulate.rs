//! A service in virtual time: endpoints that queue, fail, refuse or hang, and one client that picks and reports.
//!
//! Calls come at random moments (a Poisson process) and are answered after an exponentially distributed
//! service time, in turn, by a few workers per endpoint. One seed is one history.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use plumline::balance::{self, Balancer, Context, Draw, ewma};
use plumline::clock::Tick;
use plumline::config::OutlierConfig;
use plumline::membership::{EndpointState, Filter, ListedEndpoint, Member, ProbeKind, Selection, Service};
use plumline::resilience::{Outcome, Outlier, Probe};
use plumline::{Endpoint, Query};
use proptest::test_runner::{Config as ProptestConfig, RngSeed};

pub(crate) const MILLI: Duration = Duration::from_millis(1);
const WORKERS: usize = 8;
const FIRST_PORT: u16 = 1000;

/// How an endpoint handles a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Behaviour {
    /// Answers 200 after this mean time, plus the time in its queue.
    Serves(Duration),
    /// The same, but this share of the answers is a 503 after a millisecond.
    Errs(Duration, f64),
    /// Answers 503 after this time.
    Fails(Duration),
    /// Refuses connections.
    Refuses,
    /// Does not answer; the attempt ends after this time.
    Hangs(Duration),
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct End {
    at: u64,
    began: u64,
    server: usize,
    outcome: u16,
}

/// One client and one service.
pub(crate) struct World {
    pub(crate) service: Arc<Service>,
    pub(crate) selection: Arc<Selection>,
    pub(crate) now: Tick,
    pub(crate) behaviour: Vec<Behaviour>,
    /// Calls that ended in a failure.
    pub(crate) failures: u64,
    balancer: Arc<dyn Balancer>,
    outlier: Outlier,
    draw: Draw,
    chance: Draw,
    busy_until: Vec<[u64; WORKERS]>,
    ends: BinaryHeap<Reverse<End>>,
}

impl World {
    /// Endpoints with these weights, all serving in 10 ms, balanced by `p2c_ewma`, without ejection.
    pub(crate) fn new(weights: &[u32], seed: u64) -> World {
        let service = Service::new("orders");
        service.replace(weights.iter().enumerate().map(|(n, weight)| listed(n, *weight)).collect());
        let selection = service.selection(&Filter { query: Query::new("orders"), callable: true });
        let mut outlier = OutlierConfig::default();
        (outlier.enabled, outlier.stall) = (false, false);
        World {
            service,
            selection,
            now: Tick::from_nanos(1_000_000_000),
            behaviour: vec![Behaviour::Serves(10 * MILLI); weights.len()],
            failures: 0,
            balancer: by_name("p2c_ewma"),
            outlier: Outlier::new(&outlier),
            draw: Draw::new(seed),
            chance: Draw::new(seed ^ 0x5eed),
            busy_until: vec![[0; WORKERS]; weights.len()],
            ends: BinaryHeap::new(),
        }
    }

    pub(crate) fn balanced_by(mut self, name: &str) -> World {
        self.balancer = by_name(name);
        self
    }

    /// With ejection and suspicion as by default.
    pub(crate) fn ejecting(mut self) -> World {
        self.outlier = Outlier::new(&OutlierConfig::default());
        self
    }

    pub(crate) fn with(mut self, server: usize, behaviour: Behaviour) -> World {
        self.behaviour[server] = behaviour;
        self
    }

    /// Adds an endpoint.
    pub(crate) fn add(&mut self, behaviour: Behaviour) {
        self.behaviour.push(behaviour);
        self.busy_until.push([0; WORKERS]);
        self.service.replace((0..self.behaviour.len()).map(|n| listed(n, 1)).collect());
    }

    /// Lists only these endpoints.
    pub(crate) fn list(&mut self, servers: impl IntoIterator<Item = usize>) {
        self.service.replace(servers.into_iter().map(|n| listed(n, 1)).collect());
    }

    pub(crate) fn member(&self, server: usize) -> Member {
        let port = FIRST_PORT + server as u16;
        self.service.snapshot().members.iter().find(|m| m.endpoint.port == port).unwrap().clone()
    }

    /// Makes calls at this rate for this time. Returns the number of calls per endpoint, without probes.
    pub(crate) fn run(&mut self, lasting: Duration, per_second: f64) -> Vec<u64> {
        let mut picks = vec![0; self.behaviour.len()];
        let end = self.now.after(lasting);
        loop {
            let gap = self.exponential(Duration::from_secs_f64(1.0 / per_second));
            let next = self.now.after(gap);
            self.finish_until(next.min(end));
            if next >= end {
                self.now = end;
                return picks;
            }
            self.now = next;
            self.look_after();
            if let Some(server) = self.call() {
                picks[server] += 1;
            }
        }
    }

    /// Makes one call and returns its endpoint.
    fn call(&mut self) -> Option<usize> {
        let filter = &self.selection.filter;
        if let Some(probe) = self.outlier.claim_call_probe(&self.service, filter, self.now) {
            self.probe(&probe);
        }
        let view = self.selection.view();
        let mut context = Context { now: self.now, draw: &mut self.draw, tried: &[] };
        let index = self.balancer.choose(&view, &mut context)?;
        let member = &view.candidates()[index].member;
        member.state.begin(self.now);
        let server = number_of(&member.endpoint);
        drop(view);
        let (after, outcome) = self.serve(server);
        let (at, began) = (self.now.after(after).nanos(), self.now.nanos());
        self.ends.push(Reverse(End { at, began, server, outcome }));
        Some(server)
    }

    fn finish_until(&mut self, until: Tick) {
        while self.ends.peek().is_some_and(|Reverse(end)| end.at <= until.nanos()) {
            let Reverse(end) = self.ends.pop().unwrap();
            self.now = Tick::from_nanos(end.at);
            let port = FIRST_PORT + end.server as u16;
            let snapshot = self.service.snapshot();
            let Some(member) = snapshot.members.iter().find(|m| m.endpoint.port == port) else { continue };
            let (outcome, began) = (decoded(end.outcome), Tick::from_nanos(end.began));
            let well = !outcome.is_failure();
            self.failures += u64::from(!well);
            ewma::observe(&self.selection.view(), &member.state, self.now.since(began), well, self.now);
            self.outlier.report(&self.service, member, outcome, began, self.now);
            member.state.end();
        }
    }

    fn look_after(&mut self) {
        for probe in self.outlier.look_after(&self.service, self.now) {
            assert_eq!(probe.kind, ProbeKind::Connect);
            self.probe(&probe);
        }
    }

    /// Executes a probe. It takes no virtual time.
    fn probe(&mut self, probe: &Probe) {
        let behaviour = self.behaviour[number_of(&probe.member.endpoint)];
        let outcome = match (behaviour, probe.kind) {
            (Behaviour::Refuses, _) => Outcome::Refused,
            (Behaviour::Serves(_) | Behaviour::Errs(..), _) => Outcome::Status(200),
            (Behaviour::Fails(_) | Behaviour::Hangs(_), ProbeKind::Connect) => Outcome::Reported(true),
            (Behaviour::Fails(_), ProbeKind::Call) => Outcome::Status(503),
            (Behaviour::Hangs(_), ProbeKind::Call) => Outcome::Timeout,
        };
        self.outlier.probed(&self.service, probe, outcome, self.now);
    }

    fn serve(&mut self, server: usize) -> (Duration, u16) {
        match self.behaviour[server] {
            Behaviour::Errs(_, share) if self.chance.unit() < share => (MILLI, 503),
            Behaviour::Serves(mean) | Behaviour::Errs(mean, _) => (self.queue(server, mean), 200),
            Behaviour::Fails(after) => (after, 503),
            Behaviour::Refuses => (MILLI / 10, REFUSED),
            Behaviour::Hangs(timeout) => (timeout, TIMEOUT),
        }
    }

    fn queue(&mut self, server: usize, mean: Duration) -> Duration {
        let service_time = mean / 2 + self.exponential(mean / 2);
        let worker = self.busy_until[server].iter_mut().min().unwrap();
        let done = Tick::from_nanos((*worker).max(self.now.nanos())).after(service_time);
        *worker = done.nanos();
        done.since(self.now)
    }

    fn exponential(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(-(1.0 - self.chance.unit()).ln())
    }
}

const REFUSED: u16 = 0;
const TIMEOUT: u16 = 1;

fn decoded(outcome: u16) -> Outcome {
    match outcome {
        REFUSED => Outcome::Refused,
        TIMEOUT => Outcome::Timeout,
        status => Outcome::Status(status),
    }
}

pub(crate) fn listed(server: usize, weight: u32) -> ListedEndpoint {
    let mut endpoint = Endpoint::new("orders", "127.0.0.1".parse().unwrap(), FIRST_PORT + server as u16);
    endpoint.weight = weight;
    ListedEndpoint { endpoint: Arc::new(endpoint), unconfirmed: false }
}

/// The first choice of a new client.
pub(crate) fn first_pick(name: &str, service: &Service, seed: u64) -> usize {
    let selection = service.selection(&Filter { query: Query::new("orders"), callable: true });
    let (mut draw, tried): (Draw, [Arc<EndpointState>; 0]) = (Draw::new(seed), []);
    let mut context = Context { now: Tick::from_nanos(1), draw: &mut draw, tried: &tried };
    by_name(name).choose(&selection.view(), &mut context).unwrap()
}

/// Its index in the order of `listed`.
pub(crate) fn number_of(endpoint: &Endpoint) -> usize {
    usize::from(endpoint.port - FIRST_PORT)
}

/// A fixed seed, for reproducible runs.
pub(crate) fn seeded() -> ProptestConfig {
    ProptestConfig { rng_seed: RngSeed::Fixed(20_261_120), failure_persistence: None, ..Default::default() }
}

pub(crate) fn share(picks: &[u64], server: usize) -> f64 {
    picks[server] as f64 / picks.iter().sum::<u64>() as f64
}

/// The strategies that have a name.
pub const NAMES: [&str; 3] = ["p2c_ewma", "round_robin", "random"];

/// The strategy of this name in the configuration.
pub fn by_name(name: &str) -> Arc<dyn Balancer> {
    balance::of(serde_json::from_value(name.into()).unwrap())
}
