//! One process with 1,000 watched services and 1,000 registrations: threads, memory, CPU when idle.
//!
//! `cargo run --release -p plumline-tests --bin scale [seconds]` starts a controller in a process of its own
//! (`test-controller`, beside this program) and prints one line.

use std::time::{Duration, Instant};

use plumline::Instance;
use plumline_tests::{Process, client};
use serde_json::json;

const MANY: usize = 1_000;

fn main() {
    let seconds: u64 = std::env::args().nth(1).map_or(15, |seconds| seconds.parse().expect("seconds"));
    let beside = std::env::current_exe().expect("a path").with_file_name("test-controller");
    let program: &'static str = Box::leak(beside.to_string_lossy().into_owned().into_boxed_str());
    let controller = Process::start(program, Duration::from_secs(15));
    let plum = client(&controller.plum(), json!({ "registration": { "wait_listening": "0s" } }));
    let before = memory_kib();
    let started = Instant::now();
    let service = |index: usize| Instance::new(format!("service-{index}"), 7).host("127.0.0.1");
    let mine: Vec<_> = (0..MANY).map(|index| plum.register(service(index)).expect("registered")).collect();
    let registered = started.elapsed();
    let watches: Vec<_> =
        (0..MANY).map(|index| plum.watch(&format!("service-{index}")).expect("a watch")).collect();
    for watch in &watches {
        let first = watch.next_within(Duration::from_secs(30)).expect("open").expect("a first list");
        assert_eq!(first.endpoints.len(), 1);
    }
    let watched = started.elapsed().saturating_sub(registered);
    let busy = cpu_time();
    std::thread::sleep(Duration::from_secs(seconds));
    let idle = cpu_time().saturating_sub(busy).as_secs_f64() / seconds as f64 * 100.0;
    println!(
        "scale: threads={} memory_mib={:.1} grown_mib={:.1} idle_cpu_percent={idle:.2} registered_in_ms={} watched_in_ms={}",
        threads(),
        memory_kib() as f64 / 1024.0,
        (memory_kib() - before) as f64 / 1024.0,
        registered.as_millis(),
        watched.as_millis(),
    );
    drop(mine);
}

fn status(field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = text.lines().find(|line| line.starts_with(field)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or_default()
}

fn memory_kib() -> u64 {
    status("VmRSS:")
}

/// Threads beside the main one.
fn threads() -> u64 {
    status("Threads:") - 1
}

fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").expect("procfs");
    let after = text.rsplit(')').next().unwrap_or_default();
    let ticks: u64 =
        after.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10) // the kernel counts in hundredths
}
