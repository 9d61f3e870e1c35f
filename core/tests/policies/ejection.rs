//! Which endpoints are ejected, for how long, and how they return.

use std::sync::Arc;
use std::time::Duration;

use plumline::Endpoint;
use plumline::clock::Tick;
use plumline::config::OutlierConfig;
use plumline::membership::{
    Cause, Ejection, Filter, ListedEndpoint, Member, ProbeKind, RotationStatus, Service,
};
use plumline::resilience::{Outcome, Outlier, OutlierDecision, Probe};
use proptest::prelude::*;

use crate::simulate::{Behaviour, MILLI, World, listed, seeded, share};

const SECOND: Duration = Duration::from_secs(1);

/// A service, its rules, and a manual clock.
struct Bench {
    service: Arc<Service>,
    outlier: Outlier,
    now: Tick,
}

impl Bench {
    fn new(endpoints: usize) -> Bench {
        let service = Service::new("orders");
        service.replace((0..endpoints).map(|n| listed(n, 1)).collect());
        service.selection(&filter());
        let outlier = Outlier::new(&OutlierConfig::default());
        Bench { service, outlier, now: Tick::from_nanos(1_000_000_000) }
    }

    fn wait(&mut self, wait: Duration) {
        self.now = self.now.after(wait);
    }

    fn member(&self, index: usize) -> Member {
        self.service.snapshot().members[index].clone()
    }

    fn standing(&self, index: usize) -> RotationStatus {
        self.member(index).state.standing()
    }

    fn report(&self, index: usize, outcome: Outcome) -> OutlierDecision {
        self.outlier.report(&self.service, &self.member(index), outcome, self.now, self.now)
    }

    fn reports(&self, index: usize, outcome: Outcome, times: usize) {
        for _ in 0..times {
            self.report(index, outcome);
        }
    }

    fn eject(&self, index: usize, outcome: Outcome) -> Ejection {
        self.reports(index, outcome, 5);
        self.member(index).state.ejection().expect("five failures eject")
    }

    fn usable(&self) -> usize {
        self.service.selection(&filter()).view().len()
    }

    fn background_probes(&self) -> Vec<Probe> {
        self.outlier.look_after(&self.service, self.now)
    }

    fn call_probe(&self) -> Option<Probe> {
        self.outlier.claim_call_probe(&self.service, &filter(), self.now)
    }
}

fn filter() -> Filter {
    Filter { query: "orders".into(), callable: true }
}

#[test]
fn two_connect_errors_or_timeouts_in_a_row_eject() {
    for outcomes in [[Outcome::Refused; 2], [Outcome::Timeout; 2], [Outcome::Timeout, Outcome::Refused]] {
        let bench = Bench::new(3);
        assert_eq!(bench.report(0, outcomes[0]), OutlierDecision::Unchanged);
        assert!(matches!(bench.report(0, outcomes[1]), OutlierDecision::Ejected(_)));
        assert_eq!((bench.standing(0), bench.usable()), (RotationStatus::Ejected, 2));
    }
}

#[test]
fn five_failures_of_any_kind_in_a_row_eject() {
    let bench = Bench::new(3);
    let mixed = [Outcome::Status(500), Outcome::Refused, Outcome::Reset, Outcome::Timeout];
    for outcome in mixed {
        assert_eq!(bench.report(0, outcome), OutlierDecision::Unchanged);
    }
    assert!(matches!(bench.report(0, Outcome::BadAnswer), OutlierDecision::Ejected(_)));
}

#[test]
fn success_resets_the_count_and_neutral_does_not() {
    let bench = Bench::new(3);
    bench.reports(0, Outcome::Status(503), 4);
    bench.report(0, Outcome::Status(404));
    bench.reports(0, Outcome::Status(503), 4);
    bench.reports(0, Outcome::Neutral, 3);
    assert_eq!(bench.standing(0), RotationStatus::Trusted);
    bench.report(0, Outcome::Status(503));
    assert_eq!(bench.standing(0), RotationStatus::Ejected);
}

