//! What a client believes while registries restart, stall, forget and come back.

use std::time::{Duration, Instant};

use plumline::{Change, ChangeKind, Endpoint, Instance, Kind, Query};
use plumline_tests::original::Original;
use plumline_tests::{Process, client, listener, ports, stays, until, within};
use serde_json::{Value, json};

const CONTROLLER: &str = env!("CARGO_BIN_EXE_test-controller");
const TTL: Duration = Duration::from_secs(2);
const SOON: Duration = Duration::from_secs(5);

fn at(port: u16) -> Instance {
    Instance::new("orders", port).host("127.0.0.1")
}

fn unchecked() -> Value {
    json!({ "registration": { "wait_listening": "0s" } })
}

/// Registers an instance by hand: nobody beats for it.
fn register_by_hand(controller: &Process, port: u16) {
    let body = json!({ "instanceId": format!("o-{port}"), "ip": "127.0.0.1",
        "endpoints": [{ "serviceName": "orders", "port": port, "protocol": "http" }] });
    assert_eq!(controller.ask("POST", "/v1/services/register?replace=true", &body.to_string()).0, 204);
}

fn delete_by_hand(controller: &Process, port: u16) {
    let path = format!(
        "/v1/services/endpoint?serviceName=orders&instanceId=o-{port}&ip=127.0.0.1&port={port}&protocol=http"
    );
    assert_eq!(controller.ask("DELETE", &path, "").0, 204);
}

// === ours ===

#[test]
fn changes_are_pushed() {
    let controller = Process::start(CONTROLLER, Duration::from_mins(1));
    let plum = client(&controller.plum(), json!({}));
    assert!(plum.discover("orders").unwrap().is_empty(), "nobody is no error");
    for port in 1..=5 {
        register_by_hand(&controller, port);
        // Polling would take up to 6 s.
        until("it is seen", Duration::from_millis(1500), || ports(&plum, "orders").contains(&port));
    }
    delete_by_hand(&controller, 3);
    until("its end is seen", SOON, || ports(&plum, "orders") == [1, 2, 4, 5]);
}

#[test]
fn many_services_share_one_connection() {
    let controller = Process::start(CONTROLLER, Duration::from_mins(1));
    let plum = client(&controller.plum(), json!({}));
    for index in 0..50 {
        assert!(plum.discover(format!("s-{index}")).unwrap().is_empty());
    }
    let writer = client(&controller.plum(), unchecked());
    let all: Vec<_> = (0..50)
        .map(|index| writer.register(Instance::new(format!("s-{index}"), 7).host("127.0.0.1")).unwrap())
        .collect();
    until("all are seen", SOON, || (0..50).all(|index| ports(&plum, &format!("s-{index}")) == [7]));
    assert_eq!(plum.stats().unwrap().cache.services, 50);
    drop(all);
}

/// Trap 11.
#[test]
fn empty_restart_loses_nobody() {
    let mut controller = Process::start(CONTROLLER, TTL);
    let (writer, reader) = (client(&controller.plum(), unchecked()), client(&controller.plum(), json!({})));
    let all: Vec<_> = (1..=20).map(|port| writer.register(at(port)).unwrap()).collect();
    until("all are seen", SOON, || ports(&reader, "orders").len() == 20);
    for _ in 0..3 {
        controller.restart_empty();
        stays("none is lost", Duration::from_secs(2), || ports(&reader, "orders").len() == 20);
        until("all are back", SOON, || controller.listed("orders").len() == 20);
    }
    drop(all);
    until("what was deleted goes at once", Duration::from_secs(3), || ports(&reader, "orders").is_empty());
}

/// Trap 11.
#[test]
fn partial_restart_keeps_other_endpoints() {
    let mut controller = Process::start(CONTROLLER, TTL);
    let reader = client(&controller.plum(), json!({}));
    (1..=4).for_each(|port| register_by_hand(&controller, port));
    until("all are seen", SOON, || ports(&reader, "orders") == [1, 2, 3, 4]);
    controller.kill();
    controller.revive();
    register_by_hand(&controller, 2);
    until("the registry answers", SOON, || reader.stats().unwrap().cache.registries[0].up);
    stays("the others are kept", TTL, || ports(&reader, "orders") == [1, 2, 3, 4]);
    // Nobody confirms them: after two TTLs they are gone; the one listed would expire by itself.
    until("they go in the end", TTL * 3, || ports(&reader, "orders").len() <= 1);
}

