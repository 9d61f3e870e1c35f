//! Staying registered with a real controller, whatever happens to it.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use plumline::registration::RegistrationState;
use plumline::{Instance, Kind, Registration};
use plumline_tests::{Process, client, listener, stays, until, within};
use serde_json::json;

const CONTROLLER: &str = env!("CARGO_BIN_EXE_test-controller");
/// The controllers here keep an instance this long, so that a beat comes each second.
const TTL: Duration = Duration::from_secs(3);
/// Losing a registry, coming back to it and a beat.
const ONE_BEAT: Duration = Duration::from_millis(1_500 + 1_150);
const SOON: Duration = Duration::from_secs(5);

fn at(port: u16) -> Instance {
    Instance::new("orders", port).host("127.0.0.1")
}

#[test]
fn instance_is_listed_while_handle_lives() {
    let controller = Process::start(CONTROLLER, TTL);
    let plum = client(&controller.plum(), json!({}));
    let (_server, port) = listener();
    let me = plum.register(at(port).version("v2").weight(7).zone("a").tag("x").label("env", "test")).unwrap();
    assert_eq!(me.state(), RegistrationState::Registered);
    assert_eq!(me.address(), format!("127.0.0.1:{port}"));
    let found = plum.discover("orders").unwrap();
    let endpoint = &found[0];
    assert_eq!((endpoint.version.as_str(), endpoint.weight, endpoint.zone.as_str()), ("v2", 7, "a"));
    assert_eq!((endpoint.labels["env"].as_str(), endpoint.labels["tags"].as_str()), ("test", r#"["x"]"#));
    stays("listed past its TTL", TTL + Duration::from_secs(1), || controller.listed("orders") == [port]);
    assert!(plum.stats().unwrap().registrations[0].beats >= 2);
    drop(me);
    assert!(controller.listed("orders").is_empty());
    until("the watch saw it go", SOON, || plum.discover("orders").unwrap().is_empty());
}

#[test]
fn instance_is_published_once_port_answers() {
    let controller = Process::start(CONTROLLER, TTL);
    let plum = client(&controller.plum(), json!({}));
    let (server, port) = listener();
    drop(server);
    let me = plum.register(at(port)).unwrap();
    assert_eq!(me.state(), RegistrationState::WaitingForPort);
    assert!(controller.listed("orders").is_empty());
    let _server = TcpListener::bind(("127.0.0.1", port)).unwrap();
    me.wait(SOON).unwrap();
    assert_eq!(controller.listed("orders"), [port]);
}

#[test]
fn rejects_unreachable_hosts_and_ports() {
    let controller = Process::start(CONTROLLER, TTL);
    let plum = client(&controller.plum(), json!({}));
    for (instance, says) in [
        (Instance::new("orders", 80).host("0.0.0.0"), "where to listen"),
        (Instance::new("orders", 80).host("localhost"), "where to listen"),
        (Instance::new("orders", 0), "port 0"),
    ] {
        let error = plum.register(instance).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidArgument);
        assert!(error.message().contains(says), "{error}");
    }
    let fixed = client("static://127.0.0.1:1", json!({}));
    assert_eq!(fixed.register(at(80)).unwrap_err().kind(), Kind::Unsupported);
}

#[test]
fn host_is_taken_from_route_to_registry() {
    let controller = Process::start(CONTROLLER, TTL);
    let plum = client(&controller.plum(), json!({}));
    let (_server, port) = listener();
    let me = plum.register(Instance::new("orders", port)).unwrap();
    assert_eq!(me.address(), format!("127.0.0.1:{port}"));
    assert_eq!(me.instance().instance_id, format!("orders-127.0.0.1-{port}"));
}

#[test]
fn registers_once_registry_is_reachable() {
    let mut controller = Process::start(CONTROLLER, TTL);
    controller.kill();
    let plum = client(&controller.plum(), json!({}));
    let (_server, port) = listener();
    let me = within("a refused connection ends the wait", Duration::from_secs(1), || {
        plum.register(at(port)).unwrap()
    });
    assert_eq!(
        (me.state(), me.last_error().unwrap().kind()),
        (RegistrationState::Unreachable, Kind::Unavailable)
    );
    controller.revive();
    me.wait(SOON).unwrap();
    assert_eq!((controller.listed("orders"), me.last_error().is_none()), (vec![port], true));
}

/// `count` instances of one service at ports nobody listens on.
fn register_many(plum: &plumline::Client, count: u16) -> Vec<Registration> {
    (1..=count).map(|port| plum.register(at(port)).unwrap()).collect()
}

#[test]
fn reregisters_within_a_heartbeat_after_empty_restart() {
    let mut controller = Process::start(CONTROLLER, TTL);
    let plum = client(&controller.plum(), json!({ "registration": { "wait_listening": "0s" } }));
    let all = register_many(&plum, 200);
    assert_eq!(controller.listed("orders").len(), 200);
    all[7].update(at(8).version("v2")).unwrap();
    controller.restart_empty();
    until("all 200 are back", ONE_BEAT, || controller.listed("orders").len() == 200);
    let (_, v2) = controller.ask("GET", "/v1/discovery?service=orders&version=v2", "");
    assert_eq!(plumline_tests::ports_in(&v2), [8], "with the latest data");
    until("the handles know", SOON, || all.iter().all(|one| one.state() == RegistrationState::Registered));
}

/// Trap 5.
#[test]
fn kill_during_reregistration_restores_exact_set() {
    let mut controller = Process::start(CONTROLLER, TTL);
    let plum = client(&controller.plum(), json!({ "registration": { "wait_listening": "0s" } }));
    let mut all = register_many(&plum, 200);
    for round in 0..8 {
        controller.restart_empty();
        // Somewhere between the first and the last one to come back.
        until("some are back", SOON, || controller.listed("orders").len() > round * 20);
        if round % 2 == 0 {
            drop(all.pop());
        }
    }
    let living: BTreeSet<u16> = all.iter().map(|one| one.instance().port).collect();
    let listed = || controller.listed("orders").into_iter().collect::<BTreeSet<_>>();
    until("exactly the living are listed", SOON, || listed() == living);
    stays("and nobody else", TTL, || listed() == living);
}

/// Trap 7.
#[test]
fn update_during_outage_is_registered_afterwards() {
    let mut controller = Process::start(CONTROLLER, TTL);
    let plum = client(&controller.plum(), json!({ "registration": { "wait_listening": "0s" } }));
    let me = plum.register(at(7).version("v1")).unwrap();
    controller.kill();
    until("the loss is noticed", SOON, || me.state() == RegistrationState::Unreachable);
    me.update(at(7).version("v2").label("since", "outage")).unwrap();
    controller.revive();
    until("it is back", SOON, || controller.listed("orders") == [7]);
    let found = plum.discover(plumline::Query::new("orders").version("v2"));
    let body = controller.ask("GET", "/v1/discovery?service=orders", "").1;
    assert!(body.contains("\"v2\"") && body.contains("outage"), "{body} {found:?}");
}

/// Trap 7.
#[test]
fn unhealthy_state_is_kept() {
    let controller = Process::start(CONTROLLER, TTL);
    let plum = client(&controller.plum(), json!({ "registration": { "wait_listening": "0s" } }));
    let (me, other) = (plum.register(at(7)).unwrap(), plum.register(at(8)).unwrap());
    me.update(at(7).healthy(false)).unwrap();
    until("the handle's word arrives", SOON, || controller.listed("orders") == [8]);
    let id = other.instance().instance_id;
    let path =
        format!("/v1/services/endpoint?serviceName=orders&instanceId={id}&ip=127.0.0.1&port=8&protocol=http");
    let row = json!({ "serviceName": "orders", "instanceId": id, "ip": "127.0.0.1", "port": 8,
        "protocol": "http", "version": "", "labels": {}, "healthy": false });
    assert_eq!(controller.ask("PATCH", &path, &row.to_string()).0, 204);
    let beats = || plum.stats().unwrap().registrations.iter().map(|one| one.beats).min().unwrap();
    let before = beats();
    until("three beats have gone by", SOON, || {
        assert!(controller.listed("orders").is_empty());
        beats() >= before + 3
    });
    me.update(at(7).healthy(true)).unwrap();
    until("healthy again", SOON, || controller.listed("orders") == [7]);
    drop(other);
    let all = controller.ask("GET", "/v1/discovery?service=orders&all=true", "").1;
    assert_eq!(plumline_tests::ports_in(&all), [7], "what was altered by hand is closed all the same");
}

#[test]
fn changed_identity_removes_old_record() {
    let controller = Process::start(CONTROLLER, TTL);
    let plum = client(&controller.plum(), json!({ "registration": { "wait_listening": "0s" } }));
    let me = plum.register(at(7).instance_id("me")).unwrap();
    me.update(at(9).instance_id("me")).unwrap();
    until("only the new one is listed", SOON, || controller.listed("orders") == [9]);
    stays("and stays", TTL, || controller.listed("orders") == [9]);
    drop(me);
    assert!(controller.listed("orders").is_empty());
}

#[test]
fn one_instance_id_may_offer_several_services() {
    let controller = Process::start(CONTROLLER, TTL);
    let plum = client(&controller.plum(), json!({ "registration": { "wait_listening": "0s" } }));
    let offer =
        |name: &str| plum.register(Instance::new(name, 7).host("127.0.0.1").instance_id("me")).unwrap();
    let (a, b) = (offer("a"), offer("b"));
    stays("both are kept", TTL * 2, || controller.listed("a") == [7] && controller.listed("b") == [7]);
    let stats = plum.stats().unwrap().registrations;
    assert!(stats.iter().all(|one| one.reregistrations == 0 && one.beats > 2), "{stats:?}");
    drop(a);
    stays("the other one is", TTL * 2, || controller.listed("a").is_empty() && controller.listed("b") == [7]);
    drop(b);
}

/// Trap 7.
#[test]
fn close_during_heartbeats_is_final() {
    let controller = Process::start(CONTROLLER, Duration::from_millis(300));
    let plum = client(&controller.plum(), json!({ "registration": { "wait_listening": "0s" } }));
    for _ in 0..20 {
        let me = plum.register(at(7)).unwrap();
        let kept = plum.register(at(8)).unwrap();
        until("both are known", SOON, || controller.listed("orders") == [7, 8]);
        me.close(Duration::ZERO).unwrap();
        assert!(!controller.listed("orders").contains(&7));
        stays("it does not come back", Duration::from_millis(150), || {
            !controller.listed("orders").contains(&7)
        });
        drop(kept);
    }
}

#[test]
fn close_is_idempotent() {
    let controller = Process::start(CONTROLLER, TTL);
    let plum = client(&controller.plum(), json!({ "registration": { "wait_listening": "0s" } }));
    let me = plum.register(at(7)).unwrap();
    let detached = plum.register(at(8)).unwrap().detach();
    drop(detached);
    me.close(Duration::ZERO).unwrap();
    me.close(Duration::ZERO).unwrap();
    assert_eq!((me.state(), controller.listed("orders")), (RegistrationState::Closed, vec![8]));
    assert_eq!(me.update(at(7)).unwrap_err().kind(), Kind::Closed);
    plum.close();
    assert!(controller.listed("orders").is_empty(), "close() deregisters what was detached, too");
    assert_eq!(plum.register(at(7)).unwrap_err().kind(), Kind::Closed);
}

#[test]
fn detached_registration_outlives_its_client() {
    let controller = Process::start(CONTROLLER, TTL);
    let plum = client(&controller.plum(), json!({ "registration": { "wait_listening": "0s" } }));
    drop(plum.register(at(7)).unwrap().detach());
    drop(plum);
    stays("beaten for", TTL * 2, || controller.listed("orders") == [7]);
}

#[test]
fn unauthenticated_registry_is_reported_at_once() {
    let config = plumline_controller::Config::new().listen("127.0.0.1:0".parse().unwrap()).token("hush");
    let controller = plumline_controller::Controller::start(config).unwrap();
    let address = format!("plum://{}", controller.address());
    let (_server, port) = listener();
    for wrong in [address.clone(), format!("{address}?token=wrong")] {
        let error = client(&wrong, json!({})).register(at(port)).unwrap_err();
        assert_eq!(error.kind(), Kind::Unauthenticated, "{error}");
        assert!(!format!("{error:?}").contains("wrong"));
    }
    let plum = client(&format!("{address}?token=hush"), json!({}));
    let me = plum.register(at(port)).unwrap();
    assert_eq!(me.state(), RegistrationState::Registered);
    assert_eq!(plum.discover("orders").unwrap().len(), 1);
    assert!(!format!("{plum:?} {}", json!(plum.stats().unwrap())).contains("hush"));
}

#[test]
fn tls_registers_and_verifies_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let files = plumline_controller::TlsFiles { certificate: certificate.clone(), key };
    let config = plumline_controller::Config::new().listen("127.0.0.1:0".parse().unwrap()).tls(files);
    let controller = plumline_controller::Controller::start(config).unwrap();
    let address = format!("plum+tls://{}", controller.address());
    let settings = json!({ "tls": { "ca": certificate }, "registration": { "wait_listening": "0s" } });
    let (plum, other) = (client(&address, settings.clone()), client(&address, settings));
    assert!(other.discover("orders").unwrap().is_empty());
    let me = plum.register(at(7)).unwrap();
    until("the watch over TLS tells of it", SOON, || plumline_tests::ports(&other, "orders") == [7]);
    drop(me);
    until("and of its end", SOON, || plumline_tests::ports(&other, "orders").is_empty());
    let stranger = client(&address, json!({}));
    assert_eq!(stranger.discover("orders").unwrap_err().kind(), Kind::Protocol);
}

