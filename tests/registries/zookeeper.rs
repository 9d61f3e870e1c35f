//! What only ZooKeeper has, and what every registry keeps.

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use plumline::registration::RegistrationState;
use plumline::{Client, Kind};
use plumline_servers::toxiproxy::Toxiproxy;
use plumline_servers::zookeeper::{OLD, PREFIX, ZooKeeper, node};
use plumline_servers::{Running, Server};
use plumline_tests::{client, listener, ports, stays, until};
use serde_json::json;

use crate::promises::{ONE_BEAT, TTL, at, await_settled, promises, registering};

const SOON: Duration = Duration::from_secs(5);

promises!(ZooKeeper, seen within 200 ms);

#[test]
fn process_has_one_connection() {
    crate::promises::process_has_one_connection::<ZooKeeper>(0);
}

#[test]
fn reregisters_2000_instances_after_session_expiry() {
    let server = ZooKeeper::start();
    let plum = registering(&server.address());
    let all: Vec<_> = (1..=2_000).map(|port| plum.register(at("orders", port)).unwrap()).collect();
    all[6].update(at("orders", 7).version("v2")).unwrap();
    let is_complete = || server.listed("orders").len() == 2_000 && server.record("orders", 7).version == "v2";
    until("all are registered", 4 * SOON, is_complete);
    let other = client(&server.address(), json!({}));
    until("all are seen", SOON, || ports(&other, "orders").len() == 2_000);
    let before = server.owner(&node("orders", 7)).unwrap();
    server.expire(before);
    until("all are back", 4 * SOON, is_complete);
    let after = server.owner(&node("orders", 7)).unwrap();
    assert_ne!(before, after, "they are another session's");
    until("others see them", SOON, || ports(&other, "orders").len() == 2_000);
    until("the handles know", SOON, || all.iter().all(|one| one.state() == RegistrationState::Registered));
}

#[test]
fn trap_10_late_removal_of_old_node_keeps_new_one() {
    let server = ZooKeeper::start();
    // A process that is killed leaves its node until its session is over ...
    let arguments = [server.address(), "orders".into(), "1".into(), "3s".into()];
    let (mut registrar, _said) =
        Running::begun(Command::new(env!("CARGO_BIN_EXE_test-registrar")).args(arguments));
    let path = node("orders", 1);
    let old = server.owner(&path).expect("the old node is there");
    registrar.kill();
    // ... and its successor comes sooner than that.
    let plum = registering(&server.address());
    let me = plum.register(at("orders", 1).version("v2")).unwrap();
    me.wait(SOON).unwrap();
    let new = server.owner(&path).expect("the new node is there");
    assert_ne!(old, new, "the old session's node is not taken for one's own");
    server.expire(old);
    stays("the new node is there, and the same", TTL + Duration::from_secs(1), || {
        server.owner(&path) == Some(new)
    });
    assert_eq!(server.record("orders", 1).version, "v2");
    me.close(Duration::ZERO).unwrap();
    assert_eq!(server.owner(&path), None);
}

#[test]
fn forked_child_uses_its_own_session() {
    let server = ZooKeeper::start();
    let (_child, said) =
        Running::begun(Command::new(env!("CARGO_BIN_EXE_test-forker")).arg(server.address()));
    assert_eq!(said, "2");
    assert_eq!(server.listed("orders"), [1, 2]);
    assert_ne!(server.owner(&node("orders", 1)), server.owner(&node("orders", 2)));
}

#[test]
fn instance_closed_during_outage_is_gone_afterwards() {
    let mut server = ZooKeeper::start();
    let plum = registering(&server.address());
    let (one, other) = (plum.register(at("orders", 1)).unwrap(), plum.register(at("orders", 2)).unwrap());
    until("both are registered", SOON, || server.listed("orders") == [1, 2]);
    server.kill();
    // It cannot be told now.
    let _ = one.close(Duration::ZERO);
    server.revive();
    until("only the other is there", SOON, || server.listed("orders") == [2]);
    stays("and nobody else comes back", TTL, || server.listed("orders") == [2]);
    assert_eq!(other.state(), RegistrationState::Registered);
}