/// Trap 11.
#[test]
fn last_delete_on_settled_registry_applies_at_once() {
    let controller = Process::start(CONTROLLER, TTL);
    let (writer, reader) = (client(&controller.plum(), unchecked()), client(&controller.plum(), json!({})));
    let me = writer.register(at(7)).unwrap();
    until("it is seen", SOON, || ports(&reader, "orders") == [7]);
    until("the registry is settled", TTL * 2, || reader.stats().unwrap().cache.registries[0].settled);
    drop(me);
    until("it goes", Duration::from_secs(1), || ports(&reader, "orders").is_empty());
}

#[test]
fn expiry_on_settled_registry_is_explained() {
    let controller = Process::start(CONTROLLER, TTL);
    let (writer, reader) = (client(&controller.plum(), unchecked()), client(&controller.plum(), json!({})));
    let _me = writer.register(at(1)).unwrap();
    until("the registry is settled", TTL * 3, || {
        ports(&reader, "orders") == [1] && reader.stats().unwrap().cache.registries[0].settled
    });
    register_by_hand(&controller, 9);
    until("it is seen", SOON, || ports(&reader, "orders") == [1, 9]);
    until("it expires", TTL * 3, || ports(&reader, "orders") == [1]);
    let error = reader.pick(Query::new("orders").version("v2")).map(drop).unwrap_err();
    assert_eq!(error.kind(), Kind::NoEndpoint);
    assert!(error.message().contains("expired") && error.message().contains("old from plum://"), "{error}");
}

/// Trap 12.
#[test]
fn stale_lists_serve_while_registry_is_down() {
    let mut controller = Process::start(CONTROLLER, TTL);
    let mut settings = unchecked();
    settings["cache"] = json!({ "ttl": "1s" });
    let plum = client(&controller.plum(), settings);
    let _me = plum.register(at(7)).unwrap();
    until("it is seen", SOON, || ports(&plum, "orders") == [7]);
    controller.kill();
    let killed = Instant::now();
    while killed.elapsed() < Duration::from_secs(4) {
        let found = within("discover() does not wait", Duration::from_millis(500), || ports(&plum, "orders"));
        assert_eq!(found, [7]);
        std::thread::sleep(Duration::from_millis(20));
    }
    let cache = plum.stats().unwrap().cache;
    assert_eq!((cache.stale, cache.registries[0].up), (1, false));
    controller.revive();
    until("fresh again", SOON, || plum.stats().unwrap().cache.stale == 0);
}

fn with_snapshot(path: &std::path::Path) -> Value {
    json!({ "registration": { "wait_listening": "0s" }, "cache": { "snapshot": path } })
}

/// Trap 12.
#[test]
fn start_without_registry_uses_disk_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    let mut controller = Process::start(CONTROLLER, TTL);
    {
        let plum = client(&controller.plum(), with_snapshot(&path));
        let _me = plum.register(at(7)).unwrap();
        until("it is seen", SOON, || ports(&plum, "orders") == [7]);
        until("it is written", SOON, || path.exists());
        plum.close();
        register_by_hand(&controller, 8);
    }
    let plum = client(&controller.plum(), with_snapshot(&path));
    until("the later one is seen", SOON, || ports(&plum, "orders").contains(&8));
    until("and written", SOON, || {
        std::fs::read_to_string(&path).is_ok_and(|text| text.contains("\"port\":8"))
    });
    drop(plum);
    controller.kill();
    let plum = client(&controller.plum(), with_snapshot(&path));
    assert!(ports(&plum, "orders").contains(&8), "without the registry");
    assert_eq!(plum.stats().unwrap().cache.stale, 1);
    assert_eq!(plum.discover("nobody").unwrap_err().kind(), Kind::Unavailable);
    controller.revive();
    controller.stop();
    let plum = client(&controller.plum(), with_snapshot(&path));
    let found = within("the snapshot is used", Duration::from_secs(1), || ports(&plum, "orders"));
    assert!(found.contains(&8), "with a registry that has stalled");
    controller.go_on();
}

