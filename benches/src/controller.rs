//! The controller under load, its store in memory and in `SQLite`, against what the original bore on this kind of
//! machine; and a process with a thousand watches and a thousand registrations.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use plumline_servers::Running;

use crate::pressure::{Borne, press};
use crate::table::{Row, relate, round_of};

const EACH: Duration = Duration::from_secs(4);

/// What the original did: requests a second, and what one in a hundred took, milliseconds.
const ORIGINAL: [(&str, f64, f64); 3] = [
    ("heartbeats", 3_450.0, 145.0),
    ("discoveries of 50", 1_890.0, 116.0),
    ("registrations", 2_310.0, 430.0),
];

/// Heartbeats, discoveries and registrations a second, batches and watchers.
pub fn controller() -> Vec<Row> {
    let folder = std::env::temp_dir().join(format!("plumline-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the store");
    let stores = [
        ("memory", "memory".to_owned()),
        ("SQLite", format!("sqlite:{}", folder.join("store.db").display())),
    ];
    let borne: Vec<(&str, Vec<Borne>)> =
        stores.iter().map(|(name, store)| (*name, under_load(store))).collect();
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
    (0..borne[0].1.len()).flat_map(|kind| rows_of(kind, &borne)).collect()
}

fn under_load(store: &str) -> Vec<Borne> {
    let (controller, address) = start(store);
    let borne = press(address, EACH).expect("the controller answers");
    drop(controller);
    borne
}

fn start(store: &str) -> (Running, SocketAddr) {
    let mut child = Command::new(beside_us("plumline"))
        .args(["controller", "--listen", "127.0.0.1:0", "--store", store])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the controller starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("it is piped"))
        .read_line(&mut line)
        .expect("it says where it listens");
    let address = line.trim().rsplit("http://").next().and_then(|address| address.parse().ok());
    (Running(child), address.expect("an address"))
}

/// The rows of one kind of request: how many, and how long they took.
fn rows_of(kind: usize, borne: &[(&str, Vec<Borne>)]) -> Vec<Row> {
    let name = borne[0].1[kind].name;
    let row = |group: String, name: String, unit: &str, p50: f64, p99: f64| Row {
        group,
        name,
        unit: unit.into(),
        p50,
        p99,
        ratio: 1.0,
        cpu_us: None,
    };
    let original = ORIGINAL.iter().find(|(known, ..)| *known == name);
    let (mut rates, mut times) = (Vec::new(), Vec::new());
    if let Some((_, rate, p99)) = original {
        rates.push(row(format!("controller: {name}"), "the original".into(), "/s", *rate, *rate));
        times.push(row(
            format!("controller: {name}, latency"),
            "the original (p99 only)".into(),
            "ms",
            *p99,
            *p99,
        ));
    }
    for (store, kinds) in borne {
        let Borne { rate, latencies, .. } = &kinds[kind];
        if *rate > 0.0 {
            rates.push(row(format!("controller: {name}"), format!("ours, {store}"), "/s", *rate, *rate));
        }
        let millis = latencies.iter().map(|latency| latency.as_secs_f64() * 1e3).collect();
        let round = round_of(millis, None);
        times.push(row(
            format!("controller: {name}, latency"),
            format!("ours, {store}"),
            "ms",
            round.p50,
            round.p99,
        ));
    }
    [relate(rates), relate(times)].concat()
}

/// A process with 1,000 watched services and 1,000 registrations: threads, memory, CPU when idle.
pub fn scale() -> Vec<Row> {
    let output = Command::new(beside_us("scale")).output().expect("the program `scale` is built");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let figure = |name: &str| -> f64 {
        let rest = text.split(&format!("{name}=")).nth(1).unwrap_or_else(|| panic!("no {name} in {text:?}"));
        rest.split_whitespace().next().and_then(|figure| figure.parse().ok()).expect("a figure")
    };
    let row = |(name, unit, key): (&str, &str, &str)| {
        let figure = figure(key);
        Row {
            group: format!("scale: {name}"),
            name: "1,000 watches, 1,000 registrations".into(),
            unit: unit.into(),
            p50: figure,
            p99: figure,
            ratio: 1.0,
            cpu_us: None,
        }
    };
    [
        ("threads", "threads", "threads"),
        ("resident memory", "MiB", "memory_mib"),
        ("idle CPU", "% of a core", "idle_cpu_percent"),
    ]
    .into_iter()
    .flat_map(|what| relate(vec![row(what)]))
    .collect()
}

/// A program of ours: in the same folder as this one.
fn beside_us(name: &str) -> PathBuf {
    std::env::current_exe().map_or_else(|_| name.into(), |path| path.with_file_name(name))
}