#[test]
fn watch_reports_instances_beside_others() {
    let server = ZooKeeper::start();
    let plum = registering(&server.address());
    let one = plum.register(at("orders", 1)).unwrap();
    let other = client(&server.address(), json!({}));
    let watch = other.watch("orders").unwrap();
    assert_eq!(watch.next_within(SOON).unwrap().unwrap().endpoints.len(), 1);
    await_settled(&other);
    for _ in 0..3 {
        let two = plum.register(at("orders", 2)).unwrap();
        let change = watch.next_within(SOON).unwrap().expect("it has come");
        assert_eq!((change.added.len(), change.endpoints.len()), (1, 2));
        two.close(Duration::ZERO).unwrap();
        let change = watch.next_within(SOON).unwrap().expect("it has gone");
        assert_eq!((change.removed.len(), change.endpoints.len()), (1, 1));
    }
    assert_eq!(one.state(), RegistrationState::Registered);
}

#[test]
fn unhealthy_instance_is_not_called() {
    let server = ZooKeeper::start();
    let one = registering(&server.address());
    let me = one.register(at("orders", 1)).unwrap();
    let other = client(&server.address(), json!({}));
    until("it is seen", SOON, || other.discover("orders").unwrap().len() == 1);
    me.update(at("orders", 1).healthy(false)).unwrap();
    until("it is no longer called", SOON, || other.discover("orders").unwrap().is_empty());
    stays("beats do not heal it", TTL, || other.discover("orders").unwrap().is_empty());
    me.update(at("orders", 1).healthy(true)).unwrap();
    until("it is called again", SOON, || other.discover("orders").unwrap().len() == 1);
}

#[test]
fn lists_nodes_one_by_one_before_3_6() {
    let server = ZooKeeper::of(OLD);
    let plum = registering(&server.address());
    let all: Vec<_> = (1..=20).map(|port| plum.register(at("orders", port)).unwrap()).collect();
    until("all are registered", SOON, || server.listed("orders").len() == 20);
    let other = client(&server.address(), json!({}));
    until("all are seen", SOON, || ports(&other, "orders").len() == 20);
    stays("listed past their TTL", TTL + Duration::from_secs(1), || server.listed("orders").len() == 20);
    server.delete_by_hand("orders", 7);
    until("it is back", SOON, || server.listed("orders").len() == 20);
    let again = || plum.stats().unwrap().registrations.iter().map(|one| one.reregistrations).sum::<u64>();
    until("the answer has arrived", SOON, || again() > 0);
    assert_eq!(again(), 1, "nobody else was registered again");
    assert!(all.iter().all(|one| one.state() == RegistrationState::Registered));
}

#[test]
fn killed_leader_loses_no_registration_watch_or_call() {
    let mut ensemble = ZooKeeper::ensemble();
    let hosts: Vec<String> = ensemble.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
    let address = format!("zookeeper://{}?session_timeout=3s", hosts.join(","));
    let plum = registering(&address);
    let all: Vec<_> = (1..=20).map(|port| plum.register(at("orders", port)).unwrap()).collect();
    let other = client(&address, json!({}));
    let watch = other.watch("orders").unwrap();
    until("all are seen", SOON, || ports(&other, "orders").len() == 20);
    let leader = ensemble.iter().position(ZooKeeper::is_leader).expect("a leader");
    ensemble.swap_remove(leader).kill();
    stays("the list stays, and answers", 2 * TTL, || ports(&other, "orders").len() == 20);
    until("all are registered", SOON, || ensemble[0].listed("orders").len() == 20);
    all[4].update(at("orders", 5).version("v2")).unwrap();
    let mut version = String::new();
    while version != "v2" {
        let change = watch.next_within(SOON).unwrap().expect("the update is told");
        version = change.updated.first().map_or(String::new(), |endpoint| endpoint.version.clone());
    }
    stays("nobody was lost meanwhile", TTL, || ports(&other, "orders").len() == 20);
    assert!(all.iter().all(|one| one.state() == RegistrationState::Registered));
}

