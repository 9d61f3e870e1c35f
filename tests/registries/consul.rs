//! What only Consul has, and what every registry keeps.

use std::time::Duration;

use plumline::{Client, Instance, Kind};
use plumline_servers::certificates::Authority;
use plumline_servers::consul::Consul;
use plumline_servers::toxiproxy::Toxiproxy;
use plumline_servers::{Server, free_port};
use plumline_tests::{client, ports, stays, until};
use serde_json::{Value, json};

use crate::promises::{TTL, at, promises, registering};

const SOON: Duration = Duration::from_secs(5);

promises!(Consul, seen within 200 ms);

#[test]
fn trap_8_index_that_decreases_restarts_at_0() {
    let mut server = Consul::start();
    let one = registering(&server.address());
    // Many changes, so that the index is far ahead of what an empty server begins with.
    let me = one.register(at("orders", 1)).unwrap();
    (2..200).for_each(|n| me.update(at("orders", 1).version(format!("v{n}"))).unwrap());
    let other = client(&server.address(), json!({}));
    until("the last update is seen", Duration::from_secs(5), || {
        other.discover("orders").unwrap().first().is_some_and(|found| found.version == "v199")
    });
    server.kill();
    server.empty();
    server.revive();
    until("it is registered again", Duration::from_secs(5), || server.listed("orders") == [1]);
    me.update(at("orders", 1).version("after")).unwrap();
    // Shorter than a blocking query waits: nothing but a question from 0 brings them.
    until("changes are seen again", Duration::from_secs(6), || {
        other.discover("orders").unwrap().first().is_some_and(|found| found.version == "after")
    });
}

#[test]
fn unhealthy_instance_is_not_called() {
    let server = Consul::start();
    let one = registering(&server.address());
    let me = one.register(at("orders", 1)).unwrap();
    let other = client(&server.address(), json!({}));
    until("it is seen", Duration::from_secs(5), || other.discover("orders").unwrap().len() == 1);
    me.update(at("orders", 1).healthy(false)).unwrap();
    until("it is no longer called", Duration::from_secs(2), || other.discover("orders").unwrap().is_empty());
    me.update(at("orders", 1).healthy(true)).unwrap();
    until("it is called again", Duration::from_secs(2), || other.discover("orders").unwrap().len() == 1);
}

#[test]
fn update_of_critical_instance_takes_effect_at_once() {
    let server = Consul::start();
    // Its next beat is ten seconds away.
    let one = client(&server.address(), json!({"registration": {"ttl": "30s", "wait_listening": "0s"}}));
    let me = one.register(at("orders", 1)).unwrap();
    until("it is registered", SOON, || server.listed("orders") == [1]);
    let check = format!("service:{}", me.instance().instance_id);
    assert_eq!(server.put(&format!("/v1/agent/check/fail/{check}"), &Value::Null).0, 200);
    until("it is critical", SOON, || server.listed("orders").is_empty());
    me.update(at("orders", 1).version("v2")).unwrap();
    until("it passes", Duration::from_secs(3), || server.listed("orders") == [1]);
    assert_eq!(server.record("orders", 1).version, "v2");
}

#[test]
fn acl_token_is_required_and_enforced() {
    let acl =
        json!({"enabled": true, "default_policy": "deny", "tokens": {"initial_management": "root-secret-1"}});
    let server = Consul::with(&json!({ "acl": acl }));
    let with = |token: &str| format!("{}?token={token}", server.address());
    let right = registering(&with("root-secret-1"));
    let ready = || {
        right.register(at("orders", 1)).is_ok_and(|me| {
            drop(me.detach());
            true
        })
    };
    until("the token is known", Duration::from_secs(5), ready);
    until("it is read", Duration::from_secs(5), || {
        right.discover("orders").is_ok_and(|found| found.len() == 1)
    });

    let wrong = registering(&with("wrong-secret-2"));
    let error = wrong.discover("orders").unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthenticated, "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");

    let nobody = registering(&server.address());
    let (_listener, port) = plumline_tests::listener();
    let error = nobody.register(Instance::new("orders", port).host("127.0.0.1")).unwrap_err();
    assert_eq!(error.kind(), Kind::PermissionDenied, "{error}");
}

#[test]
fn names_the_system_that_answers_instead() {
    let controller = plumline_controller::Controller::start(
        plumline_controller::Config::new().listen("127.0.0.1:0".parse().unwrap()),
    );
    let controller = controller.unwrap();
    let plum = client(&format!("consul://{}", controller.address()), json!({}));
    let error = plum.discover("orders").unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol, "{error}");
    assert!(error.message().contains("does not answer as Consul does"), "{error}");
}

#[test]
fn many_services_are_watched_by_two_queries() {
    let server = Consul::start();
    let one = registering(&server.address());
    let names: Vec<String> = (0..150).map(|n| format!("many-{n:03}")).collect();
    let all: Vec<_> = names.iter().map(|name| one.register(at(name, 1)).unwrap()).collect();
    let other = client(&server.address(), json!({}));
    let watches: Vec<_> = names.iter().map(|name| other.watch(name).unwrap()).collect();
    for (name, watch) in names.iter().zip(&watches) {
        let wait = Duration::from_secs(5);
        let mut change = watch.next_within(wait).unwrap().unwrap_or_else(|| panic!("{name} is not told of"));
        while change.endpoints.is_empty() {
            change = watch.next_within(wait).unwrap().unwrap_or_else(|| panic!("{name} has no endpoint"));
        }
    }
    all[149].update(at(&names[149], 1).version("v2")).unwrap();
    let change = watches[149].next_within(Duration::from_secs(2)).unwrap().expect("a change");
    assert_eq!(change.updated[0].version, "v2");
}

