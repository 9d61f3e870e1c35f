//! A hanging endpoint is avoided before calls time out.

use std::time::Duration;

use plumline::clock::Tick;
use plumline::config::OutlierConfig;
use plumline::membership::{Member, Selection};
use plumline::resilience::{Outcome, Outlier};

use crate::simulate::{Behaviour, MILLI, World};

const SECOND: Duration = Duration::from_secs(1);
const TEN: Duration = Duration::from_secs(10);

/// A simulation after some time of calls.
fn warm(seed: u64) -> World {
    let mut world = World::new(&[1; 3], seed).ejecting();
    world.run(TEN, 100.0);
    world.run(SECOND, 0.001);
    world
}

fn is_suspect(selection: &Selection, member: &Member, now: Tick) -> bool {
    let view = selection.view();
    let index = view.candidates().iter().position(|slot| slot.endpoint() == &*member.endpoint).unwrap();
    view.is_suspect(index, now)
}

#[test]
fn endpoint_is_suspect_once_3_calls_hang_for_1_s() {
    let world = warm(1);
    let (member, now) = (world.member(0), world.now);
    let at = |millis: u32| now.after(MILLI * millis);
    member.state.begin(at(0));
    member.state.begin(at(0));
    assert!(!is_suspect(&world.selection, &member, at(60_000)), "two calls may just be slow");
    member.state.begin(at(0));
    assert!(!is_suspect(&world.selection, &member, at(1000)));
    assert!(is_suspect(&world.selection, &member, at(1001)));
}

#[test]
fn response_clears_suspicion_and_timeout_does_not() {
    let world = warm(2);
    let (member, now) = (world.member(0), world.now);
    let outlier = Outlier::new(&OutlierConfig::default());
    (0..5).for_each(|_| member.state.begin(now));
    let later = now.after(2 * SECOND);
    outlier.report(&world.service, &member, Outcome::Timeout, now, later);
    member.state.end();
    assert!(is_suspect(&world.selection, &member, later));
    outlier.report(&world.service, &member, Outcome::Status(503), now, later);
    member.state.end();
    assert_eq!(member.state.in_flight(), 3);
    assert!(!is_suspect(&world.selection, &member, later.after(SECOND)));
    assert!(is_suspect(&world.selection, &member, later.after(2 * SECOND)));
}

#[test]
fn slow_service_is_not_suspected() {
    let mut world = World::new(&[1; 3], 3).ejecting();
    (0..3).for_each(|server| world.behaviour[server] = Behaviour::Serves(600 * MILLI));
    world.run(12 * TEN, 10.0);
    let (member, now) = (world.member(0), world.now);
    (0..3).for_each(|_| member.state.begin(now));
    assert!(!is_suspect(&world.selection, &member, now.after(5 * SECOND)));
    assert!(is_suspect(&world.selection, &member, now.after(60 * SECOND)));
}

#[test]
fn disabled_suspicion_is_cleared_by_the_next_response() {
    let world = warm(7);
    let (member, now) = (world.member(0), world.now);
    (0..4).for_each(|_| member.state.begin(now));
    assert!(is_suspect(&world.selection, &member, now.after(2 * SECOND)));
    let mut config = OutlierConfig::default();
    config.stall = false;
    let off = Outlier::new(&config);
    off.report(&world.service, &member, Outcome::Status(200), now, now.after(2 * SECOND));
    member.state.end();
    assert!(!is_suspect(&world.selection, &member, now.after(TEN)));
}

#[test]
fn new_endpoint_uses_the_latency_of_its_service() {
    let fresh = World::new(&[1; 3], 4).ejecting();
    let (member, now) = (fresh.member(0), fresh.now);
    (0..9).for_each(|_| member.state.begin(now));
    assert!(!is_suspect(&fresh.selection, &member, now.after(6 * TEN)), "nobody knows what is slow here");

    let mut known = warm(4);
    known.add(Behaviour::Serves(10 * MILLI));
    let (member, now) = (known.member(3), known.now);
    (0..3).for_each(|_| member.state.begin(now));
    assert!(is_suspect(&known.selection, &member, now.after(2 * SECOND)));
}

#[test]
fn suspect_gets_no_calls_while_others_are_usable() {
    for seed in 0..5 {
        for name in ["p2c_ewma", "round_robin", "random"] {
            let mut world = World::new(&[1; 3], seed).ejecting().balanced_by(name);
            world.run(TEN, 100.0);
            // Nothing times out here: only suspicion diverts the calls.
            world.behaviour[1] = Behaviour::Hangs(100 * TEN);
            let hanging = world.run(2 * SECOND, 100.0)[1];
            assert!((3..=110).contains(&hanging), "{name}: {hanging}");
            let after = world.run(3 * TEN, 100.0);
            assert_eq!(after[1], 0, "{name}");
            assert!(after[0] > 1000 && after[2] > 1000, "{name}: {after:?}");
        }
    }
}

#[test]
fn hanging_endpoint_loses_its_latency_advantage() {
    for seed in 0..20 {
        let mut world = World::new(&[1; 3], seed).ejecting();
        world.run(TEN, 100.0);
        world.behaviour = vec![Behaviour::Serves(300 * MILLI); 3];
        world.behaviour[0] = Behaviour::Hangs(100 * TEN);
        // By its former latency it would get half of them; in this second no endpoint is suspect.
        let hanging = world.run(SECOND, 30.0)[0];
        assert!((3..=10).contains(&hanging), "seed {seed}: {hanging}");
    }
}

#[test]
fn long_calls_do_not_reduce_the_share() {
    for seed in 0..5 {
        let mut world = World::new(&[1; 2], seed).ejecting();
        world.run(TEN, 100.0);
        for server in 0..2 {
            (0..4).for_each(|_| world.member(server).state.begin(world.now));
        }
        let picks = world.run(TEN, 200.0);
        assert!(picks.iter().all(|picks| *picks > 600), "seed {seed}: {picks:?}");
    }
}

#[test]
fn returned_endpoint_is_not_suspect_for_old_calls() {
    let world = warm(6);
    let (member, now) = (world.member(0), world.now);
    (0..5).for_each(|_| member.state.begin(now));
    let later = now.after(2 * SECOND);
    let outlier = Outlier::new(&OutlierConfig::default());
    for _ in 0..2 {
        outlier.report(&world.service, &member, Outcome::Timeout, now, later);
        member.state.end();
    }
    assert!(member.state.is_ejected());
    let back = later.after(60 * TEN);
    world.service.readmit_due(back);
    assert!(!member.state.is_ejected() && member.state.in_flight() == 3);
    assert!(!is_suspect(&world.selection, &member, back));
    assert!(is_suspect(&world.selection, &member, back.after(2 * SECOND)), "it hangs still");
}

#[test]
fn calls_continue_when_all_endpoints_hang() {
    let mut world = warm(5);
    (0..3).for_each(|server| world.behaviour[server] = Behaviour::Hangs(100 * TEN));
    let picks = world.run(TEN, 100.0);
    assert!(picks.iter().sum::<u64>() > 900 && picks.iter().all(|picks| *picks > 100), "{picks:?}");
}