#[test]
fn deletion_during_partition_is_reported() {
    let server = ZooKeeper::start();
    let paths = Toxiproxy::start();
    let path = paths.towards(server.port);
    let through = client(&format!("zookeeper://127.0.0.1:{path}?session_timeout=3s"), json!({}));
    let one = registering(&server.address());
    let mut all: Vec<_> = (1..=5).map(|port| one.register(at("orders", port)).unwrap()).collect();
    let watch = through.watch("orders").unwrap();
    while watch.next_within(SOON).unwrap().expect("all are seen").endpoints.len() < 5 {}
    await_settled(&through);
    paths.cut(path);
    until("it is noticed", SOON, || !through.stats().unwrap().cache.registries[0].up);
    for gone in all.drain(3..) {
        gone.close(Duration::ZERO).unwrap();
    }
    all[0].update(at("orders", 1).version("v2")).unwrap();
    stays("the list stays while cut off", TTL + Duration::from_secs(1), || {
        ports(&through, "orders").len() == 5
    });
    paths.heal(path);
    until("the update is seen", SOON, || {
        through.discover("orders").unwrap().iter().any(|endpoint| endpoint.version == "v2")
    });
    // A session that had to be made anew is believed after its time, and those it lacks are dropped after two.
    until("the deleted are gone", 4 * TTL, || ports(&through, "orders") == [1, 2, 3]);
    let mut removed = 0;
    while removed < 2 {
        removed += watch.next_within(SOON).unwrap().expect("the deletes are told").removed.len();
    }
}

#[test]
fn acl_admits_only_listed_users() {
    let server = ZooKeeper::start();
    let lock = json!({"do": "lock", "path": "/locked", "user": "me", "password": "hush-1"});
    server.by_hand(&lock);
    let at_locked = |user: &str, step: &str| {
        format!("zookeeper://{user}127.0.0.1:{}/locked/{step}?session_timeout=3s", server.port)
    };
    let (_listener, port) = listener();

    let right = registering(&at_locked("me:hush-1@", "services"));
    let me = right.register(at("orders", port)).unwrap();
    me.wait(SOON).unwrap();
    assert_eq!(right.discover("orders").unwrap().len(), 1);

    for user in ["", "me:hush-2@"] {
        let other = registering(&at_locked(user, "more"));
        let error = other.register(at("orders", port)).unwrap_err();
        assert_eq!(error.kind(), Kind::PermissionDenied, "{error}");
        assert!(error.message().contains("\"/locked/more\"") && !error.message().contains("hush"), "{error}");
        let reader = client(&format!("zookeeper://{user}127.0.0.1:{}/locked", server.port), json!({}));
        let error = reader.services().unwrap_err();
        assert_eq!(error.kind(), Kind::PermissionDenied, "{error}");
    }
}

#[test]
fn unreadable_service_does_not_affect_others() {
    let server = ZooKeeper::start();
    let plum = registering(&server.address());
    let me = plum.register(at("orders", 1)).unwrap();
    me.wait(SOON).unwrap();
    server.by_hand(
        &json!({"do": "lock", "path": "/laravel-go/services/secret", "user": "me", "password": "hush-1"}),
    );
    let losses = |plum: &Client| plum.stats().unwrap().cache.registries[0].losses;
    let reader = client(&server.address(), json!({}));
    let watch = reader.watch("orders").unwrap();
    until("it is read", SOON, || ports(&reader, "orders") == [1]);
    let hidden = reader.watch("secret").unwrap();
    assert_eq!(reader.discover("secret").unwrap_err().kind(), Kind::PermissionDenied);
    stays("the registry is up", TTL, || losses(&reader) == 0);
    let poor = client(&server.address(), json!({}));
    let only = poor.watch("secret").unwrap();
    until("whoever may read nothing hears of it", SOON, || losses(&poor) == 1);
    drop((watch, hidden, only));
}