#[test]
fn switches_to_next_agent_when_one_dies() {
    let mut first = Consul::start();
    let second = Consul::start();
    let both = format!("consul://127.0.0.1:{},127.0.0.1:{}", first.http, second.http);
    let plum = registering(&both);
    let me = plum.register(at("orders", 1)).unwrap();
    until("it is registered at the first", Duration::from_secs(5), || first.listed("orders") == [1]);
    assert_eq!(plum.discover("orders").unwrap().len(), 1);
    first.kill();
    until("it is registered at the second", Duration::from_secs(5), || second.listed("orders") == [1]);
    assert_eq!(plum.discover("orders").unwrap().len(), 1);
    drop(me);
}

#[test]
fn trap_6_blackholed_query_is_detected_and_repeated() {
    let server = Consul::start();
    let plum = registering(&server.address());
    let me = plum.register(at("orders", 1)).unwrap();
    let toxiproxy = Toxiproxy::start();
    let through = toxiproxy.towards(server.http);
    let other = client(&format!("consul://127.0.0.1:{through}"), json!({}));
    until("it is seen", SOON, || ports(&other, "orders") == [1]);
    let watch = other.watch("orders").unwrap();
    toxiproxy.swallow(through);
    // A query waits 10 s for news, and we a little longer for its answer.
    until("the silence is noticed", Duration::from_secs(20), || {
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

#[test]
fn deregistration_during_partition_is_reported() {
    let server = Consul::start();
    let plum = registering(&server.address());
    let one = plum.register(at("orders", 1)).unwrap();
    let two = plum.register(at("orders", 2)).unwrap();
    let toxiproxy = Toxiproxy::start();
    let through = toxiproxy.towards(server.http);
    let other = client(&format!("consul://127.0.0.1:{through}"), json!({}));
    until("both are seen", SOON, || ports(&other, "orders") == [1, 2]);
    toxiproxy.cut(through);
    until("the loss is noticed", SOON, || !other.stats().unwrap().cache.registries[0].up);
    two.close(Duration::ZERO).unwrap();
    assert_eq!(ports(&other, "orders"), [1, 2], "the last list serves on");
    toxiproxy.heal(through);
    // Consul does not say how long it keeps anything: twice the usual 15 s.
    until("its end is told", Duration::from_secs(35), || ports(&other, "orders") == [1]);
    drop(one);
}

#[test]
fn killed_leader_loses_no_instance() {
    let mut members = Consul::cluster();
    let hosts: Vec<String> = members.iter().map(|member| format!("127.0.0.1:{}", member.http)).collect();
    let address = format!("consul://{}", hosts.join(","));
    let plum = registering(&address);
    let all: Vec<_> = (1..=20).map(|port| plum.register(at("orders", port)).unwrap()).collect();
    let other = client(&address, json!({}));
    let watch = other.watch("orders").unwrap();
    until("all are seen", SOON, || ports(&other, "orders").len() == 20);
    let victim = members.iter().position(Consul::leads).expect("somebody leads");
    members.remove(victim);
    stays("nobody is lost", 3 * TTL, || ports(&other, "orders").len() == 20);
    while watch.next_within(Duration::ZERO).unwrap().is_some() {}
    all[6].update(at("orders", 7).version("v2")).unwrap();
    until("news is told by those that are left", 2 * SOON, || {
        watch
            .next_within(SOON)
            .unwrap()
            .is_some_and(|change| change.endpoints.iter().any(|found| found.version == "v2"))
    });
}

fn over_tls(port: u16, tls: &Value) -> Client {
    let settings = json!({"tls": tls, "registration": {"wait_listening": "0s"}});
    client(&format!("consul+tls://127.0.0.1:{port}"), settings)
}

#[test]
fn supports_tls_and_client_certificates() {
    let (authority, https) = (Authority::found(), free_port());
    let (own, ours) = (authority.sign("127.0.0.1"), authority.sign("billing"));
    let https_only = json!({"ca_file": authority.ca(), "cert_file": own.cert, "key_file": own.key,
                            "verify_incoming": true});
    let _server = Consul::with(&json!({"ports": {"https": https}, "tls": {"https": https_only}}));
    let plum = over_tls(https, &json!({"ca": authority.ca(), "cert": ours.cert, "key": ours.key}));
    let me = plum.register(at("orders", 1)).unwrap();
    until("it is seen", SOON, || ports(&plum, "orders") == [1]);
    drop(me);
    let nobody = over_tls(https, &json!({"ca": authority.ca()})).discover("orders").unwrap_err();
    assert!(matches!(nobody.kind(), Kind::Protocol | Kind::Unavailable), "{nobody}");
    let files =
        json!({"ca": authority.ca(), "cert": ours.cert, "key": ours.key, "server_name": "consul.example"});
    let error = over_tls(https, &files).discover("orders").unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol, "{error}");
}

#[test]
fn unicode_names_round_trip() {
    let server = Consul::start();
    let plum = registering(&server.address());
    let names = ["a/b", "with space", "поиск", "検索/索引", "50%", "a?b#c", "🦀"];
    let all: Vec<_> = names.iter().map(|name| plum.register(at(name, 1)).unwrap()).collect();
    let other = client(&server.address(), json!({}));
    for name in names {
        until(name, SOON, || ports(&other, name) == [1]);
    }
    let known = other.services().unwrap();
    assert!(names.iter().all(|name| known.iter().any(|known| known == name)), "{known:?}");
    drop(all);
}