#[test]
fn status_429_ejects_no_endpoint() {
    let bench = Bench::new(3);
    bench.reports(0, Outcome::Status(429), 100);
    bench.reports(0, Outcome::Status(501), 100);
    assert_eq!(bench.standing(0), RotationStatus::Trusted);
}

#[test]
fn at_most_half_is_ejected_and_never_the_last() {
    for (endpoints, may_go) in [(1, 0), (2, 1), (3, 1), (4, 2), (6, 3), (7, 3)] {
        let bench = Bench::new(endpoints);
        (0..endpoints).for_each(|index| bench.reports(index, Outcome::Refused, 9));
        assert_eq!(bench.service.ejected().len(), may_go, "of {endpoints}");
        assert_eq!(bench.usable(), endpoints - may_go);
    }
}

#[test]
fn unusable_endpoints_do_not_count_for_the_limit() {
    let bench = Bench::new(0);
    let mut unhealthy = Endpoint::new("orders", "127.0.0.1".parse().unwrap(), 999);
    unhealthy.healthy = false;
    let unhealthy = ListedEndpoint { endpoint: Arc::new(unhealthy), unconfirmed: false };
    bench.service.replace(vec![listed(0, 1), listed(1, 0), listed(2, 0), unhealthy]);
    (0..4).for_each(|index| bench.reports(index, Outcome::Refused, 9));
    assert!(bench.service.ejected().is_empty());
}

#[test]
fn ejection_expires_into_trial_with_one_failure() {
    let mut bench = Bench::new(3);
    assert_eq!(bench.eject(0, Outcome::Status(500)).until, bench.now.after(30 * SECOND));
    bench.wait(29 * SECOND);
    assert!(bench.background_probes().is_empty());
    assert_eq!(bench.standing(0), RotationStatus::Ejected);
    bench.wait(SECOND);
    assert!(bench.background_probes().is_empty());
    assert_eq!((bench.standing(0), bench.usable()), (RotationStatus::OnTrial, 3));
    let OutlierDecision::Ejected(again) = bench.report(0, Outcome::Status(500)) else {
        panic!("was on trial")
    };
    assert_eq!((again.multiplier, again.until), (2, bench.now.after(60 * SECOND)));
}

#[test]
fn success_on_trial_clears_the_endpoint() {
    let mut bench = Bench::new(3);
    bench.eject(0, Outcome::Status(500));
    bench.wait(30 * SECOND);
    assert!(bench.background_probes().is_empty());
    bench.report(0, Outcome::Status(200));
    assert_eq!(bench.standing(0), RotationStatus::Trusted);
    bench.reports(0, Outcome::Status(500), 4);
    assert_eq!(bench.standing(0), RotationStatus::Trusted);
}

#[test]
fn ejections_grow_to_5_min_and_shrink_when_calm() {
    let mut bench = Bench::new(3);
    bench.eject(0, Outcome::Status(500));
    for expected in 2..=12u32 {
        bench.wait(300 * SECOND);
        assert!(bench.background_probes().is_empty());
        let OutlierDecision::Ejected(again) = bench.report(0, Outcome::Reset) else { panic!("was on trial") };
        assert_eq!(again.multiplier, expected);
        assert_eq!(again.until.since(bench.now), (30 * SECOND * expected).min(300 * SECOND));
    }
    bench.wait(300 * SECOND);
    assert!(bench.background_probes().is_empty());
    bench.report(0, Outcome::Status(200));
    bench.wait(25 * SECOND);
    bench.report(0, Outcome::Status(500));
    bench.wait(85 * SECOND);
    assert_eq!(bench.eject(0, Outcome::Status(500)).multiplier, 12 - 2 - 8 + 1);
}

#[test]
fn attempts_begun_before_the_return_are_ignored() {
    let mut bench = Bench::new(3);
    let began = bench.now;
    bench.eject(0, Outcome::Timeout);
    bench.wait(SECOND);
    let probe = bench.call_probe().unwrap();
    assert!(bench.outlier.probed(&bench.service, &probe, Outcome::Status(200), bench.now));
    bench.wait(SECOND);
    bench.outlier.report(&bench.service, &bench.member(0), Outcome::Timeout, began, bench.now);
    assert_eq!(bench.standing(0), RotationStatus::OnTrial);
}

