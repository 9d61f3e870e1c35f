//! What only etcd has, and what every registry keeps, with both versions.

use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{self, TryRecvError};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use plumline::{Client, Endpoint, Kind};
use plumline_servers::Server;
use plumline_servers::etcd::{Etcd, New, Old, PREFIX, Version};
use plumline_servers::toxiproxy::Toxiproxy;
use plumline_tests::{client, ports, stays, until, until_lasting, within};
use serde_json::{Value, json};

use crate::promises::{TTL, at, await_settled, promises, registering};

const SOON: Duration = Duration::from_secs(5);

mod new {
    use super::*;
    promises!(Etcd<New>, seen within 200 ms);
}

mod old {
    use super::*;
    crate::promises::smoke!(Etcd<Old>);
}

#[test]
fn process_has_one_connection() {
    crate::promises::process_has_one_connection::<Etcd<New>>(0);
}

#[test]
fn two_hundred_instances_share_one_lease() {
    let server = Etcd::<New>::start();
    let plum = registering(&server.address());
    let all: Vec<_> = (1..=201).map(|port| plum.register(at("orders", port)).unwrap()).collect();
    until("all are registered", SOON, || server.listed("orders").len() == 201);
    let mut command = Command::new(New::program().with_file_name("etcdctl"));
    let endpoint = format!("--endpoints=127.0.0.1:{}", server.port);
    let seen = command.args([&endpoint, "get", "--prefix", "--count-only", "--write-out=fields", PREFIX]);
    let seen = String::from_utf8(seen.output().unwrap().stdout).unwrap();
    assert!(seen.contains("\"Count\" : 201"), "{seen}");
    stays("they are kept by their leases", TTL + Duration::from_secs(1), || {
        server.listed("orders").len() == 201
    });
    // Registered in several rounds, the first lease may be granted before the others are known: two or three.
    assert!((2..=3).contains(&server.leases()), "{}", server.leases());
    drop(all);
    until("no lease is left behind", SOON, || server.leases() == 0);
}

#[test]
fn idle_cluster_is_not_reported_as_lost() {
    quiet(&Etcd::<New>::start());
}

#[test]
fn idle_old_cluster_is_not_reported_as_lost() {
    quiet(&Etcd::<Old>::start());
}

/// A sign of life is asked for every 5 s.
fn quiet<V: Version>(server: &Etcd<V>) {
    let plum = registering(&server.address());
    let me = plum.register(at("orders", 1)).unwrap();
    until("it is registered", SOON, || server.listed("orders") == [1]);
    let other = client(&server.address(), json!({}));
    let watches = [other.watch("orders").unwrap(), other.watch("nobody").unwrap()];
    let registry = || other.stats().unwrap().cache.registries.remove(0);
    until("it answers", SOON, || registry().up);
    stays("it goes on answering", Duration::from_secs(17), || registry().losses == 0);
    assert!(registry().settled, "and is believed");
    drop((me, watches));
}

#[test]
fn trap_4_reregisters_under_new_lease_after_long_partition() {
    let server = Etcd::<New>::start();
    let toxiproxy = Toxiproxy::start();
    let through = toxiproxy.towards(server.port);
    let plum = registering(&format!("etcd://127.0.0.1:{through}"));
    let me = plum.register(at("orders", 1)).unwrap();
    until("it is registered", SOON, || server.listed("orders") == [1]);
    let lease = server.lease_of("orders", 1);
    toxiproxy.swallow(through);
    until("its lease is over and its key gone", TTL + SOON, || server.listed("orders").is_empty());
    // Trap 7: what is said meanwhile is what is registered.
    me.update(at("orders", 1).version("v2").healthy(false)).unwrap();
    toxiproxy.heal(through);
    until("it is registered again", SOON, || server.listed("orders") == [1]);
    assert_ne!(server.lease_of("orders", 1), lease);
    // A round that began before the update may come first.
    until("with its latest data", SOON, || server.record("orders", 1).version == "v2");
    let other = client(&server.address(), json!({}));
    stays("it is unwell beyond the next beats", TTL, || other.discover("orders").unwrap().is_empty());
}