#[test]
fn stalled_registry_blocks_nobody_and_loses_nothing() {
    let controller = Process::start(CONTROLLER, TTL);
    let plum = client(&controller.plum(), json!({ "registration": { "wait_listening": "0s" } }));
    let _all = register_many(&plum, 20);
    until("all are seen", SOON, || plum.discover("orders").unwrap().len() == 20);
    controller.stop();
    let stopped = Instant::now();
    while stopped.elapsed() < TTL * 2 {
        let found =
            within("discover() does not wait", Duration::from_millis(500), || plum.discover("orders"));
        assert_eq!(found.unwrap().len(), 20);
        std::thread::sleep(Duration::from_millis(50));
    }
    let late =
        within("register() waits one request", Duration::from_secs(4), || plum.register(at(99)).unwrap());
    controller.go_on();
    until("the late one is in", SOON, || controller.listed("orders").len() == 21);
    stays("nobody was lost", TTL * 2, || plum.discover("orders").unwrap().len() >= 20);
    assert_eq!(late.state(), RegistrationState::Registered);
    controller.stop();
    within("close() ends although the registry is stopped", Duration::from_millis(4500), || plum.close());
    controller.go_on();
}

#[test]
fn interrupted_register_does_not_register() {
    struct Interrupted;
    impl plumline::interrupt::Interrupt for Interrupted {
        fn check(&self) -> plumline::Result<()> {
            Err(plumline::Error::new(Kind::Cancelled, "interrupted"))
        }
    }
    let controller = Process::start(CONTROLLER, TTL);
    let plum = client(&controller.plum(), json!({}));
    let (_server, port) = listener();
    controller.stop();
    let error = plum.with_interrupt(&Interrupted).register(at(port)).unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
    controller.go_on();
    until("it is taken back", SOON, || plum.stats().is_ok_and(|stats| stats.registrations.is_empty()));
    // The registration may have been on its way to the stopped controller; what takes it back follows it.
    until("there too", SOON, || controller.listed("orders").is_empty());
    stays("not registered", Duration::from_secs(1), || controller.listed("orders").is_empty());
}

