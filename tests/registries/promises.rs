//! What every registry keeps. `promises!(Type)` makes a test of each.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use plumline::interrupt::Never;
use plumline::registration::State;
use plumline::{Client, Endpoint, Instance, Registration};
use plumline_tests::{client, listener, ports, sharing, stays, until};
use serde_json::json;

use plumline_servers::{Record, Running, Server, alone, among_others};

/// So long an instance is kept; a beat comes each second.
pub const TTL: Duration = Duration::from_secs(3);
const SOON: Duration = Duration::from_secs(5);
/// Losing a registry, coming back to it and a beat.
pub const ONE_BEAT: Duration = Duration::from_millis(500 + 1_150);

/// The tests of one registry.
macro_rules! promises {
    ($server:ty, seen within $ms:literal ms) => {
        mod promises {
            use super::*;
            use std::time::Duration;

            crate::promises::tests! { $server:
                whoever_registers_is_seen_by_others_and_by_the_servers_own_clients(Duration::from_millis($ms)),
                what_others_wrote_is_read_and_rubbish_left_out(),
                whoever_is_killed_is_gone_after_its_ttl_and_whoever_closes_at_once(),
                whoever_is_kept_for_less_than_others_is_beaten_for_in_time(),
                trap_11_an_outage_longer_than_the_ttl_loses_nobody(false),
                trap_11_a_server_that_comes_back_empty_is_filled_again(true),
                trap_11_a_server_that_is_stopped_and_continued_loses_nobody(),
                what_somebody_deletes_by_hand_is_back_within_a_beat(),
                two_thousand_instances_are_seen_by_a_hundred_watchers(),
                clients_of_one_process_go_and_come_without_harm_to_each_other(),
                an_instance_id_outlives_a_move_and_another_ones_end(),
                what_is_closed_in_an_outage_ends_though_other_clients_go_on(),
                clients_that_know_a_server_by_name_do_not_wait_for_each_other(),
            }
        }
    };
}

macro_rules! tests {
    ($server:ty: $($name:ident($($argument:expr)?)),+ $(,)?) => {
        $(
            #[test]
            fn $name() {
                crate::promises::$name::<$server>($($argument)?);
            }
        )+
    };
}

pub(crate) use {promises, tests};

/// A client whose instances are kept for [`TTL`], registered without a look at their ports.
pub fn registering(address: &str) -> Client {
    client(address, json!({"registration": {"ttl": "3s", "wait_listening": "0s"}}))
}

pub fn at(service: &str, port: u16) -> Instance {
    Instance::new(service, port).host("127.0.0.1")
}

