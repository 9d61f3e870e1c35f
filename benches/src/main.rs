//! `make bench`: each group side by side in one run; `target/bench/results.json` keeps the figures.

mod call;
mod controller;
mod faces;
mod foreign;
mod pick;
mod pressure;
mod registries;
mod server;
mod table;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use plumline_servers::Running;
use rustix::thread::{CpuSet, sched_setaffinity};

type Group = (&'static str, fn() -> Vec<table::Row>);

/// What can be measured, in the order it is.
const GROUPS: [Group; 12] = [
    ("call-rust", call::call_rust),
    ("call-python", faces::call_python),
    ("call-java", faces::call_java),
    ("call-c", faces::call_c),
    ("boundary", faces::boundary),
    ("pick", pick::pick),
    ("many-endpoints", call::many_endpoints),
    ("controller", controller::controller),
    ("scale", controller::scale),
    ("propagation", registries::propagation),
    ("failover", registries::failover),
    ("registrations", registries::registrations),
];

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(serve) = arguments.first().filter(|word| word.starts_with("serve")) {
        let cpu = serve.strip_prefix("serve=").and_then(|cpu| cpu.parse().ok());
        let addresses = arguments.get(1).and_then(|count| count.parse().ok()).unwrap_or(1);
        return server::serve(cpu, addresses);
    }
    for (name, measure) in GROUPS {
        if arguments.is_empty() || arguments.iter().any(|wanted| name.starts_with(wanted.as_str())) {
            table::save("target/bench/results.json".as_ref(), measure())?;
        }
    }
    Ok(())
}

/// The bench server in a process of its own.
pub struct Server {
    _running: Running,
    /// Where it listens.
    pub port: u16,
}

impl Server {
    /// Starts it, on one core if one is named.
    pub fn start(cpu: Option<usize>) -> Server {
        Server::at(cpu, 1)
    }

    /// The same at several addresses of this machine.
    pub fn at(cpu: Option<usize>, addresses: u32) -> Server {
        let role = cpu.map_or("serve".into(), |cpu| format!("serve={cpu}"));
        let this = std::env::current_exe().expect("a program knows itself");
        let mut child = Command::new(this)
            .args([role, addresses.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the bench server starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped"))
            .read_line(&mut line)
            .expect("it says its port");
        Server { _running: Running(child), port: line.trim().parse().expect("a port") }
    }
}

/// Binds this thread to one core.
pub fn pin_to(cpu: usize) -> std::io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

/// Lets this thread run anywhere again.
pub fn unpin() {
    let mut set = CpuSet::new();
    let cores = std::thread::available_parallelism().map_or(2, usize::from).max(2);
    (0..cores).for_each(|cpu| set.set(cpu));
    sched_setaffinity(None, &set).expect("every core");
}

/// CPU time this process has used.
pub fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