#[test]
fn registers_with_every_controller() {
    let (mut a, b) = (Process::start(CONTROLLER, TTL), Process::start(CONTROLLER, TTL));
    let address = format!("plum://{},{}", a.address(), b.address());
    let plum = client(&address, json!({ "registration": { "wait_listening": "0s" } }));
    let me = plum.register(at(7)).unwrap();
    until("both know it", SOON, || a.listed("orders") == [7] && b.listed("orders") == [7]);
    assert_eq!(plum.discover("orders").unwrap().len(), 1);
    a.kill();
    stays("one of them is enough", TTL, || {
        me.state() == RegistrationState::Registered && plum.discover("orders").unwrap().len() == 1
    });
    let _other = plum.register(at(8)).unwrap();
    until("reads have moved on", SOON, || plum.discover("orders").unwrap().len() == 2);
    a.revive();
    until("the one that was away is told again", SOON, || a.listed("orders") == [7, 8]);
    drop(me);
    assert_eq!((a.listed("orders"), b.listed("orders")), (vec![8], vec![8]));
}

#[test]
fn unicode_names_round_trip() {
    let controller = Process::start(CONTROLLER, TTL);
    let plum = client(&controller.plum(), json!({ "registration": { "wait_listening": "0s" } }));
    for name in ["订单", "a b&c=d", "é/ü?#%41+", "💡"] {
        let me = plum.register(Instance::new(name, 7).host("127.0.0.1")).unwrap();
        assert_eq!(plum.discover(name).unwrap().len(), 1, "{name}");
        me.close(Duration::ZERO).unwrap();
        until(&format!("{name} goes: {:?}", controller.ask("GET", "/v1/services/list", "")), SOON, || {
            plum.discover(name).unwrap().is_empty()
        });
    }
}