#[test]
fn connect_failures_are_probed_after_1_2_4_to_30_s() {
    let mut bench = Bench::new(3);
    let ejected_at = bench.now;
    // The longest ejection, so that only probes end it.
    bench.member(0).state.penalty.set(9.0, bench.now);
    assert_eq!(bench.eject(0, Outcome::Refused).cause, Cause::Connect);
    let mut dues = Vec::new();
    while bench.now < ejected_at.after(100 * SECOND) {
        bench.wait(100 * MILLI);
        assert!(bench.call_probe().is_none(), "no call is risked on it");
        for probe in bench.background_probes() {
            assert_eq!(probe.kind, ProbeKind::Connect);
            dues.push(bench.now.since(ejected_at).as_secs());
            assert!(!bench.outlier.probed(&bench.service, &probe, Outcome::Refused, bench.now));
        }
    }
    assert_eq!(dues, [1, 3, 7, 15, 31, 61, 91]);
}

#[test]
fn failed_responses_are_probed_by_one_safe_call() {
    let mut bench = Bench::new(4);
    assert_eq!(bench.eject(0, Outcome::Status(500)).cause, Cause::Answers);
    assert!(bench.call_probe().is_none(), "not within the first second");
    bench.wait(SECOND);
    assert!(bench.background_probes().is_empty());
    let probe = bench.call_probe().unwrap();
    assert_eq!((probe.kind, probe.timeout), (ProbeKind::Call, SECOND));
    assert!(bench.call_probe().is_none(), "another call is at it");
    assert!(bench.outlier.probed(&bench.service, &probe, Outcome::Status(404), bench.now));
    assert_eq!((bench.standing(0), bench.usable()), (RotationStatus::OnTrial, 4));
    assert!(bench.call_probe().is_none());
}

#[test]
fn lost_probe_does_not_block_the_next() {
    let mut bench = Bench::new(3);
    bench.eject(0, Outcome::Reset);
    bench.wait(SECOND);
    drop(bench.call_probe().unwrap());
    bench.wait(4 * SECOND);
    let probe = bench.call_probe().unwrap();
    bench.outlier.probed(&bench.service, &probe, Outcome::Neutral, bench.now);
    assert!(bench.call_probe().is_some(), "a cancelled one is made up for at once");
}

#[test]
fn late_probe_does_not_end_a_later_ejection() {
    let mut bench = Bench::new(3);
    bench.eject(0, Outcome::Reset);
    bench.wait(SECOND);
    let late = bench.call_probe().unwrap();
    bench.wait(29 * SECOND);
    assert!(bench.background_probes().is_empty());
    bench.report(0, Outcome::Reset);
    let later = bench.member(0).state.ejection();
    for outcome in [Outcome::Status(200), Outcome::Timeout, Outcome::Neutral] {
        assert!(!bench.outlier.probed(&bench.service, &late, outcome, bench.now));
        assert_eq!(bench.member(0).state.ejection(), later);
    }
}

#[test]
fn probe_respects_the_filter_of_the_call() {
    let mut bench = Bench::new(3);
    bench.eject(0, Outcome::Reset);
    bench.wait(SECOND);
    let other = Filter { query: plumline::Query::new("orders").version("v2"), callable: true };
    assert!(bench.outlier.claim_call_probe(&bench.service, &other, bench.now).is_none());
    assert!(bench.call_probe().is_some());
}

#[test]
fn new_generation_is_probed_at_once() {
    let mut bench = Bench::new(3);
    bench.eject(0, Outcome::Refused);
    bench.wait(MILLI);
    let restarted = |generation: &str| {
        let mut list: Vec<ListedEndpoint> = (0..3).map(|n| listed(n, 1)).collect();
        Arc::make_mut(&mut list[0].endpoint).generation = generation.into();
        list
    };
    assert!(bench.background_probes().is_empty());
    bench.service.replace(restarted("a"));
    let probe = bench.background_probes().pop().unwrap();
    assert!(bench.outlier.probed(&bench.service, &probe, Outcome::Reported(true), bench.now));
    assert_eq!(bench.standing(0), RotationStatus::OnTrial);
    bench.service.replace(restarted("b"));
    assert!(bench.background_probes().is_empty(), "only who is out is probed");
}