#[test]
fn trap_7_late_heartbeat_does_not_revive_closed_instance() {
    let server = Etcd::<New>::start();
    let plum = registering(&server.address());
    let all: Vec<_> = (1..=3).map(|port| plum.register(at("orders", port)).unwrap()).collect();
    until("all are registered", SOON, || server.listed("orders") == [1, 2, 3]);
    // Answers stop; whatever is written now arrives later, in whatever order.
    server.stop();
    all[0].update(at("orders", 1).version("v2")).unwrap();
    all[1].update(at("orders", 2).version("v2")).unwrap();
    within("close() gives up on a stopped server", Duration::from_secs(3), || {
        all[1].close(Duration::ZERO).unwrap();
    });
    server.go_on();
    until_lasting(
        "it stays closed, and the others are there",
        TTL + Duration::from_secs(1),
        2 * TTL + SOON,
        || server.listed("orders") == [1, 3],
    );
}

/// A record that another program writes, without a lease.
fn write(server: &Etcd<New>, port: u16, version: &str) {
    let mut endpoint = Endpoint::new("orders", "127.0.0.1".parse().unwrap(), port);
    endpoint.instance_id = format!("orders-127.0.0.1-{port}");
    endpoint.version = version.into();
    server.write_by_hand(&endpoint, &[]);
}

#[test]
fn trap_11_reset_cluster_with_higher_revision_loses_nobody() {
    let mut server = Etcd::<New>::start();
    let toxiproxy = Toxiproxy::start();
    let through = toxiproxy.towards(server.port);
    (1..=3).for_each(|port| write(&server, port, "v1"));
    let plum = client(&format!("etcd://127.0.0.1:{through}"), json!({}));
    until("all are seen", SOON, || ports(&plum, "orders") == [1, 2, 3]);
    await_settled(&plum);
    let known = server.revision();
    toxiproxy.cut(through);
    server.kill();
    server.empty();
    server.revive();
    write(&server, 2, "v2");
    while server.revision() <= known {
        server.put("/elsewhere", "");
    }
    // Whatever is read is overtaken by what is told.
    let (go_on, ended) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let server = &server;
        scope.spawn(move || {
            while ended.try_recv() == Err(TryRecvError::Empty) {
                write(server, 4, "v1");
            }
        });
        let _go_on = go_on;
        toxiproxy.heal(through);
        let is_new = |endpoint: &Arc<Endpoint>| endpoint.port == 2 && endpoint.version == "v2";
        until("what is new is told", SOON, || plum.discover("orders").unwrap().iter().any(is_new));
        until("and who came beside it", SOON, || ports(&plum, "orders").contains(&4));
    });
    stays("who is not listed is kept", TTL, || ports(&plum, "orders") == [1, 2, 3, 4]);
}

#[test]
fn trap_5_restores_2000_instances_after_20_kills() {
    let mut server = Etcd::<New>::start();
    let plum = registering(&server.address());
    let all: Vec<_> = (1..=2_000).map(|port| plum.register(at("orders", port)).unwrap()).collect();
    for round in 0..20 {
        server.kill();
        if round % 5 == 4 {
            server.empty();
        }
        server.revive();
        // Some have been registered again, as a rule not all.
        until("registering goes on", SOON, || !server.listed("orders").is_empty());
    }
    all[1_234].update(at("orders", 1_235).version("latest")).unwrap();
    let expected: Vec<u16> = (1..=2_000).collect();
    until("everybody is back, once", Duration::from_secs(15), || server.listed("orders") == expected);
    until("with the latest data", SOON, || server.record("orders", 1_235).version == "latest");
}

