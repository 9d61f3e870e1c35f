//! Two registries of different kinds in an order, one of which is killed.

use std::time::Duration;

use plumline::{Client, Config};
use plumline_servers::Server;
use plumline_servers::consul::Consul;
use plumline_servers::etcd::{Etcd, New};
use plumline_tests::{ports, stays, until};
use serde_json::json;

use crate::promises::{TTL, at};

const SOON: Duration = Duration::from_secs(5);

fn client_of(addresses: &[String]) -> Client {
    let registration = json!({"ttl": "3s", "wait_listening": "0s"});
    let config = json!({"registry": {"addresses": addresses}, "registration": registration});
    Client::with_config(Config::from_value(config).unwrap()).unwrap()
}

#[test]
fn trap_11_failover_to_second_registry_loses_nobody() {
    let (mut first, second) = (Etcd::<New>::start(), Consul::start());
    let both = [first.address(), second.address()];
    let registering = client_of(&both);
    let all: Vec<_> = (1..=20).map(|port| registering.register(at("orders", port)).unwrap()).collect();
    let expected: Vec<u16> = (1..=20).collect();
    until("each is registered with", SOON, || {
        first.listed("orders") == expected && second.listed("orders") == expected
    });
    let plum = client_of(&both);
    until("all are seen", SOON, || ports(&plum, "orders") == expected);
    let from = |scheme: &str| {
        let found = plum.discover("orders").unwrap();
        found.len() == expected.len() && found.iter().all(|endpoint| endpoint.source.starts_with(scheme))
    };
    assert!(from("etcd://"));
    first.kill();
    until("the second is read", SOON, || from("consul://"));
    stays("nobody is lost", 2 * TTL, || ports(&plum, "orders") == expected);
    all[6].update(at("orders", 7).version("v2")).unwrap();
    let is_told = || plum.discover("orders").unwrap().iter().any(|endpoint| endpoint.version == "v2");
    until("news is told by the second", SOON, is_told);
    first.empty();
    first.revive();
    until("the first is filled again", SOON, || first.listed("orders") == expected);
    until("and read again", SOON, || from("etcd://"));
    stays("nobody is lost", TTL, || ports(&plum, "orders") == expected);
}
