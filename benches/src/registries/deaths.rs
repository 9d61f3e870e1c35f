//! One of three instances is killed under a thousand calls a second: what that costs, and what it would cost a client
//! that trusts its registry and nothing else.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use plumline::Client;
use serde_json::json;

use super::{Place, client, places};
use crate::Running;
use crate::table::{Row, relate};

const PERIOD: Duration = Duration::from_millis(1);
const BEFORE: Duration = Duration::from_secs(3);
/// The registration's TTL, and some more: until the registry has let go of it.
const AFTER: Duration = Duration::from_secs(18);

/// Failed calls, and how long the dead one was still tried.
pub fn failover() -> Vec<Row> {
    places().flat_map(|place| measure(&place)).collect()
}

/// What a run came to.
struct Cost {
    failed: u32,
    /// From the first attempt at the dead one that failed to the last.
    tried_for: Duration,
}

fn measure(place: &Place) -> Vec<Row> {
    let trusting =
        json!({"retry": {"attempts": 1}, "outlier": {"enabled": false}, "balancer": "round_robin"});
    let rows = [("a client that trusts the registry", trusting), ("ours", json!({}))]
        .map(|(name, settings)| (name, run(place, &client(&place.address, settings))));
    let row = |group: &str, name: &str, unit: &str, figure: f64| Row {
        group: format!("failover: {}, {group}", place.name),
        name: name.into(),
        unit: unit.into(),
        p50: figure,
        p99: figure,
        ratio: 1.0,
        cpu_us: None,
    };
    let failed = rows.iter().map(|(name, cost)| row("failed calls", name, "calls", f64::from(cost.failed)));
    let tried =
        rows.iter().map(|(name, cost)| row("still tried", name, "ms", cost.tried_for.as_secs_f64() * 1e3));
    [relate(failed.collect()), relate(tried.collect())].concat()
}

fn run(place: &Place, plum: &Client) -> Cost {
    let mut instances: Vec<(Running, String)> = (0..3).map(|_| instance(&place.address)).collect();
    let listed = Instant::now();
    while plum.discover("orders").map_or(0, |found| found.len()) < 3 {
        assert!(listed.elapsed() < Duration::from_secs(20), "all three are listed");
        std::thread::sleep(Duration::from_millis(20));
    }
    let (began, mut failed, mut dead) = (Instant::now(), 0, None);
    let (mut first, mut last) = (None, None);
    let mut next = began;
    while began.elapsed() < BEFORE + AFTER {
        if dead.is_none() && began.elapsed() > BEFORE {
            let (mut running, address) = instances.remove(0);
            running.0.kill().expect("it runs");
            dead = Some(address);
        }
        let outcome = plum.get("orders", "/");
        let trace: Vec<String> = match &outcome {
            Ok(answer) => answer.trace().iter().map(|attempt| attempt.endpoint.address()).collect(),
            Err(error) => error.trace().iter().map(|attempt| attempt.endpoint.address()).collect(),
        };
        failed += u32::from(outcome.is_err());
        if dead.as_ref().is_some_and(|dead| trace.contains(dead)) {
            first.get_or_insert(Instant::now());
            last = Some(Instant::now());
        }
        next += PERIOD;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    let tried_for = first.zip(last).map_or(Duration::ZERO, |(first, last)| last - first);
    Cost { failed, tried_for }
}

/// A process that serves and registers itself, and its address.
fn instance(registry: &str) -> (Running, String) {
    let program = std::env::current_exe().map(|path| path.with_file_name("register"));
    let mut child: Child = Command::new(program.expect("a program knows itself"))
        .arg(registry)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the example `register` is built");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("it says so");
    let address = line.trim().rsplit(' ').next().expect("an address").to_owned();
    (Running(child), address)
}