#[test]
fn trap_9_changes_hidden_by_compaction_are_reported() {
    let server = Etcd::<New>::start();
    let plum = registering(&server.address());
    let all: Vec<_> = (1..=3).map(|port| plum.register(at("orders", port)).unwrap()).collect();
    until("all are registered", SOON, || server.listed("orders").len() == 3);
    let toxiproxy = Toxiproxy::start();
    let through = toxiproxy.towards(server.port);
    let other = client(&format!("etcd://127.0.0.1:{through}"), json!({}));
    assert_eq!(ports(&other, "orders"), [1, 2, 3]);
    let watch = other.watch("orders").unwrap();
    assert_eq!(watch.next_within(SOON).unwrap().unwrap().endpoints.len(), 3);
    toxiproxy.cut(through);
    until("the loss is noticed", SOON, || !other.stats().unwrap().cache.registries[0].up);
    let mut all = all;
    all.pop().unwrap().close(Duration::ZERO).unwrap();
    (0..10).for_each(|n| all[0].update(at("orders", 1).version(format!("v{n}"))).unwrap());
    until("the last update is there", SOON, || server.record("orders", 1).version == "v9");
    server
        .gateway("/v3/kv/compaction", &json!({"revision": server.revision().to_string(), "physical": true}));
    assert_eq!(ports(&other, "orders"), [1, 2, 3], "the last list serves on");
    toxiproxy.heal(through);
    // Its absence is believed after twice the TTL, for the registry was away.
    until("the end of the third is told", 2 * TTL + SOON, || ports(&other, "orders") == [1, 2]);
    until("and the update", SOON, || {
        other.discover("orders").unwrap().iter().any(|found| found.version == "v9")
    });
}

#[test]
fn trap_6_blackholed_watch_is_detected_and_resumed() {
    let server = Etcd::<New>::start();
    let plum = registering(&server.address());
    let me = plum.register(at("orders", 1)).unwrap();
    let toxiproxy = Toxiproxy::start();
    let through = toxiproxy.towards(server.port);
    let other = client(&format!("etcd://127.0.0.1:{through}"), json!({}));
    until("it is seen", SOON, || ports(&other, "orders") == [1]);
    let watch = other.watch("orders").unwrap();
    toxiproxy.swallow(through);
    // A reader keeps alive every 5 s.
    until("the silence is noticed", Duration::from_secs(11), || {
        !other.stats().unwrap().cache.registries[0].up
    });
    me.update(at("orders", 1).version("v2")).unwrap();
    toxiproxy.heal(through);
    until("what happened meanwhile is told", SOON, || {
        watch
            .next_within(SOON)
            .unwrap()
            .is_some_and(|change| change.endpoints.iter().any(|found| found.version == "v2"))
    });
}

fn with_auth<V: Version>(server: &Etcd<V>) {
    let call = |path: &str, body: Value| server.gateway(path, &body);
    for (user, password) in
        [("root", "root-secret"), ("reader", "reader-secret"), ("writer", "writer-secret")]
    {
        call("/v3/auth/user/add", json!({"name": user, "password": password}));
    }
    call("/v3/auth/role/add", json!({"name": "root"}));
    call("/v3/auth/user/grant", json!({"user": "root", "role": "root"}));
    for (user, permission) in [("reader", "READ"), ("writer", "READWRITE")] {
        call("/v3/auth/role/add", json!({"name": user}));
        let range = json!({"permType": permission, "key": BASE64.encode(format!("{PREFIX}/")),
                           "range_end": BASE64.encode(format!("{PREFIX}0"))});
        call("/v3/auth/role/grant", json!({"name": user, "perm": range}));
        call("/v3/auth/user/grant", json!({"user": user, "role": user}));
    }
    call("/v3/auth/enable", json!({}));
}

fn as_user<V: Version>(server: &Etcd<V>, user: &str) -> Client {
    registering(&server.address().replace("://", &format!("://{user}@")))
}

#[test]
fn user_is_authenticated_and_token_renewed() {
    user_and_token(&Etcd::<New>::with(&["--auth-token-ttl", "2"]));
}

#[test]
fn user_is_authenticated_by_old_version() {
    user_and_token(&Etcd::<Old>::with(&["--auth-token-ttl", "2"]));
}