/// Trap 12.
#[test]
fn corrupt_snapshot_is_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    let controller = Process::start(CONTROLLER, TTL);
    for spoilt in ["", "not ours at all", "{\"plumline_snapshot\":1,\"xxh64\":\"0\",\"written\":0}\n{}"] {
        std::fs::write(&path, spoilt).unwrap();
        let plum = client(&controller.plum(), with_snapshot(&path));
        assert!(plum.discover("orders").unwrap().is_empty());
    }
}

#[test]
fn cleared_cache_falls_back_when_registry_is_down() {
    let mut controller = Process::start(CONTROLLER, Duration::from_mins(1));
    let plum = client(&controller.plum(), json!({}));
    register_by_hand(&controller, 7);
    assert_eq!(ports(&plum, "orders"), [7]);
    register_by_hand(&controller, 8);
    plum.clear_cache().unwrap();
    assert_eq!(ports(&plum, "orders"), [7, 8]);
    controller.kill();
    plum.clear_cache().unwrap();
    assert_eq!(ports(&plum, "orders"), [7, 8]);
}

#[test]
fn unreachable_registry_is_an_error_until_it_answers() {
    let mut controller = Process::start(CONTROLLER, TTL);
    controller.kill();
    let plum = client(&controller.plum(), unchecked());
    assert_eq!(plum.discover("orders").unwrap_err().kind(), Kind::Unavailable);
    controller.revive();
    register_by_hand(&controller, 7);
    until("it finds out", SOON, || plum.discover("orders").is_ok_and(|found| found.len() == 1));
}

#[test]
fn first_list_respects_the_deadline() {
    let controller = Process::start(CONTROLLER, TTL);
    controller.stop();
    let plum = client(&controller.plum(), json!({ "timeout": "300ms" }));
    let error =
        within("the deadline of 300 ms", Duration::from_secs(2), || plum.discover("orders").unwrap_err());
    assert!(error.is_retryable());
    controller.go_on();
}

#[test]
fn interrupt_affects_only_its_caller() {
    struct Interrupted;
    impl plumline::interrupt::Interrupt for Interrupted {
        fn check(&self) -> plumline::Result<()> {
            Err(plumline::Error::new(Kind::Cancelled, "interrupted"))
        }
    }
    let controller = Process::start(CONTROLLER, TTL);
    controller.stop();
    let plum = client(&controller.plum(), json!({}));
    let error = plum.with_interrupt(&Interrupted).discover("orders").unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
    controller.go_on();
    assert_eq!(plum.discover("orders").unwrap(), []);
}

#[test]
fn wait_for_returns_when_service_appears() {
    let controller = Process::start(CONTROLLER, TTL);
    let (writer, plum) = (client(&controller.plum(), unchecked()), client(&controller.plum(), json!({})));
    let error = plum.wait_for(Query::new("orders").version("v2"), Duration::from_millis(200)).unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    let waiting = std::thread::spawn(move || plum.wait_for(Query::new("orders").version("v2"), SOON));
    let _v1 = writer.register(at(1).version("v1")).unwrap();
    let _v2 = writer.register(at(2).version("v2")).unwrap();
    waiting.join().unwrap().unwrap();
}

// === watching ===

fn next(watch: &plumline::Watch) -> Change {
    watch.next_within(SOON).unwrap().expect("a change")
}

fn changed_ports(list: &[std::sync::Arc<Endpoint>]) -> Vec<u16> {
    list.iter().map(|endpoint| endpoint.port).collect()
}

#[test]
fn watch_starts_with_snapshot_and_reports_changes() {
    let mut controller = Process::start(CONTROLLER, Duration::from_mins(1));
    let plum = client(&controller.plum(), json!({}));
    register_by_hand(&controller, 1);
    let watch = plum.watch("orders").unwrap();
    let first = next(&watch);
    assert_eq!((first.kind, changed_ports(&first.endpoints)), (ChangeKind::Snapshot, vec![1]));
    register_by_hand(&controller, 2);
    let second = next(&watch);
    assert_eq!((second.kind, changed_ports(&second.added)), (ChangeKind::Changed, vec![2]));
    delete_by_hand(&controller, 1);
    assert_eq!(changed_ports(&next(&watch).removed), [1]);
    assert!(watch.next_within(Duration::from_millis(50)).unwrap().is_none());
    controller.kill();
    let down = next(&watch);
    assert_eq!((down.kind, changed_ports(&down.endpoints)), (ChangeKind::RegistryDown, vec![2]));
    controller.revive();
    assert_eq!(next(&watch).kind, ChangeKind::RegistryUp);
    watch.close();
    assert_eq!(watch.next_within(SOON).unwrap_err().kind(), Kind::Closed);
}

