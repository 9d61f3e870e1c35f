//! What only Nacos has, and what every registry keeps.

use std::collections::BTreeSet;
use std::io::{BufRead, Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use plumline::registration::RegistrationState;
use plumline::{Client, Kind};
use plumline_servers::nacos::{Nacos, free_pair, own_client};
use plumline_servers::toxiproxy::Toxiproxy;
use plumline_servers::{Running, Server};
use plumline_tests::{client, ports, stays, until};
use serde_json::json;

use crate::promises::{ONE_BEAT, at, await_settled, promises, registering};

const SOON: Duration = Duration::from_secs(5);

promises!(Nacos, seen within 1500 ms);

#[test]
fn process_has_one_connection() {
    crate::promises::process_has_one_connection::<Nacos>(1_000);
}

#[test]
fn unusual_names_round_trip() {
    let server = Nacos::start();
    let (one, other) = (registering(&server.address()), client(&server.address(), json!({})));
    let names = [
        "a/b",
        "a b",
        "订单",
        "@a",
        "a@@b",
        "100%",
        "a%20b",
        "com.shop.Orders:1.0",
        "a,b",
        "#?&=",
        "x.y-z_0",
    ];
    let all: Vec<_> = names.iter().map(|name| one.register(at(name, 1)).unwrap()).collect();
    for name in names {
        assert_eq!(ports(&other, name), [1], "{name}");
        assert_eq!(other.discover(name).unwrap()[0].service, name);
    }
    let known: BTreeSet<String> = other.services().unwrap().into_iter().collect();
    assert_eq!(known, names.iter().map(ToString::to_string).collect());
    assert_eq!(server.listed("a@%40b"), [1]);
    let error = one.register(at(&"订".repeat(100), 1)).and_then(|me| me.wait(SOON)).unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidArgument, "{error}");
    drop(all);
}

#[test]
fn instances_of_one_service_come_and_go_one_by_one() {
    let server = Nacos::start();
    let (one, other) = (registering(&server.address()), client(&server.address(), json!({})));
    let mut all: Vec<_> =
        (1..=5).map(|port| one.register(at("orders", port).weight(u32::from(port))).unwrap()).collect();
    until("all are seen", SOON, || ports(&other, "orders") == [1, 2, 3, 4, 5]);
    all.remove(2).close(Duration::ZERO).unwrap();
    assert_eq!(server.listed("orders"), [1, 2, 4, 5]);
    // Another place is another instance; the old one goes.
    all[0].update(at("orders", 9).version("moved")).unwrap();
    until("it has moved", ONE_BEAT, || server.listed("orders") == [2, 4, 5, 9]);
    // A weight of 1 is one that is given.
    all[3].update(at("orders", 5).weight(1).version("light")).unwrap();
    until("it is light", ONE_BEAT, || server.record("orders", 5).version == "light");
    assert_eq!(server.record("orders", 5).weight, 1);
    drop(all);
    assert!(server.listed("orders").is_empty());
}

#[test]
fn registration_ends_with_latest_of_many_updates() {
    let mut server = Nacos::start();
    let one = registering(&server.address());
    let me = one.register(at("orders", 1).version("v1").label("env", "a")).unwrap();
    for version in ["v2", "v3"] {
        me.update(at("orders", 1).version(version).label("env", version)).unwrap();
        until("it is said", ONE_BEAT, || server.record("orders", 1).version == version);
        assert_eq!(server.record("orders", 1).env, version);
    }
    me.close(Duration::ZERO).unwrap();
    let me = one.register(at("orders", 1).version("v4")).unwrap();
    assert_eq!(server.record("orders", 1).version, "v4", "and anew");
    server.kill();
    server.revive();
    until("after a restart too", SOON, || {
        server.listed("orders") == [1] && server.record("orders", 1).version == "v4"
    });
    drop(me);
}

#[test]
fn unhealthy_instance_is_not_called() {
    let server = Nacos::start();
    let one = registering(&server.address());
    let me = one.register(at("orders", 1)).unwrap();
    let other = client(&server.address(), json!({}));
    until("it is seen", SOON, || ports(&other, "orders") == [1]);
    me.update(at("orders", 1).healthy(false)).unwrap();
    until("it is no longer called", SOON, || ports(&other, "orders").is_empty());
    assert_eq!(server.rows("orders")[0]["metadata"]["health"], "unhealthy");
    stays("it stays so past some beats", 2 * ONE_BEAT, || {
        server.rows("orders").iter().any(|row| row["metadata"]["health"] == "unhealthy")
    });
    me.update(at("orders", 1).healthy(true)).unwrap();
    until("it is called again", SOON, || ports(&other, "orders") == [1]);
}