#[test]
fn relisted_endpoint_stays_ejected_and_is_probed_at_once() {
    let mut bench = Bench::new(4);
    let was = bench.eject(0, Outcome::Refused);
    bench.service.replace((1..4).map(|n| listed(n, 1)).collect());
    assert!(bench.service.ejected().is_empty());
    bench.wait(MILLI);
    bench.service.replace((0..4).map(|n| listed(n, 1)).collect());
    let again = bench.member(0).state.ejection().unwrap();
    assert_eq!((again.cause, again.since, again.until), (was.cause, was.since, was.until));
    assert_eq!(bench.background_probes().len(), 1);
}

#[test]
fn shrinking_list_returns_the_nearest_ejections() {
    let mut bench = Bench::new(6);
    for index in 0..3 {
        bench.eject(index, Outcome::Reset);
        bench.wait(SECOND);
    }
    bench.service.replace((0..4).map(|n| listed(n, 1)).collect());
    assert_eq!((bench.standing(0), bench.standing(1)), (RotationStatus::OnTrial, RotationStatus::Ejected));
    bench.service.replace((1..3).map(|n| listed(n, 1)).collect());
    assert_eq!((bench.standing(0), bench.standing(1)), (RotationStatus::OnTrial, RotationStatus::Ejected));
    bench.service.replace(vec![listed(2, 1)]);
    assert_eq!((bench.standing(0), bench.usable()), (RotationStatus::OnTrial, 1));
}

#[test]
fn failed_pick_is_probed_in_the_background() {
    let bench = Bench::new(3);
    let ejection = bench.eject(0, Outcome::Reported(false));
    assert_eq!((ejection.cause, ejection.cause.probed_by()), (Cause::Reported, ProbeKind::Connect));
}

#[test]
fn only_endpoint_of_a_version_is_called_while_ejected() {
    let mut bench = Bench::new(4);
    let mut list: Vec<ListedEndpoint> = (0..4).map(|n| listed(n, 1)).collect();
    Arc::make_mut(&mut list[0].endpoint).version = "v2".into();
    bench.service.replace(list);
    let v2 = Filter { query: plumline::Query::new("orders").version("v2"), callable: true };
    let selection = bench.service.selection(&v2);
    let set_out_before = bench.now;
    bench.eject(0, Outcome::Status(500));
    assert_eq!((selection.view().len(), selection.view().last_resort), (1, true));
    bench.wait(MILLI);
    let late = Outcome::Status(200);
    bench.outlier.report(&bench.service, &bench.member(0), late, set_out_before, bench.now);
    assert_eq!(bench.standing(0), RotationStatus::Ejected);
    bench.report(0, Outcome::Status(200));
    assert_eq!((bench.standing(0), selection.view().last_resort), (RotationStatus::OnTrial, false));
}

#[test]
fn concurrent_reports_leave_half_in_rotation() {
    let bench = Bench::new(8);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let bench = &bench;
            scope.spawn(move || {
                for n in 0..2000 {
                    bench.report((n + thread * 3) % 8, Outcome::Refused);
                    assert!(bench.service.ejected().len() <= 4);
                    assert!(bench.usable() >= 4);
                }
            });
        }
    });
    assert_eq!((bench.service.ejected().len(), bench.usable()), (4, 4));
}

#[test]
fn disabled_ejection_ejects_no_endpoint() {
    let bench = Bench::new(3);
    let mut config = OutlierConfig::default();
    config.enabled = false;
    let off = Outlier::new(&config);
    (0..50).for_each(|_| {
        assert_eq!(
            off.report(&bench.service, &bench.member(0), Outcome::Refused, bench.now, bench.now),
            OutlierDecision::Unchanged
        );
    });
}

#[test]
fn refusing_endpoint_costs_few_calls_and_returns_soon() {
    for seed in 0..5 {
        let mut world = World::new(&[1; 10], seed).ejecting();
        world.run(10 * SECOND, 400.0);
        world.behaviour[9] = Behaviour::Refuses;
        let refused = world.run(60 * SECOND, 400.0)[9];
        assert!(refused <= 6, "{refused}");
        world.behaviour[9] = Behaviour::Serves(10 * MILLI);
        world.run(30 * SECOND, 400.0);
        let back = share(&world.run(10 * SECOND, 400.0), 9);
        assert!(back > 0.05, "{back}");
    }
}

