//! What only Consul has, and what every registry keeps.

use std::time::Duration;

use plumline::{Instance, Kind};
use plumline_servers::consul::Consul;
use plumline_servers::{Server, among_others};
use plumline_tests::{client, until};
use serde_json::json;

use crate::promises::{at, promises, registering};

promises!(Consul, seen within 200 ms);

#[test]
fn an_index_that_goes_backwards_begins_from_0() {
    let _turn = among_others();
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
    until("changes are seen again", Duration::from_secs(2), || {
        other.discover("orders").unwrap().first().is_some_and(|found| found.version == "after")
    });
}

#[test]
fn unhealthy_is_what_the_program_says_and_callers_are_spared() {
    let _turn = among_others();
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
fn a_token_is_asked_for_known_and_obeyed() {
    let _turn = among_others();
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
fn whatever_else_answers_at_the_port_is_named() {
    let _turn = among_others();
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
fn more_services_than_connections_are_followed_by_two_queries() {
    let _turn = among_others();
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
fn the_next_agent_is_used_when_one_dies() {
    let _turn = among_others();
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
