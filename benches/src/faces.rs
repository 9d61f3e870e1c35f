//! The other languages against what their programs would take instead, and against the same call from Rust.

use std::process::Command;

use plumline::{Client, Endpoint};

use crate::table::{Contender, Round, Row, compare};
use crate::{Server, foreign, pin_to, unpin};

/// So many crossings of the boundary are timed together.
const CROSSINGS: u32 = 200_000;
/// As many as a large service has.
const ENDPOINTS: u8 = 50;

/// One call from Python, and calls a second at 16 threads.
pub fn call_python() -> Vec<Row> {
    let mut rows = calls("python", python);
    rows.extend(threads("python", python));
    rows
}

/// One call from Java, and calls a second at 16 threads.
pub fn call_java() -> Vec<Row> {
    let mut rows = calls("java", java);
    rows.extend(threads("java", java));
    rows
}

/// One call from C.
pub fn call_c() -> Vec<Row> {
    calls("c", c)
}

/// What crosses between each language and the core without a socket.
pub fn boundary() -> Vec<Row> {
    pin_to(0).expect("pinning to the first core");
    let mut all = crossings();
    all.extend(foreign::contenders("C: ", c("boundary", 0)));
    all.extend(foreign::contenders("Python: ", python("boundary", 0)));
    all.extend(foreign::contenders("Java: ", java("boundary", 0)));
    let rows = compare("boundary", "ns", 3, all);
    unpin();
    rows
}

/// Client and server on one core; beside the language's own rows the same call from Rust.
fn calls(language: &str, program: fn(&str, u16) -> Command) -> Vec<Row> {
    let server = Server::start(Some(0));
    pin_to(0).expect("pinning to the first core");
    let mut all = foreign::contenders("", program("call", server.port));
    all.push(crate::call::plumline(server.port));
    let rows = compare(&format!("call-{language}"), "µs", 3, all);
    unpin();
    rows
}

/// On every core.
fn threads(language: &str, program: fn(&str, u16) -> Command) -> Vec<Row> {
    let server = Server::start(None);
    let all = foreign::contenders("", program("threads", server.port));
    compare(&format!("call-{language}-threads"), "calls/s", 3, all)
}

fn python(mode: &str, port: u16) -> Command {
    let mut command = Command::new(".venv/bin/python");
    command.args(["python/tools/bench.py", mode, &port.to_string()]);
    command
}

fn java(mode: &str, port: u16) -> Command {
    let mut command = Command::new("java");
    command.args(["-cp", "benches/java/target/classes:benches/java/target/lib/*"]);
    command.args(["io.plumline.benches.Bench", mode, &port.to_string()]);
    command
}

fn c(mode: &str, port: u16) -> Command {
    let mut command = Command::new("target/bench/bench-c");
    command.args([mode, &port.to_string()]);
    command
}

/// The same crossings as the other languages make, where there is nothing to cross.
fn crossings() -> Vec<Contender<'static>> {
    let plum = Client::new("memory://").expect("a client");
    let named = |service: &str, count: u8| {
        let endpoints = (1..=count).map(|n| Endpoint::new(service, [10, 0, 0, n].into(), 80)).collect();
        plum.publish(service, endpoints).expect("it is open");
    };
    named("three", 3);
    named("fifty", ENDPOINTS);
    let three = plum.service("three").expect("a handle");
    let (closed, found) = (plum.clone(), plum);
    vec![
        ("Rust: pick and report".into(), Box::new(move || mean(|| three.pick().expect("one").success()))),
        ("Rust: empty call".into(), Box::new(move || mean(|| closed.is_closed()))),
        (
            format!("Rust: discover of {ENDPOINTS}"),
            Box::new(move || mean(|| found.discover("fifty").expect("a list"))),
        ),
    ]
}

/// Nanoseconds of one, after as many to warm up.
fn mean<T>(mut crossing: impl FnMut() -> T) -> Round {
    let mut figure = 0.0;
    for _ in 0..2 {
        let began = std::time::Instant::now();
        (0..CROSSINGS).for_each(|_| drop(std::hint::black_box(crossing())));
        figure = began.elapsed().as_nanos() as f64 / f64::from(CROSSINGS);
    }
    Round { p50: figure, p99: figure, cpu_us: None }
}
