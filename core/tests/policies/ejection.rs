//! Who is taken out of rotation, for how long, and how it comes back.

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

/// A service, its rules, and a clock that is moved by hand.
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
fn a_success_starts_the_count_anew_and_what_says_nothing_does_not() {
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
fn a_plea_for_patience_ejects_nobody() {
    let bench = Bench::new(3);
    bench.reports(0, Outcome::Status(429), 100);
    bench.reports(0, Outcome::Status(501), 100);
    assert_eq!(bench.standing(0), RotationStatus::Trusted);
}

#[test]
fn half_stay_in_and_never_is_the_last_one_ejected() {
    for (endpoints, may_go) in [(1, 0), (2, 1), (3, 1), (4, 2), (6, 3), (7, 3)] {
        let bench = Bench::new(endpoints);
        (0..endpoints).for_each(|index| bench.reports(index, Outcome::Refused, 9));
        assert_eq!(bench.service.ejected().len(), may_go, "of {endpoints}");
        assert_eq!(bench.usable(), endpoints - may_go);
    }
}

#[test]
fn endpoints_that_get_no_calls_anyway_do_not_make_room_for_ejections() {
    let bench = Bench::new(0);
    let mut unhealthy = Endpoint::new("orders", "127.0.0.1".parse().unwrap(), 999);
    unhealthy.healthy = false;
    let unhealthy = ListedEndpoint { endpoint: Arc::new(unhealthy), unconfirmed: false };
    bench.service.replace(vec![listed(0, 1), listed(1, 0), listed(2, 0), unhealthy]);
    (0..4).for_each(|index| bench.reports(index, Outcome::Refused, 9));
    assert!(bench.service.ejected().is_empty());
}

#[test]
fn an_ejection_ends_by_itself_on_trial_where_one_failure_is_enough() {
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
fn a_success_on_trial_clears_it() {
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
fn ejections_grow_to_five_minutes_and_calm_makes_up_for_them() {
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
fn what_began_before_the_return_says_nothing_after_it() {
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
fn what_cannot_be_connected_to_is_probed_in_the_background_after_1_2_4_to_30_seconds() {
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
fn what_answered_badly_is_probed_by_one_safe_call_at_a_time() {
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
fn a_probe_that_is_never_heard_of_again_keeps_nobody_from_trying() {
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
fn a_late_probe_says_nothing_of_a_later_ejection() {
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
fn a_probe_goes_only_where_the_call_may_go() {
    let mut bench = Bench::new(3);
    bench.eject(0, Outcome::Reset);
    bench.wait(SECOND);
    let other = Filter { query: plumline::Query::new("orders").version("v2"), callable: true };
    assert!(bench.outlier.claim_call_probe(&bench.service, &other, bench.now).is_none());
    assert!(bench.call_probe().is_some());
}

#[test]
fn being_registered_anew_is_worth_a_probe_at_once() {
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
fn being_listed_again_is_no_amnesty_but_worth_a_probe_at_once() {
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
fn when_the_list_shrinks_those_return_who_had_the_least_time_left() {
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
fn a_failed_pick_is_probed_in_the_background() {
    let bench = Bench::new(3);
    let ejection = bench.eject(0, Outcome::Reported(false));
    assert_eq!((ejection.cause, ejection.cause.probed_by()), (Cause::Reported, ProbeKind::Connect));
}

#[test]
fn the_only_endpoint_of_a_version_is_asked_though_it_is_out_and_back_once_it_answers() {
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
fn threads_that_report_at_once_leave_half_of_them_in() {
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
fn switched_off_it_ejects_nobody() {
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
fn a_refusing_endpoint_costs_a_handful_of_calls_and_is_back_within_seconds() {
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
fn a_failing_endpoint_is_back_with_half_its_share_ten_seconds_after_a_probe_finds_it_well() {
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

/// The laws, checked after every step of every history.
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