pub fn whoever_registers_is_seen_by_others_and_by_the_servers_own_clients<S: Server>(within: Duration) {
    let _turn = among_others();
    let server = S::start();
    let (one, other) = (registering(&server.address()), client(&server.address(), json!({})));
    assert!(other.discover("orders").unwrap().is_empty());
    let watch = other.watch("orders").unwrap();
    assert_eq!(watch.next_within(SOON).unwrap().unwrap().endpoints.len(), 0);

    let (_listener, port) = listener();
    let instance = at("orders", port).version("v2").weight(7).zone("z").tag("x").label("env", "test");
    let me = one.register(instance).unwrap();
    let registered = Instant::now();
    let change = watch.next_within(SOON).unwrap().expect("a change");
    assert!(registered.elapsed() < within, "seen only after {:?}", registered.elapsed());
    let endpoint = &change.added[0];
    assert_eq!((endpoint.address(), endpoint.version.as_str()), (format!("127.0.0.1:{port}"), "v2"));
    assert_eq!((endpoint.weight, endpoint.zone.as_str(), endpoint.protocol.as_str()), (7, "z", "http"));
    assert_eq!((endpoint.labels["env"].as_str(), endpoint.labels["tags"].as_str()), ("test", r#"["x"]"#));
    assert_eq!(other.services().unwrap().iter().filter(|name| *name == "orders").count(), 1);

    let seen = Record { host: "127.0.0.1".into(), version: "v2".into(), weight: 7, env: "test".into() };
    assert_eq!(server.record("orders", port), seen);
    me.update(at("orders", port).version("v3").weight(2).label("env", "production")).unwrap();
    let change = watch.next_within(SOON).unwrap().expect("the update");
    assert_eq!((change.updated[0].version.as_str(), change.updated[0].weight), ("v3", 2));
    stays("listed past its TTL", TTL + Duration::from_secs(1), || server.listed("orders") == [port]);
    assert_eq!(me.state(), State::Registered);
}

pub fn what_others_wrote_is_read_and_rubbish_left_out<S: Server>() {
    let _turn = among_others();
    let server = S::start();
    let mut by_hand = Endpoint::new("user-service", "127.0.0.1".parse().unwrap(), 8080);
    by_hand.instance_id = "user-service-1".into();
    by_hand.version = "1.0.0".into();
    by_hand.protocol = "grpc".into();
    by_hand.weight = 5;
    by_hand.labels.insert("region".into(), "us-west-1".into());
    server.write_by_hand(&by_hand, &["api", "user"]);
    server.write_rubbish("user-service");
    let plum = client(&server.address(), json!({}));
    let found = plum.discover("user-service").unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].version.as_str(), found[0].protocol.as_str()), ("1.0.0", "grpc"));
    assert_eq!((found[0].weight, found[0].address().as_str()), (5, "127.0.0.1:8080"));
    assert_eq!(found[0].labels["tags"], r#"["api","user"]"#);
    assert_eq!(found[0].labels["region"], "us-west-1");
}

