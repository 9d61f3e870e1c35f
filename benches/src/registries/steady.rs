//! A thousand instances registered by one process, which then do nothing but stay: messages and CPU.

use std::time::{Duration, Instant};

use plumline::registration::RegistrationState;
use plumline::{Instance, Registration};
use plumline_servers::free_port;
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

use super::wire::{Counter, Framing};
use super::{Place, client, places};
use crate::table::{Row, relate};

const COUNT: u16 = 1_000;
/// A TTL of 15 s is beaten for three times in it.
const WINDOW: Duration = Duration::from_secs(15);
/// What one message for each instance and beat would be: a thousand in 5 s.
const BOUND: f64 = 200.0;

/// Messages a second that we send, and CPU.
pub fn registrations() -> Vec<Row> {
    places().flat_map(|place| measure(&place)).collect()
}

fn measure(place: &Place) -> Vec<Row> {
    let counter = Counter::default();
    let plum = client(&through(place, &counter), json!({}));
    let service = |n: u16| format!("service-{}", n % 100);
    let all: Vec<Registration> = (0..COUNT)
        .map(|n| plum.register(Instance::new(service(n), 1_000 + n).host("127.0.0.1")).expect("registered"))
        .collect();
    let began = Instant::now();
    while all.iter().any(|one| one.state() != RegistrationState::Registered) {
        assert!(began.elapsed() < Duration::from_secs(30), "all are registered");
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_secs(5));
    let (messages, cpu, began) = (counter.count(), cpu(), Instant::now());
    std::thread::sleep(WINDOW);
    let took = began.elapsed().as_secs_f64();
    let rate = (counter.count() - messages) as f64 / took;
    let share = self::cpu().saturating_sub(cpu).as_secs_f64() / took * 100.0;
    drop(all);
    let row = |group: &str, name: &str, unit: &str, figure: f64| Row {
        group: format!("registrations: {}, {group}", place.name),
        name: name.into(),
        unit: unit.into(),
        p50: figure,
        p99: figure,
        ratio: 1.0,
        cpu_us: None,
    };
    let messages = vec![
        row("messages", "one for each instance and beat", "/s", BOUND),
        row("messages", "ours, 1,000 instances", "/s", rate),
    ];
    let cpu = vec![row("CPU", "ours with the path that counts, 1,000 instances", "% of a core", share)];
    [relate(messages), relate(cpu)].concat()
}

/// The address of the registry by way of paths on which messages are counted.
fn through(place: &Place, counter: &Counter) -> String {
    let port: u16 = place
        .address
        .rsplit(':')
        .next()
        .and_then(|rest| rest.split(['/', '?']).next()?.parse().ok())
        .expect("an address ends with its port");
    let path = match place.name {
        "Nacos" => {
            // Its gRPC port is the other one and 1,000.
            let path = std::iter::repeat_with(free_port)
                .find(|port| std::net::TcpListener::bind(("127.0.0.1", port + 1_000)).is_ok())
                .expect("two free ports");
            counter.between(path + 1_000, port + 1_000, Framing::Grpc);
            path
        }
        _ => free_port(),
    };
    let framing = match place.name {
        "etcd" => Framing::Grpc,
        "ZooKeeper" => Framing::Length,
        _ => Framing::Http1,
    };
    counter.between(path, port, framing);
    place.address.replace(&format!(":{port}"), &format!(":{path}"))
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}
