//! Several registries in an order: the first that answers is read, every one is registered with.

use std::time::Duration;

use plumline::{Client, Config, Instance};
use plumline_tests::{Process, ports, stays, until};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(5);
const TTL: Duration = Duration::from_secs(2);

fn process() -> Process {
    Process::start(env!("CARGO_BIN_EXE_test-controller"), TTL)
}

fn client_of(addresses: &[String], mode: &str) -> Client {
    let mut config: Value = json!({"registration": {"ttl": "2s", "wait_listening": "0s"}});
    config["registry"] = json!({"addresses": addresses, "mode": mode});
    Client::with_config(Config::from_value(config).unwrap()).unwrap()
}

fn at(port: u16) -> Instance {
    Instance::new("orders", port).host("127.0.0.1")
}

fn sources(plum: &Client) -> Vec<String> {
    let mut all: Vec<String> = plum.discover("orders").unwrap().iter().map(|e| e.source.clone()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[test]
fn reads_first_available_registry_and_loses_nobody() {
    let (mut first, second) = (process(), process());
    let (one, other) = (first.plum(), second.plum());
    let both = [one.clone(), other.clone()];
    let registering = client_of(&both, "failover");
    let all: Vec<_> = (1..=3).map(|port| registering.register(at(port)).unwrap()).collect();
    // One that only the first knows of.
    let only = client_of(std::slice::from_ref(&one), "failover");
    let alone = only.register(at(9)).unwrap();
    until("each registry is registered with", SOON, || {
        first.listed("orders") == [1, 2, 3, 9] && second.listed("orders") == [1, 2, 3]
    });

    let plum = client_of(&both, "failover");
    let watch = plum.watch("orders").unwrap();
    assert_eq!(watch.next_within(SOON).unwrap().unwrap().endpoints.len(), 4);
    assert_eq!(sources(&plum), std::slice::from_ref(&one));
    first.kill();
    until("the second is read", SOON, || sources(&plum).contains(&other));
    assert_eq!(ports(&plum, "orders"), [1, 2, 3, 9], "what the second does not list is not gone yet");
    until("after a while it is", 2 * TTL + SOON, || ports(&plum, "orders") == [1, 2, 3]);
    assert!(plum.stats().unwrap().cache.registries[0].up, "no loss, as long as one answers");

    first.revive();
    until("the first is read again", SOON, || sources(&plum) == [one.clone()]);
    until("with all that it lists", SOON, || ports(&plum, "orders") == [1, 2, 3, 9]);
    all[0].update(at(1).version("v2")).unwrap();
    until("and what changes there is told", SOON, || {
        plum.discover("orders").unwrap().iter().any(|endpoint| endpoint.version == "v2")
    });
    drop(alone);
}

#[test]
fn first_read_fails_over_and_total_loss_is_reported() {
    let (mut first, mut second) = (process(), process());
    let both = [first.plum(), second.plum()];
    let registering = client_of(&both, "failover");
    let me = registering.register(at(1)).unwrap();
    until("it is registered", SOON, || second.listed("orders") == [1]);
    first.kill();
    let plum = client_of(&both, "failover");
    assert_eq!(ports(&plum, "orders"), [1]);
    assert_eq!(plum.services().unwrap(), ["orders"]);
    second.kill();
    until("the loss is told", SOON, || !plum.stats().unwrap().cache.registries[0].up);
    stays("the last list serves on", TTL * 2, || ports(&plum, "orders") == [1]);
    second.revive();
    until("the second answers again", SOON, || plum.stats().unwrap().cache.registries[0].up);
    until("and knows it again", SOON, || second.listed("orders") == [1]);
    drop(me);
}

#[test]
fn merge_mode_deduplicates_endpoints() {
    let (first, second) = (process(), process());
    let (one, other) = (first.plum(), second.plum());
    let both = [one.clone(), other.clone()];
    let registering = client_of(&both, "merge");
    let me = registering.register(at(1)).unwrap();
    let (at_one, at_other) = (client_of(&[one], "merge"), client_of(&[other], "merge"));
    let (two, three) = (at_one.register(at(2)).unwrap(), at_other.register(at(3)).unwrap());
    let plum = client_of(&both, "merge");
    until("both lists are one", SOON, || ports(&plum, "orders") == [1, 2, 3]);
    assert_eq!(plum.stats().unwrap().cache.registries.len(), 2);
    drop((me, two, three));
}

#[test]
fn watch_all_follows_failover() {
    let (mut first, second) = (process(), process());
    let both = [first.plum(), second.plum()];
    let registering = client_of(&both, "failover");
    let me = registering.register(at(1)).unwrap();
    until("it is registered", SOON, || second.listed("orders") == [1]);
    let plum = client_of(&both, "failover");
    let watch = plum.watch_all().unwrap();
    until("it is told", SOON, || {
        watch.next_within(SOON).unwrap().is_some_and(|change| change.service == "orders")
    });
    first.kill();
    until("the second is read", SOON, || sources(&plum) == [second.plum()]);
    let late = registering.register(Instance::new("billing", 2).host("127.0.0.1")).unwrap();
    until("what comes later is told from there", SOON, || {
        watch.next_within(SOON).unwrap().is_some_and(|change| change.service == "billing")
    });
    drop((me, late));
}