pub fn whoever_is_killed_is_gone_after_its_ttl_and_whoever_closes_at_once<S: Server>() {
    let _turn = among_others();
    let server = S::start();
    let (_listener, port) = listener();
    let arguments = [server.address(), "orders".into(), port.to_string(), "3s".into()];
    let child = Command::new(env!("CARGO_BIN_EXE_test-registrar"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Running(child);
    let mut said = String::new();
    BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said.trim(), "registered");
    let one = registering(&server.address());
    let (_other_listener, other) = listener();
    let me = one.register(at("orders", other)).unwrap();
    let plum = client(&server.address(), json!({}));
    until("both are seen", SOON, || ports(&plum, "orders").len() == 2);
    await_settled(&plum);
    child.kill();
    until("the killed one is gone", TTL + Duration::from_secs(2), || ports(&plum, "orders") == [other]);
    me.close(Duration::ZERO, &Never).unwrap();
    until("the closed one is gone", Duration::from_secs(1), || ports(&plum, "orders").is_empty());
}

pub fn whoever_is_kept_for_less_than_others_is_beaten_for_in_time<S: Server>() {
    let _turn = among_others();
    let server = S::start();
    let plum = registering(&server.address());
    // Its beats come every ten seconds or so.
    let _long = plum.register(at("orders", 1).ttl(10 * TTL)).unwrap();
    let _short = plum.register(at("orders", 2)).unwrap();
    until("both are registered", SOON, || server.listed("orders") == [1, 2]);
    stays("listed", 3 * TTL, || server.listed("orders") == [1, 2]);
}

/// Waits until the registry's word on who is missing counts: it has answered for as long as the longest TTL it knows.
pub fn await_settled(plum: &Client) {
    let is_settled = || plum.stats().unwrap().cache.registries[0].settled;
    until("its word on who is missing counts", Duration::from_secs(45), is_settled);
}

fn register_many(plum: &Client, count: u16) -> Vec<Registration> {
    (1..=count).map(|port| plum.register(at("orders", port)).unwrap()).collect()
}

/// Away for longer than the TTL, while calls go on; then back with its data, or without.
fn outlast<S: Server>(empty: bool) {
    let _turn = alone();
    let mut server = S::start();
    let plum = registering(&server.address());
    let all = register_many(&plum, 200);
    until("all are registered", SOON, || all.iter().all(|one| one.state() == State::Registered));
    let other = Arc::new(client(&server.address(), json!({})));
    until("all are seen", SOON, || ports(&other, "orders").len() == 200);
    let calls = Calls::of_an_instance(&plum, &other);
    server.kill();
    all[7].update(at("orders", 8).version("v2")).unwrap();
    stays("the list stays", TTL + Duration::from_secs(2), || ports(&other, "orders").len() == 200);
    if empty {
        server.empty();
    }
    server.revive();
    let expected: Vec<u16> = (1..=200).collect();
    // Beside the beat 200 writes to a disk, one after the other at Consul; and a server that has just started may have taken what it has not yet passed on.
    until("all are back, once each, with the latest data", ONE_BEAT + Duration::from_secs(2), || {
        server.listed("orders") == expected && server.record("orders", 8).version == "v2"
    });
    until("and the handles know", SOON, || all.iter().all(|one| one.state() == State::Registered));
    stays("nobody was lost meanwhile", TTL, || ports(&other, "orders") == expected);
    let versions: BTreeSet<String> =
        other.discover("orders").unwrap().iter().map(|e| e.version.clone()).collect();
    assert_eq!(versions.len(), 2, "the update is seen by others");
    calls.none_failed();
}

/// Calls, one after the other, of an instance that lives.
struct Calls {
    _instance: (Running, Registration),
    ended: Arc<AtomicBool>,
    caller: JoinHandle<Vec<String>>,
}

impl Calls {
    fn of_an_instance(registering: &Client, calling: &Arc<Client>) -> Calls {
        let mut child =
            Command::new(env!("CARGO_BIN_EXE_test-instance")).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let port = said.trim().rsplit(':').next().unwrap().parse().unwrap();
        let me = registering.register(at("alive", port)).unwrap();
        until("it is seen", SOON, || ports(calling, "alive") == [port]);
        let ended = Arc::new(AtomicBool::new(false));
        let (plum, until_ended) = (calling.clone(), ended.clone());
        let caller = std::thread::spawn(move || {
            let outcomes = std::iter::repeat_with(|| plum.get("alive", "/"));
            let during = outcomes.take_while(|_| !until_ended.load(Ordering::Relaxed));
            during.filter_map(|outcome| outcome.err().map(|error| error.to_string())).collect()
        });
        Calls { _instance: (Running(child), me), ended, caller }
    }

    fn none_failed(self) {
        self.ended.store(true, Ordering::Relaxed);
        let failed = self.caller.join().unwrap();
        assert!(failed.is_empty(), "{} calls failed: {}", failed.len(), failed[0]);
    }
}

pub fn trap_11_an_outage_longer_than_the_ttl_loses_nobody<S: Server>(empty: bool) {
    outlast::<S>(empty);
}

pub fn trap_11_a_server_that_comes_back_empty_is_filled_again<S: Server>(empty: bool) {
    outlast::<S>(empty);
}

pub fn trap_11_a_server_that_is_stopped_and_continued_loses_nobody<S: Server>() {
    let _turn = among_others();
    let server = S::start();
    let plum = registering(&server.address());
    let all = register_many(&plum, 20);
    let other = client(&server.address(), json!({}));
    until("all are seen", SOON, || ports(&other, "orders").len() == 20);
    server.stop();
    stays("the list stays", 3 * TTL, || ports(&other, "orders").len() == 20);
    server.go_on();
    until("all are known again", SOON, || server.listed("orders").len() == 20);
    stays("nobody was lost meanwhile", TTL, || ports(&other, "orders").len() == 20);
    assert!(all.iter().all(|one| one.state() == State::Registered));
}

pub fn what_somebody_deletes_by_hand_is_back_within_a_beat<S: Server>() {
    let _turn = alone();
    let server = S::start();
    let plum = registering(&server.address());
    let all = register_many(&plum, 3);
    until("all are registered", SOON, || server.listed("orders") == [1, 2, 3]);
    server.delete_by_hand("orders", 2);
    until("it is back", ONE_BEAT, || server.listed("orders") == [1, 2, 3]);
    drop(all);
}

pub fn two_thousand_instances_are_seen_by_a_hundred_watchers<S: Server>() {
    let _turn = alone();
    let server = S::start();
    let plum = registering(&server.address());
    let all: Vec<Registration> = (0..2_000)
        .map(|n| plum.register(at(&format!("s{:03}", n % 100), 1 + n).ttl(Duration::from_mins(1))).unwrap())
        .collect();
    let other = client(&server.address(), json!({}));
    let watches: Vec<_> = (0..100).map(|n| other.watch(&format!("s{n:03}")).unwrap()).collect();
    let began = Instant::now();
    let mut seen = 0;
    for (n, watch) in watches.iter().enumerate() {
        let mut change = watch.next_within(SOON).unwrap().unwrap_or_else(|| panic!("s{n:03} is not told of"));
        while change.endpoints.len() < 20 {
            change = watch.next_within(SOON).unwrap().unwrap_or_else(|| panic!("s{n:03} is not complete"));
        }
        seen += change.endpoints.len();
    }
    println!("{seen} instances of 100 services in {:?}", began.elapsed());
    all[42].update(at("s042", 43).version("v2").ttl(Duration::from_mins(1))).unwrap();
    let change = watches[42].next_within(SOON).unwrap().expect("the one change");
    assert_eq!(change.updated[0].version, "v2");
    // The other way round: many watch the same.
    let watches: Vec<_> = (0..100).map(|_| other.watch("s007").unwrap()).collect();
    for watch in &watches {
        assert_eq!(watch.next_within(SOON).unwrap().expect("what is there").endpoints.len(), 20);
    }
    all[7].update(at("s007", 8).version("v2").ttl(Duration::from_mins(1))).unwrap();
    for watch in &watches {
        let change = watch.next_within(SOON).unwrap().expect("the one change");
        assert_eq!(change.updated[0].version, "v2");
    }
    println!("{} MiB in all, both clients and the tests included", resident_mib());
}

pub fn clients_of_one_process_go_and_come_without_harm_to_each_other<S: Server>() {
    let _turn = among_others();
    let server = S::start();
    let (first, second) = (partner(&server.address()), partner(&server.address()));
    let mine = first.register(at("orders", 1)).unwrap();
    let theirs = second.register(at("orders", 2)).unwrap();
    for plum in [&first, &second] {
        until("each sees both", SOON, || ports(plum, "orders") == [1, 2]);
        await_settled(plum);
    }
    first.close();
    assert_eq!((mine.state(), theirs.state()), (State::Closed, State::Registered));
    until("what the one took back is gone for the other", SOON, || ports(&second, "orders") == [2]);
    stays("the other stays registered", TTL + Duration::from_secs(1), || server.listed("orders") == [2]);
    let third = partner(&server.address());
    let _late = third.register(at("late", 3)).unwrap();
    let _more = third.register(at("orders", 4)).unwrap();
    for plum in [&second, &third] {
        until("all are seen", SOON, || ports(plum, "orders") == [2, 4] && ports(plum, "late") == [3]);
        await_settled(plum);
    }
    second.close();
    until("the last one sees that", SOON, || ports(&third, "orders") == [4]);
    third.close();
    until("nothing is left", SOON, || server.listed("orders").is_empty() && server.listed("late").is_empty());
}

pub fn an_instance_id_outlives_a_move_and_another_ones_end<S: Server>() {
    let _turn = among_others();
    let server = S::start();
    let (first, second) = (partner(&server.address()), partner(&server.address()));
    let me = |port: u16| at("orders", port).instance_id("orders-127.0.0.1-1");
    let moving = first.register(me(1)).unwrap();
    until("it is registered", SOON, || server.listed("orders") == [1]);
    moving.update(me(2)).unwrap();
    until("it has moved", SOON, || server.listed("orders") == [2]);
    stays("its old place takes nothing along", TTL, || server.listed("orders") == [2]);
    let other = second.register(me(2).version("v2")).unwrap();
    until("the other is registered", SOON, || other.state() == State::Registered);
    moving.close(Duration::ZERO, &Never).unwrap();
    let is_there = || {
        server.listed("orders") == [2] && {
            second.discover("orders").unwrap().iter().any(|endpoint| endpoint.version == "v2")
        }
    };
    until("the other's is there within a beat", SOON, is_there);
    stays("and stays", TTL, is_there);
}

pub fn what_is_closed_in_an_outage_ends_though_other_clients_go_on<S: Server>() {
    let _turn = among_others();
    let server = S::start();
    let all: Vec<Client> = (0..5).map(|_| partner(&server.address())).collect();
    let registered: Vec<Registration> =
        all.iter().zip(1..).map(|(plum, port)| plum.register(at("orders", port)).unwrap()).collect();
    until("all are registered", SOON, || server.listed("orders") == [1, 2, 3, 4, 5]);
    server.stop();
    // Until their beats wait for it: a beat comes each second.
    let is_doubted =
        |plum: &Client| plum.stats().unwrap().registrations[0].last_beat_s.is_some_and(|ago| ago > 1.5);
    until("beats are late", SOON, || all.iter().all(is_doubted));
    registered[0].close(Duration::ZERO, &Never).unwrap();
    all[1].close();
    server.go_on();
    until("those that closed are gone", 2 * TTL + SOON, || server.listed("orders") == [3, 4, 5]);
    stays("and do not rise again", TTL, || server.listed("orders") == [3, 4, 5]);
}

pub fn clients_that_know_a_server_by_name_do_not_wait_for_each_other<S: Server>() {
    let _turn = alone();
    let server = S::start();
    let address = server.address().replace("127.0.0.1", "localhost");
    let all: Vec<Client> = (0..8).map(|_| partner(&address)).collect();
    std::thread::scope(|scope| {
        let register = |(plum, port): (&Client, u16)| {
            let me = plum.register(at("orders", port)).unwrap();
            me.wait(Duration::from_secs(2), &Never).unwrap();
            me
        };
        let running: Vec<_> = all.iter().zip(1..).map(|one| scope.spawn(move || register(one))).collect();
        let registered: Vec<Registration> = running.into_iter().map(|one| one.join().unwrap()).collect();
        drop(registered);
    });
}

/// A client that shares what others like it have opened.
fn partner(address: &str) -> Client {
    sharing(address, json!({"registration": {"ttl": "3s", "wait_listening": "0s"}}))
}

/// However many clients there are, and however many services each of them watches and offers. `above`: how far the port
/// for it lies above the one in the address.
pub fn a_process_has_one_connection<S: Server>(above: u16) {
    let _turn = among_others();
    let server = S::start();
    let address = server.address();
    let digits = address.rsplit(':').next().unwrap().split(['/', '?']).next().unwrap();
    let port = digits.parse::<u16>().unwrap() + above;
    let all: Vec<Client> = (0..3).map(|_| partner(&address)).collect();
    let watches: Vec<_> =
        all.iter().flat_map(|plum| (0..20).map(|n| plum.watch(&format!("s{n}")).unwrap())).collect();
    let registered: Vec<Registration> =
        (0..60).map(|n| all[n % 3].register(at(&format!("s{}", n % 20), 1 + n as u16)).unwrap()).collect();
    for plum in &all {
        until("all are seen", SOON, || (0..20).all(|n| ports(plum, &format!("s{n}")).len() == 3));
    }
    assert_eq!(connections_to(port), 1);
    drop((watches, registered));
}

/// How many connections to this port this process has.
fn connections_to(port: u16) -> usize {
    let ours: BTreeSet<String> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let is_ours = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_open = fields[3] == "01";
        is_open && fields[2].ends_with(&format!(":{port:04X}")) && ours.contains(fields[9])
    };
    std::fs::read_to_string("/proc/net/tcp").unwrap().lines().skip(1).filter(is_ours).count()
}

/// The memory that this process holds.
fn resident_mib() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4 / 1_024
}