#[test]
fn namespaces_groups_and_clusters_are_isolated() {
    let server = Nacos::start();
    let with = |query: &str| format!("{}{query}", server.address());
    let queries = ["", "?namespace=other", "?group=g", "?cluster=c"];
    let all: Vec<_> = (1..)
        .zip(queries)
        .map(|(port, query)| {
            let plum = registering(&with(query));
            let me = plum.register(at("orders", port)).unwrap();
            (plum, me)
        })
        .collect();
    let sees = |query: &str| ports(&client(&with(query), json!({})), "orders");
    assert_eq!(sees(""), [1, 4], "every cluster unless one is named");
    assert_eq!(sees("?namespace=public"), [1, 4], "the namespace without an id");
    assert_eq!((sees("?namespace=other"), sees("?group=g")), (vec![2], vec![3]));
    assert_eq!((sees("?cluster=c"), sees("?cluster=DEFAULT")), (vec![4], vec![1]));
    let names = client(&with("?group=g"), json!({})).services().unwrap();
    assert_eq!(names, ["orders"]);
    drop(all);
}

#[test]
fn user_is_authenticated_and_authorized() {
    let server = Nacos::with(&[
        ("RNACOS_ENABLE_OPEN_API_AUTH", "true"),
        ("RNACOS_INIT_ADMIN_USERNAME", "me"),
        ("RNACOS_INIT_ADMIN_PASSWORD", "right@secret"),
        ("RNACOS_API_LOGIN_TIMEOUT", "3"),
    ]);
    let with = |user: &str| format!("nacos://{user}127.0.0.1:{}", server.http);
    let right = with("me:right%40secret@");
    let one = registering(&right);
    let me = one.register(at("orders", 1)).unwrap();
    let other = client(&right, json!({}));
    until("it is seen", SOON, || ports(&other, "orders") == [1]);
    stays("it is kept past the end of the token", Duration::from_secs(7), || {
        me.state() == RegistrationState::Registered
    });
    me.update(at("orders", 1).version("v2")).unwrap();
    until("changes are seen with a token of later", SOON, || {
        other.discover("orders").unwrap().first().is_some_and(|found| found.version == "v2")
    });
    for user in ["me:wrong-secret@", "nobody:wrong-secret@", ""] {
        let plum = registering(&with(user));
        let error = plum.discover("orders").unwrap_err();
        assert_eq!(error.kind(), Kind::Unauthenticated, "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
        let (_listener, port) = plumline_tests::listener();
        let error = plum.register(at("orders", port)).unwrap_err();
        assert_eq!(error.kind(), Kind::Unauthenticated, "{error}");
    }
}

#[test]
fn forgotten_token_is_fetched_again() {
    let mut server = Nacos::with(&[("RNACOS_ENABLE_OPEN_API_AUTH", "true")]);
    let address = format!("nacos://admin:admin@127.0.0.1:{}", server.http);
    let plum = registering(&address);
    let me = plum.register(at("orders", 1)).unwrap();
    until("it is seen", SOON, || ports(&plum, "orders") == [1]);
    server.kill();
    server.empty();
    server.revive();
    let other = client(&address, json!({}));
    until("it is registered again", 2 * SOON, || ports(&other, "orders") == [1]);
    until("and the handle knows", SOON, || me.state() == RegistrationState::Registered);
}

#[test]
fn reregisters_1000_services_after_outage() {
    let mut server = Nacos::start();
    let plum = client(&server.address(), json!({"registration": {"wait_listening": "0s"}}));
    let names: Vec<String> = (0..1_000).map(|n| format!("many-{n:03}")).collect();
    let all: Vec<_> = names.iter().map(|name| plum.register(at(name, 1)).unwrap()).collect();
    until("all are registered", SOON, || all.iter().all(|one| one.state() == RegistrationState::Registered));
    server.kill();
    server.revive();
    let is_back = |name: &String| server.listed(name) == [1];
    until("all are back within a beat", 2 * SOON, || names.iter().rev().all(is_back));
    until("and the handles know", 2 * SOON, || {
        all.iter().all(|one| one.state() == RegistrationState::Registered)
    });
    drop(all);
    until("all are gone", SOON, || !names.iter().any(is_back));
}

/// A server behind a wire: the port where the wire begins, and the address there.
fn wired() -> (Nacos, Toxiproxy, u16, String) {
    let (server, wires, port) = (Nacos::start(), Toxiproxy::start(), free_pair());
    wires.between(port + 1000, server.http + 1000);
    (server, wires, port + 1000, format!("nacos://127.0.0.1:{port}"))
}

fn losses(plum: &Client) -> u64 {
    plum.stats().unwrap().cache.registries[0].losses
}

#[test]
fn deregistration_during_partition_is_applied() {
    let (server, wires, wire, address) = wired();
    let one = registering(&server.address());
    let mut all: Vec<_> = (1..=3).map(|port| one.register(at("orders", port)).unwrap()).collect();
    let other = client(&address, json!({}));
    until("all are seen", SOON, || ports(&other, "orders") == [1, 2, 3]);
    wires.cut(wire);
    until("the loss is noticed", Duration::from_secs(1), || losses(&other) == 1);
    all.remove(0).close(Duration::ZERO).unwrap();
    all.push(one.register(at("orders", 4)).unwrap());
    wires.heal(wire);
    until("who came is seen", SOON, || ports(&other, "orders").contains(&4));
    await_settled(&other);
    until("who went is gone, kept twice its time at most", Duration::from_secs(31), || {
        ports(&other, "orders") == [2, 3, 4]
    });
}

#[test]
fn switches_to_next_server_when_one_dies() {
    let mut servers = [Nacos::start(), Nacos::start()];
    let both = format!("nacos://127.0.0.1:{},127.0.0.1:{}", servers[0].http, servers[1].http);
    let plum = registering(&both);
    let me = plum.register(at("orders", 1)).unwrap();
    assert_eq!(plum.discover("orders").unwrap().len(), 1);
    let first = usize::from(servers[0].listed("orders").is_empty());
    servers[first].kill();
    let second = &servers[1 - first];
    until("it is registered at the second", SOON, || second.listed("orders") == [1]);
    assert_eq!(plum.discover("orders").unwrap().len(), 1);
    drop(me);
}

#[test]
fn names_the_system_that_answers_instead() {
    for said in ["HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n"] {
        let port = free_pair();
        let listener = TcpListener::bind(("127.0.0.1", port + 1000)).unwrap();
        // Ends with the process: it holds nothing but its port. Whoever asks later finds what came of the second try.
        std::thread::spawn(move || {
            for mut peer in listener.incoming().flatten() {
                let mut heard = [0; 1024];
                if peer.read(&mut heard).is_ok_and(|count| count > 0)
                    && peer.write_all(said.as_bytes()).is_ok()
                {
                    // Until the other end has had enough.
                    while peer.read(&mut heard).is_ok_and(|count| count > 0) {}
                }
            }
        });
        let plum = client(&format!("nacos://127.0.0.1:{port}"), json!({}));
        let error = plum.discover("orders").unwrap_err();
        assert_eq!(error.kind(), Kind::Protocol, "{error}");
        assert!(error.message().contains("does not speak gRPC"), "{error}");
        assert!(error.message().contains(said.lines().next().unwrap()), "{error}");
    }
}

#[test]
fn watch_all_reports_new_services() {
    let server = Nacos::start();
    let (one, other) = (registering(&server.address()), client(&server.address(), json!({})));
    let first = one.register(at("orders", 1)).unwrap();
    let watch = other.watch_all().unwrap();
    let mut seen = BTreeSet::new();
    let mut sees = |service: &str| {
        while let Some(change) = watch.next_within(Duration::from_millis(100)).unwrap() {
            if !change.endpoints.is_empty() {
                seen.insert(change.service.clone());
            }
        }
        seen.contains(service)
    };
    until("what is there is seen", SOON, || sees("orders"));
    let second = one.register(at("billing", 2)).unwrap();
    until("what comes later is seen", Duration::from_secs(6), || sees("billing"));
    drop((first, second));
}

#[test]
fn interoperates_with_nacos_java_client() {
    let server = Nacos::start();
    let one = registering(&server.address());
    let mine = at("orders", 1).version("v2").weight(7).zone("z").tag("x").label("env", "test");
    let me = one.register(mine).unwrap();
    let place = format!("127.0.0.1:{}", server.http);
    let (_child, said) = own_client(&[&place, "orders", "2"]);
    let mut lines = said.lines().map(|line| line.unwrap()).filter(|line| line.starts_with("peer "));
    assert_eq!(
        lines.next().unwrap(),
        "peer 127.0.0.1:1 weight=7.0 healthy=true env=test health=healthy protocol=http tags=[\"x\"] version=v2 zone=z"
    );
    assert_eq!(lines.next().unwrap(), "peer registered");
    let found = || one.discover("orders").unwrap().into_iter().find(|found| found.port == 2);
    until("theirs is seen", SOON, || found().is_some());
    let theirs = found().unwrap();
    assert_eq!((theirs.weight, theirs.version.as_str(), theirs.labels["env"].as_str()), (3, "v9", "theirs"));
    me.update(at("orders", 1).version("v3").weight(7)).unwrap();
    assert!(lines.any(|line| line.contains("version=v3")), "it is told of changes");
}

#[test]
fn forked_child_uses_its_own_connection() {
    let server = Nacos::start();
    let (_child, said) =
        Running::begun(Command::new(env!("CARGO_BIN_EXE_test-forker")).arg(server.address()));
    assert_eq!(said, "2");
    assert_eq!(server.listed("orders"), [1, 2]);
}

/// The bounds are what these tests are about: they run alone.
mod timed {
    use super::*;

    #[test]
    fn blackhole_is_detected_within_two_keepalives() {
        let (server, wires, wire, address) = wired();
        let one = registering(&address);
        let me = one.register(at("orders", 1)).unwrap();
        let other = client(&address, json!({}));
        until("it is seen", SOON, || ports(&other, "orders") == [1]);
        wires.swallow(wire);
        until("the silence is noticed", Duration::from_secs(10), || losses(&other) == 1);
        assert_eq!(ports(&other, "orders"), [1]);
        wires.heal(wire);
        until("it is registered again", SOON, || {
            server.listed("orders") == [1] && me.state() == RegistrationState::Registered
        });
        me.update(at("orders", 1).version("v2")).unwrap();
        until("changes are seen again", SOON, || {
            other.discover("orders").unwrap().first().is_some_and(|found| found.version == "v2")
        });
    }
}