#[test]
fn unusual_names_round_trip() {
    let server = ZooKeeper::start();
    let plum = registering(&server.address());
    let names = ["a/b", "with space", "Größe-日本-🦀", ".", "..", "100%", "%2F", "zookeeper"];
    let all: Vec<_> =
        names.iter().map(|name| plum.register(at(name, 1).instance_id(*name)).unwrap()).collect();
    all.iter().for_each(|one| one.wait(SOON).unwrap());
    let other = client(&server.address(), json!({}));
    let mut listed = other.services().unwrap();
    listed.sort_unstable();
    let mut expected = names.map(str::to_owned);
    expected.sort_unstable();
    assert_eq!(listed, expected);
    for name in names {
        let found = other.discover(name).unwrap();
        assert_eq!((found.len(), found[0].instance_id.as_str(), found[0].service.as_str()), (1, name, name));
    }
    drop(all);
    until("nobody offers them any more", SOON, || plum.services().unwrap().is_empty());
}

#[test]
fn rejects_oversized_record() {
    let server = ZooKeeper::start();
    let plum = registering(&server.address());
    let small = plum.register(at("orders", 1).label("text", "x".repeat(900_000))).unwrap();
    small.wait(SOON).unwrap();
    let (_listener, port) = listener();
    let large = plum.register(at("orders", port).label("text", "x".repeat(1 << 20))).unwrap();
    assert_eq!(large.state(), RegistrationState::Refused);
    let error = large.wait(SOON).unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidArgument, "{error}");
    assert!(error.message().contains("bytes; ZooKeeper takes"), "{error}");
    assert_eq!(small.state(), RegistrationState::Registered, "the connection goes on");
}

#[test]
fn names_the_system_that_answers_instead() {
    let controller = plumline_controller::Controller::start(
        plumline_controller::Config::new().listen("127.0.0.1:0".parse().unwrap()),
    );
    let controller = controller.unwrap();
    let plum = client(&format!("zookeeper://{}", controller.address()), json!({}));
    let error = plum.discover("orders").unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol, "{error}");
    assert!(error.message().contains("HTTP/1.1 400"), "{error}");

    // One that hangs up without a word, as a ZooKeeper does that is not ready.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("zookeeper://{}", silent.local_addr().unwrap());
    std::thread::spawn(move || silent.incoming().for_each(drop));
    let error = client(&address, json!({})).discover("orders").unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
}

/// The bounds are what these tests are about: they run alone.
mod timed {
    use super::*;

    #[test]
    fn blackhole_is_detected_within_two_keepalives() {
        let server = ZooKeeper::start();
        let paths = Toxiproxy::start();
        let path = paths.towards(server.port);
        let session = Duration::from_secs(9);
        let through = client(&format!("zookeeper://127.0.0.1:{path}?session_timeout=9s"), json!({}));
        let one = registering(&server.address());
        let me = one.register(at("orders", 1)).unwrap();
        until("it is seen", SOON, || ports(&through, "orders") == [1]);
        // Nothing is under way any more: only a ping can tell.
        await_settled(&through);
        paths.swallow(path);
        let is_up = || through.stats().unwrap().cache.registries[0].up;
        // A keepalive comes every third of the session's time.
        until("it is noticed", 2 * session / 3 + Duration::from_secs(2), || !is_up());
        assert_eq!(ports(&through, "orders"), [1], "the list serves on");
        paths.heal(path);
        until("it heals", 2 * SOON, is_up);
        me.update(at("orders", 1).version("v2")).unwrap();
        until("news come again", SOON, || through.discover("orders").unwrap()[0].version == "v2");
    }

    #[test]
    fn node_deleted_with_parent_is_back_within_a_heartbeat() {
        let server = ZooKeeper::start();
        let plum = registering(&server.address());
        let me = plum.register(at("orders", 1)).unwrap();
        until("it is registered", SOON, || server.listed("orders") == [1]);
        server.delete_by_hand("orders", 1);
        server.by_hand(&json!({"do": "delete", "path": format!("{PREFIX}/orders")}));
        until("it is back", ONE_BEAT, || server.listed("orders") == [1]);
        until("the handle knows", SOON, || me.state() == RegistrationState::Registered);
    }
}
