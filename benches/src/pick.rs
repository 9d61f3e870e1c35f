//! Choosing among 3, 100 and 10,000 endpoints: the choice alone, the whole pick, and with its report.

use std::sync::Arc;
use std::time::Instant;

use plumline::balance::{self, Context, Draw};
use plumline::config::Strategy;
use plumline::membership::{Filter, ListedEndpoint, Service};
use plumline::{Client, Endpoint, Query, clock};

use crate::table::{Contender, Round, Row, compare};

const SIZES: [u32; 3] = [3, 100, 10_000];
const PICKS: u32 = 200_000;

/// Every strategy at every size, on one thread and on two.
pub fn pick() -> Vec<Row> {
    let mut rows = Vec::new();
    for threads in [1, 2] {
        let mut contenders: Vec<Contender<'_>> = Vec::new();
        for strategy in [Strategy::P2cEwma, Strategy::RoundRobin, Strategy::Random] {
            for size in SIZES {
                let name = |what: &str| format!("{} of {size}, {what}", name_of(strategy));
                contenders.push((name("choosing"), Box::new(move || choosing(strategy, size, threads))));
                contenders.push((name("Pick"), Box::new(move || picking(strategy, size, threads, false))));
                contenders.push((
                    name("Pick and report"),
                    Box::new(move || picking(strategy, size, threads, true)),
                ));
            }
        }
        rows.extend(compare(&format!("pick, {threads} thread(s)"), "ns", 3, contenders));
    }
    rows
}

fn name_of(strategy: Strategy) -> String {
    serde_json::to_value(strategy).ok().and_then(|name| Some(name.as_str()?.to_owned())).unwrap_or_default()
}

fn endpoints(size: u32) -> Vec<Endpoint> {
    (0..size).map(|n| Endpoint::new("s", std::net::Ipv4Addr::from(0x0a00_0000 + n).into(), 80)).collect()
}

/// Runs `work` on so many threads at once; nanoseconds per repetition, the mean of the threads.
fn on_threads(threads: u32, work: impl Fn() + Sync) -> Round {
    work();
    let each: Vec<f64> = std::thread::scope(|scope| {
        let timed = || {
            let began = Instant::now();
            work();
            began.elapsed().as_nanos() as f64 / f64::from(PICKS)
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(timed)).collect();
        running.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
    });
    let mean = each.iter().sum::<f64>() / each.len() as f64;
    Round { p50: mean, p99: each.iter().copied().fold(0.0, f64::max), cpu_us: None }
}

/// The choice alone, the time given.
fn choosing(strategy: Strategy, size: u32, threads: u32) -> Round {
    let service = Service::new("s");
    let listed =
        endpoints(size).into_iter().map(|e| ListedEndpoint { endpoint: Arc::new(e), unconfirmed: false });
    service.replace(listed.collect());
    let selection = service.selection(&Filter { query: Query::new("s"), callable: false });
    let now = clock::now();
    let view = selection.view();
    for slot in view.candidates() {
        balance::ewma::observe(&view, &slot.member.state, std::time::Duration::from_micros(500), true, now);
    }
    let balancer = balance::of(strategy);
    on_threads(threads, || {
        let mut draw = Draw::new(clock::now().nanos());
        for _ in 0..PICKS {
            let mut context = Context { now, draw: &mut draw, tried: &[] };
            std::hint::black_box(balancer.choose(&view, &mut context));
        }
    })
}

/// Through a handle; reported on inside the measured time, or handed to be reported on after it.
fn picking(strategy: Strategy, size: u32, threads: u32, report: bool) -> Round {
    let config = serde_json::json!({"registry": "memory://", "balancer": name_of(strategy)});
    let plum =
        Client::with_config(plumline::Config::from_value(config).expect("it is right")).expect("a client");
    plum.publish("s", endpoints(size)).expect("it is open");
    let handle = plum.service("s").expect("a handle");
    for _ in 0..size * 4 {
        handle.pick().expect("somebody is there").success();
    }
    if report {
        return on_threads(threads, || (0..PICKS).for_each(|_| handle.pick().expect("somebody").success()));
    }
    // A pick's end cannot be kept out of a loop over picks: it is measured by itself, in lots, and taken off.
    on_threads_in_lots(threads, &handle)
}

/// Picks in pairs, which are reported on between the measured stretches; what asking for the time costs is taken
/// off.
fn on_threads_in_lots(threads: u32, handle: &plumline::ServiceHandle) -> Round {
    const LOT: u32 = 2;
    let run = || {
        let clock = Instant::now();
        for _ in 0..PICKS / LOT {
            std::hint::black_box(Instant::now());
        }
        let asking = clock.elapsed().as_nanos();
        let mut spent = 0;
        for _ in 0..PICKS / LOT {
            let began = Instant::now();
            let lot: [plumline::Pick; LOT as usize] =
                std::array::from_fn(|_| handle.pick().expect("somebody"));
            spent += began.elapsed().as_nanos();
            lot.into_iter().for_each(|pick| pick.success());
        }
        spent.saturating_sub(asking) as f64 / f64::from(PICKS)
    };
    run();
    let each: Vec<f64> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        running.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
    });
    let mean = each.iter().sum::<f64>() / each.len() as f64;
    Round { p50: mean, p99: each.iter().copied().fold(0.0, f64::max), cpu_us: None }
}
