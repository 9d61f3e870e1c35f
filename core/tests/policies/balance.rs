//! The share of calls that each endpoint gets.

use std::sync::Arc;
use std::time::Duration;

use plumline::Query;
use plumline::balance::{Context, Draw};
use plumline::clock::Tick;
use plumline::membership::{EndpointState, Filter, Service, View};
use proptest::prelude::*;

use crate::simulate::{
    Behaviour, MILLI, NAMES, World, by_name, first_pick, listed, number_of, seeded, share,
};

const SECOND: Duration = Duration::from_secs(1);
const RATES: [f64; 4] = [10.0, 100.0, 400.0, 1000.0];
const SEEDS: [u64; 3] = [1, 2, 3];

fn everywhere(check: impl Fn(f64, u64)) {
    for rate in RATES {
        for seed in SEEDS {
            check(rate, seed);
        }
    }
}

#[test]
fn slow_endpoint_of_three_gets_one_percent() {
    everywhere(|rate, seed| {
        let mut world = World::new(&[1; 3], seed).with(2, Behaviour::Serves(100 * MILLI));
        world.run(30 * SECOND, rate);
        let slow = share(&world.run(300 * SECOND, rate), 2);
        assert!((0.001..0.03).contains(&slow), "{slow} at {rate}/s");
    });
}

#[test]
fn light_endpoint_keeps_its_share_at_any_load() {
    everywhere(|rate, seed| {
        let light = share(&World::new(&[9, 1], seed).run(200 * SECOND, rate), 1);
        assert!((0.05..0.30).contains(&light), "{light} at {rate}/s");
    });
}

#[test]
fn canary_among_nine_keeps_its_share_at_any_load() {
    everywhere(|rate, seed| {
        let weights = [10, 10, 10, 10, 10, 10, 10, 10, 10, 1];
        // Long enough that random variation of the share is below a quarter.
        let lasting = Duration::from_secs_f64(20_000.0 / rate);
        let canary = share(&World::new(&weights, seed).run(lasting, rate), 9);
        assert!((0.007..0.02).contains(&canary), "{canary} at {rate}/s");
    });
}

#[test]
fn fast_503_does_not_attract_calls() {
    everywhere(|rate, seed| {
        let mut world = World::new(&[1; 10], seed).with(9, Behaviour::Fails(MILLI));
        world.run(10 * SECOND, rate);
        let failing = share(&world.run(120 * SECOND, rate), 9);
        assert!(failing < 0.03, "{failing} at {rate}/s");
    });
}

#[test]
fn healed_endpoint_has_half_its_share_after_10_s() {
    for rate in RATES {
        // At ten calls per second its share is one call per second, so several clients are averaged.
        let of_many = (0..20).map(|seed| {
            let mut world = World::new(&[1; 10], seed).with(9, Behaviour::Fails(MILLI));
            world.run(60 * SECOND, rate);
            world.behaviour[9] = Behaviour::Serves(10 * MILLI);
            world.run(10 * SECOND, rate);
            share(&world.run(5 * SECOND, rate), 9)
        });
        let healed = of_many.sum::<f64>() / 20.0;
        assert!(healed > 0.05, "{healed} at {rate}/s");
    }
}

#[test]
fn new_endpoint_has_half_its_share_within_5_s() {
    for rate in [100.0, 400.0, 1000.0] {
        for seed in SEEDS {
            let mut world = World::new(&[1; 9], seed);
            world.run(20 * SECOND, rate);
            world.add(Behaviour::Serves(10 * MILLI));
            world.run(SECOND, rate);
            let new = share(&world.run(4 * SECOND, rate), 9);
            assert!(new > 0.05, "{new} at {rate}/s");
        }
    }
}

#[test]
fn random_errors_do_not_favor_a_slow_endpoint() {
    for rate in [100.0, 400.0] {
        let slow_share = |errors: f64| {
            let mut world = World::new(&[1; 3], 5)
                .with(0, Behaviour::Errs(10 * MILLI, errors))
                .with(1, Behaviour::Errs(10 * MILLI, errors))
                .with(2, Behaviour::Errs(100 * MILLI, errors));
            world.run(30 * SECOND, rate);
            share(&world.run(600 * SECOND, rate), 2)
        };
        let (without, with) = (slow_share(0.0), slow_share(0.001));
        assert!(with < without * 1.2, "{without} without, {with} with errors at {rate}/s");
    }
}

#[test]
fn formerly_slow_endpoint_is_called_again() {
    let mut world = World::new(&[1; 3], 4).with(2, Behaviour::Serves(500 * MILLI));
    world.run(60 * SECOND, 100.0);
    world.behaviour[2] = Behaviour::Serves(10 * MILLI);
    world.run(60 * SECOND, 100.0);
    let recovered = share(&world.run(60 * SECOND, 100.0), 2);
    assert!(recovered > 0.25, "{recovered}");
}

