//! One program registers, another sees it: ours, and beside it the registry's own client watching the same.

use std::any::Any;
use std::io::{BufRead, BufReader};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use plumline::{Client, Instance};
use plumline_servers::Running;
use plumline_servers::etcd::{New, PREFIX, Version};
use serde_json::json;

use super::{Place, client, places};
use crate::table::{Row, relate, round_of};

const TIMES: u16 = 200;
/// So that each change is one by itself, and not part of a stream that may be told in pieces.
const BETWEEN: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(10);

/// A port, and when it was seen.
type Seen = (u16, Instant);

/// From before `register()` to the change, milliseconds.
pub fn propagation() -> Vec<Row> {
    places().flat_map(|place| measure(&place)).collect()
}

fn measure(place: &Place) -> Vec<Row> {
    let (one, other) = (client(&place.address, json!({})), client(&place.address, json!({})));
    let watch = other.watch("orders").expect("a watch");
    watch.next_within(PATIENCE).expect("the registry answers").expect("what is there");
    let (own, theirs) = own_client(place);
    warm_up(&one, &theirs);
    let mut took: [Vec<f64>; 2] = Default::default();
    for port in 1_000..1_000 + TIMES {
        let began = Instant::now();
        let me = one.register(Instance::new("orders", port).host("127.0.0.1")).expect("registered");
        let seen = loop {
            let change = watch.next_within(PATIENCE).expect("open").expect("the change is seen");
            if change.endpoints.iter().any(|endpoint| endpoint.port == port) {
                break Instant::now();
            }
        };
        let also = loop {
            let (known, at) = theirs.recv_timeout(PATIENCE).expect("the other client sees it too");
            if known == port {
                break at;
            }
        };
        took[0].push((also - began).as_secs_f64() * 1e3);
        took[1].push((seen - began).as_secs_f64() * 1e3);
        me.close(Duration::ZERO).expect("deregistered");
        std::thread::sleep(BETWEEN);
    }
    drop(own);
    let names = [format!("{}'s own client", place.name), "ours".to_owned()];
    let rows = names.into_iter().zip(took).map(|(name, took)| {
        let round = round_of(took, None);
        Row {
            group: format!("propagation: {}", place.name),
            name,
            unit: "ms".into(),
            p50: round.p50,
            p99: round.p99,
            ratio: 1.0,
            cpu_us: None,
        }
    });
    relate(rows.collect())
}

/// Until the registry's own client has begun to watch.
fn warm_up(one: &Client, theirs: &Receiver<Seen>) {
    let is_seen = |_| {
        let me = one.register(Instance::new("orders", 999).host("127.0.0.1")).expect("registered");
        let seen = theirs.recv_timeout(Duration::from_secs(2));
        me.close(Duration::ZERO).expect("deregistered");
        assert!(
            seen != Err(RecvTimeoutError::Disconnected),
            "the other client has ended; it may say why above"
        );
        seen.is_ok()
    };
    assert!((0..20).any(is_seen), "the other client sees something");
}

/// The registry's own client, which tells each port that it sees; it ends with the first of the two.
fn own_client(place: &Place) -> (Box<dyn Any>, Receiver<Seen>) {
    let host =
        place.address.split("://").nth(1).expect("a host").split(['/', '?']).next().unwrap_or_default();
    let (running, lines): (Box<dyn Any>, BufReader<ChildStdout>) = match place.name {
        "Nacos" => {
            let (running, lines) = plumline_servers::nacos::own_client(&[host, "orders", "9"]);
            (Box::new(running), lines)
        }
        "etcd" => {
            let mut etcdctl = Command::new(New::program().with_file_name("etcdctl"));
            let prefix = format!("{PREFIX}/orders");
            start(etcdctl.arg(format!("--endpoints={host}")).args(["watch", "--prefix", &prefix]))
        }
        name => {
            let mut python = Command::new(".venv/bin/python");
            python.arg(format!("benches/python/watch_{}.py", name.to_lowercase()));
            start(python.args([host, "orders"]))
        }
    };
    let (tell, hear) = channel();
    std::thread::spawn(move || {
        for line in lines.lines().map_while(Result::ok) {
            let at = Instant::now();
            if let Some(port) = port_in(&line)
                && tell.send((port, at)).is_err()
            {
                return;
            }
        }
    });
    (running, hear)
}

fn start(command: &mut Command) -> (Box<dyn Any>, BufReader<ChildStdout>) {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the registry's own client starts");
    let lines = BufReader::new(child.stdout.take().expect("it is piped"));
    (Box::new(Running(child)), lines)
}

/// Whatever a client prints: the port that stands behind the address.
fn port_in(line: &str) -> Option<u16> {
    let (_, rest) = line.split_once("127.0.0.1")?;
    let digits = rest.strip_prefix([':', '-'])?;
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