#[test]
fn slow_reader_gets_merged_change() {
    let controller = Process::start(CONTROLLER, Duration::from_mins(1));
    let plum = client(&controller.plum(), json!({}));
    let watch = plum.watch("orders").unwrap();
    assert_eq!(next(&watch).kind, ChangeKind::Snapshot);
    (1..=30).for_each(|port| register_by_hand(&controller, port));
    (1..=10).for_each(|port| delete_by_hand(&controller, port));
    until("the catalog is up to date", SOON, || ports(&plum, "orders") == (11..=30).collect::<Vec<u16>>());
    let change = next(&watch);
    assert_eq!(changed_ports(&change.added), (11..=30).collect::<Vec<u16>>());
    assert!(change.removed.is_empty() && watch.next_within(Duration::from_millis(50)).unwrap().is_none());
}

#[test]
fn watch_all_reports_services_that_appear() {
    let controller = Process::start(CONTROLLER, Duration::from_mins(1));
    let plum = client(&controller.plum(), json!({}));
    register_by_hand(&controller, 1);
    let watch = plum.watch_all().unwrap();
    let first = next(&watch);
    assert_eq!((first.service.as_str(), first.kind), ("orders", ChangeKind::Snapshot));
    let writer = client(&controller.plum(), unchecked());
    let billing = writer.register(Instance::new("billing", 9).host("127.0.0.1")).unwrap();
    let second = next(&watch);
    assert_eq!((second.service.as_str(), changed_ports(&second.endpoints)), ("billing", vec![9]));
    drop(billing);
    assert_eq!(changed_ports(&next(&watch).removed), [9]);
}

#[test]
fn watch_ends_when_client_is_closed() {
    let controller = Process::start(CONTROLLER, TTL);
    let plum = client(&controller.plum(), json!({}));
    let mut watch = plum.watch("orders").unwrap();
    assert!(watch.next().is_some());
    let waiting = std::thread::spawn(move || watch.next());
    plum.close();
    assert!(waiting.join().unwrap().is_none());
}

// === one's own ===

#[test]
fn published_endpoints_join_registered_ones() {
    let controller = Process::start(CONTROLLER, TTL);
    let plum = client(&controller.plum(), unchecked());
    plum.publish("orders", vec![Endpoint::new("orders", "127.0.0.1".parse().unwrap(), 1)]).unwrap();
    assert_eq!(ports(&plum, "orders"), [1]);
    let _me = plum.register(at(2)).unwrap();
    until("both are there", SOON, || ports(&plum, "orders") == [1, 2]);
    plum.publish("orders", Vec::new()).unwrap();
    assert_eq!(ports(&plum, "orders"), [2]);
}

#[test]
fn memory_registry_is_shared_by_name() {
    let name = format!("memory://shared-{}", std::process::id());
    let (a, b) = (client(&name, unchecked()), client(&name, unchecked()));
    let me = a.register(at(7)).unwrap();
    assert_eq!((ports(&a, "orders"), ports(&b, "orders")), (vec![7], vec![7]));
    assert!(ports(&client("memory://", json!({})), "orders").is_empty());
    drop(me);
    assert!(ports(&b, "orders").is_empty());
}

#[test]
fn file_registry_reloads_on_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("services.yaml");
    // As editors do: whoever looks finds the old content or the new one.
    let write = |text: &str| {
        std::fs::write(folder.path().join("draft"), text).unwrap();
        std::fs::rename(folder.path().join("draft"), &path).unwrap();
    };
    write("orders: [ '127.0.0.1:1', '127.0.0.1:2' ]");
    let plum = client(&format!("file://{}", path.display()), json!({}));
    let watch = plum.watch("orders").unwrap();
    assert_eq!(changed_ports(&next(&watch).endpoints), [1, 2]);
    write("orders: [ '127.0.0.1:2', '127.0.0.1:3' ]");
    let change = next(&watch);
    assert_eq!((changed_ports(&change.added), changed_ports(&change.removed)), (vec![3], vec![1]));
    write("orders: [ broken");
    assert_eq!(next(&watch).kind, ChangeKind::RegistryDown);
    assert_eq!(ports(&plum, "orders"), [2, 3]);
    let error = plum.stats().unwrap().cache.registries[0].last_error.clone().unwrap();
    assert!(error.contains("services.yaml"), "{error}");
    write("orders: []");
    until("healed", SOON, || ports(&plum, "orders").is_empty());
}