#[test]
fn first_picks_of_1000_new_clients_are_uniform() {
    let service = Service::new("orders");
    service.replace((0..10).map(|n| listed(n, 1)).collect());
    for name in NAMES {
        let mut counts = [0u32; 10];
        (0..1000).for_each(|seed| counts[first_pick(name, &service, seed)] += 1);
        let chi_squared: f64 = counts.iter().map(|n| (f64::from(*n) - 100.0).powi(2) / 100.0).sum();
        assert!(chi_squared < 21.67, "{name}: {chi_squared} is beyond 1 % for nine degrees, {counts:?}");
    }
}

#[test]
fn flapping_endpoint_keeps_the_other_shares_even() {
    for name in NAMES {
        let mut world = World::new(&[1; 8], 6).balanced_by(name);
        let mut total = [0; 8];
        for round in 0..400 {
            world.list(0..7 + round % 2);
            let picks = world.run(SECOND / 2, 400.0);
            (0..8).for_each(|server| total[server] += picks[server]);
        }
        let (most, least) = (total[..7].iter().max().unwrap(), total[..7].iter().min().unwrap());
        assert!(*most as f64 / *least as f64 <= 1.1, "{name}: {total:?}");
    }
}

#[test]
fn round_robin_takes_endpoints_in_turn() {
    let mut world = World::new(&[5, 1, 1], 7).balanced_by("round_robin");
    let picks = world.run(30 * SECOND, 100.0);
    assert!(picks.iter().max().unwrap() - picks.iter().min().unwrap() <= 1, "{picks:?}");
}

#[test]
fn random_follows_the_weights() {
    let picks = World::new(&[6, 3, 1, 0], 8).balanced_by("random").run(100 * SECOND, 1000.0);
    for (server, wanted) in [0.6, 0.3, 0.1, 0.0].into_iter().enumerate() {
        assert!((share(&picks, server) - wanted).abs() < 0.01, "{picks:?}");
    }
}

#[test]
fn late_selection_does_not_flock_to_unknown_endpoints() {
    let mut world = World::new(&[1; 3], 9).with(2, Behaviour::Hangs(SECOND));
    world.list([0, 1]);
    world.run(5 * SECOND, 100.0);
    world.list([0, 1, 2]);
    let later = world.service.selection(&Filter { query: Query::new("orders"), callable: false });
    assert!(later.view().mean.latency.get() > 1e6);
}

/// A view of endpoints, some of them suspect.
fn view_with_suspects(weights: &[u32], suspects: &[bool], now: Tick) -> Arc<View> {
    let service = Service::new("orders");
    service.replace(weights.iter().enumerate().map(|(n, weight)| listed(n, *weight)).collect());
    for (member, suspect) in service.snapshot().members.iter().zip(suspects) {
        member.state.stall_timeout.set(SECOND);
        if *suspect {
            (0..3).for_each(|_| member.state.begin(Tick::from_nanos(now.nanos() / 2)));
        }
    }
    let selection = service.selection(&Filter { query: Query::new("orders"), callable: true });
    let view = selection.view();
    Arc::clone(&view)
}

proptest! {
    #![proptest_config(seeded())]

    #[test]
    fn every_strategy_picks_an_eligible_endpoint_while_there_is_one(
        endpoints in prop::collection::vec((0..4u32, any::<bool>(), any::<bool>()), 1..12),
        seed: u64,
    ) {
        let now = Tick::from_nanos(100_000_000_000);
        let weights: Vec<u32> = endpoints.iter().map(|(weight, ..)| *weight).collect();
        let suspects: Vec<bool> = endpoints.iter().map(|(_, suspect, _)| *suspect).collect();
        let view = view_with_suspects(&weights, &suspects, now);
        let was_tried = |index: usize| endpoints[number_of(view.candidates()[index].endpoint())].2;
        let state = |index: usize| view.candidates()[index].member.state.clone();
        let tried: Vec<Arc<EndpointState>> = (0..view.len()).filter(|index| was_tried(*index)).map(state).collect();
        let eligible = |index: usize| !was_tried(index) && !view.is_suspect(index, now);
        let sound = |index: usize| !view.is_suspect(index, now);
        let mut draw = Draw::new(seed);
        for name in NAMES {
            for _ in 0..20 {
                let mut context = Context { now, draw: &mut draw, tried: &tried };
                let index = by_name(name).choose(&view, &mut context);
                let index = index.expect("a view with endpoints always has one to give");
                prop_assert!(index < view.len());
                prop_assert!(eligible(index) || !(0..view.len()).any(eligible), "{name}: {index}");
                prop_assert!(sound(index) || !(0..view.len()).any(sound), "{name}: {index} is suspect");
            }
        }
    }

    #[test]
    fn nothing_is_picked_from_nothing(seed: u64) {
        let view = view_with_suspects(&[], &[], Tick::from_nanos(1));
        for name in NAMES {
            let mut draw = Draw::new(seed);
            let mut context = Context { now: Tick::from_nanos(2), draw: &mut draw, tried: &[] };
            prop_assert_eq!(by_name(name).choose(&view, &mut context), None);
        }
    }
}