/// Tokens live for two seconds without being used.
fn user_and_token<V: Version>(server: &Etcd<V>) {
    with_auth(server);
    let (_listener, port) = plumline_tests::listener();
    let writer = as_user(server, "writer:writer-secret");
    let me = writer.register(at("orders", port)).unwrap();
    let reader = as_user(server, "reader:reader-secret");
    until("it is seen", SOON, || ports(&reader, "orders") == [port]);

    let error = reader.register(at("billing", port)).unwrap_err();
    assert_eq!(error.kind(), Kind::PermissionDenied, "{error}");
    let error = as_user(server, "writer:wrong-secret").discover("orders").unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthenticated, "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    let error = client(&server.address(), json!({})).discover("orders").unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthenticated, "{error}");
    assert!(error.message().contains("user:password@"), "{error}");

    stays("the token is renewed", Duration::from_secs(5), || ports(&reader, "orders") == [port]);
    me.update(at("orders", port).version("v2")).unwrap();
    until("and the update is told", SOON, || {
        reader.discover("orders").unwrap().iter().any(|found| found.version == "v2")
    });
    reader.clear_cache().unwrap();
    assert_eq!(ports(&reader, "orders"), [port]);
    // What is watched only now goes over a stream that was opened with another token.
    let watch = reader.watch("late").unwrap();
    let late = writer.register(at("late", port)).unwrap();
    until("it is told", 2 * SOON, || {
        watch.next_within(SOON).unwrap().is_some_and(|change| !change.endpoints.is_empty())
    });
    drop(late);
}

#[test]
fn unicode_names_round_trip() {
    let server = Etcd::<New>::start();
    let plum = registering(&server.address());
    let names = ["a/b", "with space", "поиск", "検索/索引", "50%", "..", "a.b:c", "🦀"];
    let all: Vec<_> = names
        .iter()
        .map(|name| plum.register(at(name, 1).instance_id(format!("{name}/1"))).unwrap())
        .collect();
    let other = client(&server.address(), json!({}));
    for name in names {
        until(name, SOON, || ports(&other, name) == [1]);
        assert_eq!(other.discover(name).unwrap()[0].instance_id, format!("{name}/1"));
    }
    let mut expected: Vec<String> = names.iter().map(ToString::to_string).collect();
    expected.sort_unstable();
    assert_eq!(other.services().unwrap(), expected);
    drop(all);
}

#[test]
fn rejects_labels_over_one_megabyte() {
    let server = Etcd::<New>::start();
    let plum = registering(&server.address());
    let (_listener, port) = plumline_tests::listener();
    let fine = plum.register(at("orders", 1)).unwrap();
    let me = plum.register(at("orders", port).label("long", "x".repeat(1 << 20))).unwrap();
    let error = me.last_error().expect("it is refused");
    assert_eq!(error.kind(), Kind::InvalidArgument, "{error}");
    assert!(error.message().contains("its labels are too long"), "{error}");
    assert_eq!(server.listed("orders"), [1], "the other is not held up by it");
    drop(fine);
}

#[test]
fn names_the_system_that_answers_instead() {
    let controller = plumline_controller::Controller::start(
        plumline_controller::Config::new().listen("127.0.0.1:0".parse().unwrap()),
    );
    let controller = controller.unwrap();
    let plum = client(&format!("etcd://{}", controller.address()), json!({}));
    let error = plum.discover("orders").unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol, "{error}");
    assert!(error.message().contains("does not speak gRPC"), "{error}");
}

#[test]
fn one_watch_covers_all_services() {
    let server = Etcd::<Old>::start();
    let plum = registering(&server.address());
    let first = plum.register(at("orders", 1)).unwrap();
    let other = client(&server.address(), json!({}));
    let watch = other.watch_all().unwrap();
    let mut told = std::collections::BTreeMap::new();
    let mut until_told = |what: &str, count: usize| {
        until(what, SOON, || {
            if let Some(change) = watch.next_within(Duration::from_millis(50)).unwrap() {
                told.insert(change.service.clone(), change.endpoints.len());
            }
            told.values().sum::<usize>() == count
        });
    };
    until_told("what is there", 1);
    let second = plum.register(at("billing", 2)).unwrap();
    until_told("what comes later", 2);
    first.update(at("orders", 1).healthy(false)).unwrap();
    until("one that is unwell is spared", SOON, || other.discover("orders").unwrap().is_empty());
    drop(second);
}
