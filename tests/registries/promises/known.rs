//! Whoever registers is known to all, with what he says, for as long as he lives.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{ONE_BEAT, SOON, TTL, at, await_settled, register_many, registering};
use plumline::registration::RegistrationState;
use plumline::{Endpoint, Registration};
use plumline_servers::{Record, Running, Server, unique};
use plumline_tests::{client, listener, ports, stays, until};
use serde_json::json;

use crate::warnings;

pub fn registration_is_seen_by_other_clients<S: Server>(within: Duration) {
    let (server, orders) = (S::shared(), &*unique("orders"));
    let (one, other) = (registering(&server.address()), client(&server.address(), json!({})));
    assert!(other.discover(orders).unwrap().is_empty());
    let watch = other.watch(orders).unwrap();
    assert_eq!(watch.next_within(SOON).unwrap().unwrap().endpoints.len(), 0);

    let (_listener, port) = listener();
    let instance = at(orders, port).version("v2").weight(7).zone("z").tag("x").label("env", "test");
    let me = one.register(instance).unwrap();
    let registered = Instant::now();
    let change = watch.next_within(SOON).unwrap().expect("a change");
    assert!(registered.elapsed() < within, "seen only after {:?}", registered.elapsed());
    let endpoint = &change.added[0];
    assert_eq!((endpoint.address(), endpoint.version.as_str()), (format!("127.0.0.1:{port}"), "v2"));
    assert_eq!((endpoint.weight, endpoint.zone.as_str(), endpoint.protocol.as_str()), (7, "z", "http"));
    assert_eq!((endpoint.labels["env"].as_str(), endpoint.labels["tags"].as_str()), ("test", r#"["x"]"#));
    assert_eq!(other.services().unwrap().iter().filter(|name| *name == orders).count(), 1);

    let seen = Record { host: "127.0.0.1".into(), version: "v2".into(), weight: 7, env: "test".into() };
    assert_eq!(server.record(orders, port), seen);
    me.update(at(orders, port).version("v3").weight(2).label("env", "production")).unwrap();
    let change = watch.next_within(SOON).unwrap().expect("the update");
    assert_eq!((change.updated[0].version.as_str(), change.updated[0].weight), ("v3", 2));
    stays("listed past its TTL", TTL + Duration::from_secs(1), || server.listed(orders) == [port]);
    assert_eq!(me.state(), RegistrationState::Registered);
}

pub fn reads_foreign_records_and_skips_invalid_ones<S: Server>() {
    warnings::listen();
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

    // However often it is read, each record that cannot be is told of once.
    by_hand.version = "1.0.1".into();
    by_hand.labels.insert("region".into(), "us-west-2".into());
    server.write_by_hand(&by_hand, &["api", "user"]);
    until("the next version", SOON, || plum.discover("user-service").unwrap()[0].version == "1.0.1");
    plum.clear_cache().unwrap();
    assert_eq!(plum.discover("user-service").unwrap().len(), 1);
    let place = server.address();
    let place = place.split(['?']).next().unwrap();
    let told = warnings::with(&[place, "skipped a malformed record"]);
    let records: BTreeSet<&str> = told.iter().filter_map(|line| line.split("record=").nth(1)).collect();
    assert!(!records.is_empty() && records.len() == told.len(), "{told:#?}");
}

pub fn killed_instance_expires_and_closed_one_is_gone<S: Server>() {
    let (server, orders) = (S::shared(), &*unique("orders"));
    let (_listener, port) = listener();
    let arguments = [server.address(), orders.into(), port.to_string(), "3s".into()];
    let (mut child, said) =
        Running::begun(Command::new(env!("CARGO_BIN_EXE_test-registrar")).args(arguments));
    assert_eq!(said, "registered");
    let one = registering(&server.address());
    let (_other_listener, other) = listener();
    let me = one.register(at(orders, other)).unwrap();
    let plum = client(&server.address(), json!({}));
    until("both are seen", SOON, || ports(&plum, orders).len() == 2);
    await_settled(&plum);
    child.kill();
    until("the killed one is gone", TTL + Duration::from_secs(2), || ports(&plum, orders) == [other]);
    me.close(Duration::ZERO).unwrap();
    until("the closed one is gone", Duration::from_secs(1), || ports(&plum, orders).is_empty());
}

pub fn short_ttl_is_renewed_in_time<S: Server>() {
    let (server, orders) = (S::shared(), &*unique("orders"));
    let plum = registering(&server.address());
    // Its beats come every ten seconds or so.
    let _long = plum.register(at(orders, 1).ttl(10 * TTL)).unwrap();
    let _short = plum.register(at(orders, 2)).unwrap();
    until("both are registered", SOON, || server.listed(orders) == [1, 2]);
    stays("listed", 3 * TTL, || server.listed(orders) == [1, 2]);
}

pub fn deleted_record_is_back_within_a_heartbeat<S: Server>() {
    let (server, orders) = (S::shared(), &*unique("orders"));
    let plum = registering(&server.address());
    let all = register_many(&plum, orders, 3);
    until("all are registered", SOON, || server.listed(orders) == [1, 2, 3]);
    server.delete_by_hand(orders, 2);
    until("it is back", ONE_BEAT, || server.listed(orders) == [1, 2, 3]);
    drop(all);
}

pub fn hundred_watchers_see_2000_instances<S: Server>() {
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

/// The memory that this process holds.
fn resident_mib() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4 / 1_024
}
