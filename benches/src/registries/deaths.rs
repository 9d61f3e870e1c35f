//! One of three instances is killed under a thousand calls a second: what that costs, and what it would cost a client
//! that trusts its registry and nothing else.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use plumline::Client;
use plumline_servers::Running;
use serde_json::json;

use super::{Place, client, places};
use crate::table::{Row, relate};

const PERIOD: Duration = Duration::from_millis(1);
const BEFORE: Duration = Duration::from_secs(3);
/// The registration's TTL, and some more: until the registry has let go of it.
const AFTER: Duration = Duration::from_secs(18);
const ASKED_EVERY: Duration = Duration::from_millis(100);
/// The first probe comes a second after the last try.
const PROBES: Duration = Duration::from_millis(900);

/// Failed calls, and how long the dead one was still tried.
pub fn failover() -> Vec<Row> {
    places().flat_map(|place| measure(&place)).collect()
}

/// What a run came to.
struct Cost {
    failed: u32,
    /// From the first try of the dead one that failed to the last that was no probe.
    tried_for: Duration,
}

/// One call: whether it went well, and which addresses it tried.
type Call<'a> = dyn FnMut() -> (bool, Vec<String>) + 'a;

fn measure(place: &Place) -> Vec<Row> {
    let rows = [
        ("a client that trusts the registry", run(place, &mut trusting(place))),
        ("ours", run(place, &mut ours(client(&place.address, json!({}))))),
    ];
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

/// Asks the registry ten times a second, takes turns at whatever it lists, and believes that it answers.
fn trusting(place: &Place) -> impl FnMut() -> (bool, Vec<String>) {
    let (mut turn, mut listed, mut asked) = (0, Vec::new(), None::<Instant>);
    move || {
        if asked.is_none_or(|asked| asked.elapsed() > ASKED_EVERY) {
            listed = (place.listed)("orders");
            asked = Some(Instant::now());
        }
        turn += 1;
        let Some(port) = listed.get(turn % listed.len().max(1)) else { return (true, Vec::new()) };
        let address = format!("127.0.0.1:{port}");
        (exchange(&address).is_ok(), vec![address])
    }
}

fn exchange(address: &str) -> std::io::Result<()> {
    let mut socket = TcpStream::connect(address)?;
    socket.write_all(b"GET / HTTP/1.1\r\nHost: orders\r\n\r\n")?;
    let mut head = [0; 64];
    match socket.read(&mut head)? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

fn ours(plum: Client) -> impl FnMut() -> (bool, Vec<String>) {
    move || match plum.get("orders", "/") {
        Ok(answer) => (true, answer.trace().iter().map(|step| step.endpoint.address()).collect()),
        Err(error) => (false, error.trace().iter().map(|step| step.endpoint.address()).collect()),
    }
}

fn run(place: &Place, call: &mut Call<'_>) -> Cost {
    let mut instances: Vec<(Running, String)> = (0..3).map(|_| instance(&place.address)).collect();
    let met = Instant::now();
    let mut seen = BTreeSet::new();
    while seen.len() < 3 {
        assert!(met.elapsed() < Duration::from_secs(30), "all three are called");
        seen.extend(call().1.into_iter().filter(|address| instances.iter().any(|(_, own)| own == address)));
        std::thread::sleep(Duration::from_millis(5));
    }
    let (began, mut failed, mut dead) = (Instant::now(), 0, None);
    let mut tries = Vec::new();
    let mut next = began;
    while began.elapsed() < BEFORE + AFTER {
        if dead.is_none() && began.elapsed() > BEFORE {
            let (mut running, address) = instances.remove(0);
            running.0.kill().expect("it runs");
            dead = Some(address);
        }
        let (is_well, tried) = call();
        failed += u32::from(!is_well);
        if dead.as_ref().is_some_and(|dead| tried.contains(dead)) {
            tries.push(Instant::now());
        }
        next += PERIOD;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    // What comes later and alone is a probe: some call goes there first, and loses nothing by it.
    let breaks =
        tries.windows(2).position(|pair| pair[1] - pair[0] > PROBES).unwrap_or(tries.len().max(1) - 1);
    let tried_for = tries.first().map_or(Duration::ZERO, |first| tries[breaks] - *first);
    // The next run begins with nobody there: those that are left take themselves back.
    for (mut running, _) in instances {
        drop(running.0.stdin.take());
        running.0.wait().expect("it ends with its input");
    }
    Cost { failed, tried_for }
}

/// A process that serves and registers itself, and its address.
fn instance(registry: &str) -> (Running, String) {
    let program = std::env::current_exe().map(|path| path.with_file_name("register"));
    let mut command = Command::new(program.expect("a program knows itself"));
    let (running, said) = Running::begun(command.arg(registry));
    let address = said.rsplit(' ').next().expect("an address").to_owned();
    (running, address)
}