#[test]
fn failing_endpoint_has_half_its_share_10_s_after_a_probe() {
    for seed in 0..5 {
        let mut world = World::new(&[1; 10], seed).ejecting().with(9, Behaviour::Fails(MILLI));
        world.run(60 * SECOND, 400.0);
        assert!(world.member(9).state.is_ejected());
        world.behaviour[9] = Behaviour::Serves(10 * MILLI);
        while world.member(9).state.is_ejected() {
            world.run(100 * MILLI, 400.0);
        }
        let back = share(&world.run(10 * SECOND, 400.0), 9);
        assert!(back > 0.05, "{back}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Report(usize, u8),
    Wait(u16),
    List(Vec<(usize, u32, bool)>),
    Probe(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let entry = (0..8usize, 0..3u32, any::<bool>());
    let step = prop_oneof![
        12 => (0..8usize, 0..6u8).prop_map(|(index, outcome)| Step::Report(index, outcome)),
        2 => any::<u16>().prop_map(Step::Wait),
        1 => prop::collection::vec(entry, 0..8).prop_map(Step::List),
        2 => any::<bool>().prop_map(Step::Probe),
    ];
    prop::collection::vec(step, 0..200)
}

/// The invariants, checked after every step.
fn check(bench: &Bench) -> Result<(), TestCaseError> {
    let snapshot = bench.service.snapshot();
    let healthy: Vec<&Member> = snapshot.members.iter().filter(|m| m.endpoint.healthy).collect();
    let weighted: Vec<&Member> = healthy.iter().copied().filter(|m| m.endpoint.weight > 0).collect();
    let electorate = if weighted.is_empty() { healthy } else { weighted };
    let out = electorate.iter().filter(|member| member.state.is_ejected()).count();
    prop_assert!(out <= electorate.len() / 2, "{out} of {} are out", electorate.len());
    let view = bench.service.selection(&filter()).view().candidates().to_vec();
    prop_assert_eq!(view.len(), electorate.len() - out);
    prop_assert!(view.iter().all(|slot| !slot.member.state.is_ejected()));
    for member in &snapshot.members {
        prop_assert_eq!(member.state.is_ejected(), member.state.ejection().is_some());
        if let Some(ejection) = member.state.ejection() {
            prop_assert!(bench.service.wake_at() <= ejection.until, "somebody must wake it");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(seeded())]

    #[test]
    fn whatever_happens_half_stay_in_and_who_is_out_comes_back(steps in steps()) {
        let outcomes = [
            Outcome::Refused, Outcome::Timeout, Outcome::Status(500), Outcome::Reset,
            Outcome::Status(200), Outcome::Neutral,
        ];
        let mut bench = Bench::new(6);
        for step in steps {
            match step {
                Step::Report(index, outcome) if index < bench.service.snapshot().members.len() => {
                    bench.report(index, outcomes[usize::from(outcome)]);
                }
                Step::Report(..) => {}
                Step::Wait(millis) => bench.wait(MILLI * u32::from(millis)),
                Step::List(entries) => {
                    let entry = |(index, weight, healthy)| {
                        let mut entry = listed(index, weight);
                        Arc::make_mut(&mut entry.endpoint).healthy = healthy;
                        entry
                    };
                    bench.service.replace(entries.into_iter().map(entry).collect());
                }
                Step::Probe(well) => {
                    let outcome = if well { Outcome::Reported(true) } else { Outcome::Timeout };
                    for probe in bench.background_probes().into_iter().chain(bench.call_probe()) {
                        bench.outlier.probed(&bench.service, &probe, outcome, bench.now);
                    }
                }
            }
            check(&bench)?;
        }
        bench.wait(300 * SECOND);
        let _ = bench.background_probes();
        prop_assert!(bench.service.ejected().is_empty());
        prop_assert_eq!(bench.service.wake_at(), Tick::NEVER);
    }
}
