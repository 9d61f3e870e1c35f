//! An outage of the server, however long, loses nobody and fails no call.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{ONE_BEAT, SOON, TTL, at, partner, register_many, registering};
use plumline::registration::RegistrationState;
use plumline::{Client, Registration};
use plumline_servers::{Running, Server};
use plumline_tests::{client, ports, stays, until, until_lasting};
use serde_json::json;

/// Away for longer than the TTL, while calls go on; then back with its data, or without.
fn outlast<S: Server>(empty: bool) {
    let mut server = S::start();
    let plum = registering(&server.address());
    let all = register_many(&plum, "orders", 200);
    until("all are registered", SOON, || all.iter().all(|one| one.state() == RegistrationState::Registered));
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
    // Beside the beat 200 writes to a disk, one after the other at Consul; and a server that has just started may have
    // taken what it has not yet passed on.
    until("all are back, once each, with the latest data", ONE_BEAT + Duration::from_secs(4), || {
        server.listed("orders") == expected && server.record("orders", 8).version == "v2"
    });
    until("and the handles know", SOON, || {
        all.iter().all(|one| one.state() == RegistrationState::Registered)
    });
    stays("nobody was lost meanwhile", TTL, || ports(&other, "orders") == expected);
    let versions = || -> BTreeSet<String> {
        other.discover("orders").unwrap().iter().map(|endpoint| endpoint.version.clone()).collect()
    };
    until("the update is seen by others", SOON, || versions().len() == 2);
    calls.none_failed();
}

/// Calls, one after the other, of an instance that lives.
struct Calls {
    _instance: (Running, Registration),
    ended: Arc<AtomicBool>,
    caller: Option<JoinHandle<Vec<String>>>,
}

impl Calls {
    fn of_an_instance(registering: &Client, calling: &Arc<Client>) -> Calls {
        let (child, said) = Running::begun(&mut Command::new(env!("CARGO_BIN_EXE_test-instance")));
        let port = said.rsplit(':').next().unwrap().parse().unwrap();
        let me = registering.register(at("alive", port)).unwrap();
        until("it is seen", SOON, || ports(calling, "alive") == [port]);
        let ended = Arc::new(AtomicBool::new(false));
        let (plum, until_ended) = (calling.clone(), ended.clone());
        let caller = std::thread::spawn(move || {
            let outcomes = std::iter::repeat_with(|| plum.get("alive", "/"));
            let during = outcomes.take_while(|_| !until_ended.load(Ordering::Relaxed));
            during.filter_map(|outcome| outcome.err().map(|error| error.to_string())).collect()
        });
        Calls { _instance: (child, me), ended, caller: Some(caller) }
    }

    fn none_failed(mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let failed = self.caller.take().expect("it calls").join().unwrap();
        assert!(failed.is_empty(), "{} calls failed: {}", failed.len(), failed[0]);
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        // Also where the test fails: it would call for ever.
        self.ended.store(true, Ordering::Relaxed);
    }
}

pub fn trap_11_outage_longer_than_ttl_loses_nobody<S: Server>(empty: bool) {
    outlast::<S>(empty);
}

pub fn trap_11_emptied_server_is_refilled<S: Server>(empty: bool) {
    outlast::<S>(empty);
}

pub fn trap_11_stopped_server_loses_nobody<S: Server>() {
    let server = S::start();
    let plum = registering(&server.address());
    let all = register_many(&plum, "orders", 20);
    let other = client(&server.address(), json!({}));
    until("all are seen", SOON, || ports(&other, "orders").len() == 20);
    server.stop();
    stays("the list stays", 3 * TTL, || ports(&other, "orders").len() == 20);
    server.go_on();
    until("all are known again", SOON, || server.listed("orders").len() == 20);
    stays("nobody was lost meanwhile", TTL, || ports(&other, "orders").len() == 20);
    // Whoever has given the connection up comes back to it after a spread.
    until("all are well again", SOON, || all.iter().all(|one| one.state() == RegistrationState::Registered));
}

pub fn close_during_outage_is_applied_afterwards<S: Server>() {
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
    registered[0].close(Duration::ZERO).unwrap();
    all[1].close();
    server.go_on();
    // What was under way is taken in any order, and who beats may have run out meanwhile: it is so in the end.
    until_lasting("those that closed are gone, and do not rise again", TTL, 3 * TTL + SOON, || {
        server.listed("orders") == [3, 4, 5]
    });
}