// === the original ===

fn polling() -> Value {
    json!({ "registration": { "wait_listening": "0s", "ttl": "2s" }, "registry": { "poll_interval": "100ms" } })
}

#[test]
fn original_controller_gets_single_heartbeats() {
    let original = Original::start(TTL);
    let plum = client(&original.plum(), polling());
    assert!(plum.discover("orders").unwrap().is_empty());
    let me = plum.register(at(7).version("v2")).unwrap();
    until("it is seen", SOON, || ports(&plum, "orders") == [7]);
    stays("kept past its TTL", TTL * 2, || original.listed("orders") == [7]);
    original.forget_everything();
    until("back within a beat", Duration::from_secs(3), || original.listed("orders") == [7]);
    me.update(at(7).version("v2").healthy(false)).unwrap();
    until("unhealthy is heard", SOON, || original.rows("orders") == [(7, "v2".into(), false)]);
    original.forget_everything();
    until("lost and back, still unhealthy", SOON, || original.rows("orders") == [(7, "v2".into(), false)]);
    me.update(at(8).version("v3")).unwrap();
    until("moved", SOON, || original.rows("orders") == [(8, "v3".into(), true)]);
    drop(me);
    assert!(original.rows("orders").is_empty());
    let wrong = original.log().into_iter().find(|line| line.contains("/v1/services/heartbeats"));
    assert_eq!(wrong, None, "nothing of ours was asked");
}

/// Trap 7.
#[test]
fn late_heartbeat_to_original_does_not_revive_instance() {
    let original = Original::start(Duration::from_mins(1));
    let plum = client(&original.plum(), polling());
    let me = plum.register(at(7)).unwrap();
    original.hold(Duration::from_millis(200));
    for _ in 0..3 {
        let seen = original.log().len();
        until("a beat sets out", SOON, || {
            original.log()[seen..].iter().any(|line| line.contains("/register"))
        });
        me.update(at(7).label("n", "x")).unwrap();
    }
    me.close(Duration::ZERO).unwrap();
    assert!(original.rows("orders").is_empty());
    stays("it stays closed", Duration::from_secs(1), || original.rows("orders").is_empty());
}

/// Trap 11.
#[test]
fn original_restarted_empty_loses_nobody() {
    let original = Original::start(TTL);
    let (writer, reader) = (client(&original.plum(), polling()), client(&original.plum(), polling()));
    let all: Vec<_> = (1..=10).map(|port| writer.register(at(port)).unwrap()).collect();
    until("all are seen", SOON, || ports(&reader, "orders").len() == 10);
    stays("and stay", Duration::from_secs(3), || ports(&reader, "orders").len() == 10);
    original.forget_everything();
    stays("none is lost", Duration::from_secs(2), || ports(&reader, "orders").len() == 10);
    until("all are back", SOON, || original.listed("orders").len() == 10);
    drop(all);
}

#[test]
fn unused_service_is_not_polled() {
    let original = Original::start(TTL);
    let plum = client(&original.plum(), polling());
    plum.discover("orders").unwrap();
    let asked = || original.log().iter().filter(|line| line.contains("service=orders")).count();
    until("polling ends", SOON, || {
        let before = asked();
        std::thread::sleep(Duration::from_millis(400));
        asked() == before
    });
    let (_server, port) = listener();
    let _me = plum.register(at(port)).unwrap();
    until("its next use refreshes it", SOON, || ports(&plum, "orders") == [port]);
}

#[test]
fn late_service_is_found_after_many_other_names() {
    let name = format!("memory://made-up-{}", std::process::id());
    let plum = client(&name, unchecked());
    assert!(ports(&plum, "orders").is_empty());
    for number in 0..2_500 {
        assert!(plum.discover(format!("made-up-{number}")).unwrap().is_empty());
    }
    let other = client(&name, unchecked());
    let _late = other.register(at(7)).unwrap();
    until("it is found", SOON, || ports(&plum, "orders") == [7]);
}
