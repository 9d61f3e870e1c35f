//! `POST /v1/watch` and `GET /v1/stream`: every change arrives, and nothing is sent without a change.

mod support;

use std::time::{Duration, Instant};

use plumline_controller::{Config, Controller};
use serde_json::{Value, json};
use support::{Connection, controller, registration};

/// A watcher with its connection and the revision that it has seen.
struct Watcher {
    connection: Connection,
    services: Value,
    since: String,
}

impl Watcher {
    /// A watcher that has read the current state of these services; null means all.
    fn of(controller: &Controller, services: Value) -> Self {
        let connection = Connection::to(controller.address());
        let mut watcher = Self { connection, services, since: String::new() };
        watcher.next().expect("the first response is the current state");
        watcher
    }

    fn request(&mut self, fresh: &[&str], wait: &str) {
        let body = json!({ "services": self.services, "fresh": fresh, "since": self.since, "wait": wait });
        self.connection.send("POST", "/v1/watch", body.to_string().as_bytes(), "");
    }

    fn response(&mut self) -> Option<Value> {
        let response = self.connection.receive();
        if response.status == 204 {
            assert!(response.body.is_empty());
            return None;
        }
        assert_eq!(response.status, 200);
        let json = response.json();
        json["since"].as_str().expect("since").clone_into(&mut self.since);
        Some(json["services"].clone())
    }

    fn next(&mut self) -> Option<Value> {
        self.request(&[], "5s");
        self.response()
    }
}

fn ports(update: &Value) -> Vec<i64> {
    let endpoints = update["endpoints"].as_array().expect("endpoints");
    endpoints.iter().map(|endpoint| endpoint["port"].as_i64().expect("a port")).collect()
}

#[test]
fn unknown_revision_gets_full_lists_at_once() {
    let controller = controller(Config::new());
    let mut program = Connection::to(controller.address());
    program.register("orders", "o-1", 1);
    let mut watcher = Watcher::of(&controller, Value::Null);
    for unknown in ["", "nonsense", "0123456789abcdef:1", "7"] {
        watcher.since = unknown.to_owned();
        let started_at = Instant::now();
        watcher.request(&[], "60s");
        assert_eq!(ports(&watcher.response().expect("everything")["orders"]), [1], "{unknown}");
        // Not after the 60 s of `wait`.
        assert!(started_at.elapsed() < Duration::from_secs(30));
    }
}

#[test]
fn future_revision_gets_full_lists() {
    let controller = controller(Config::new());
    Connection::to(controller.address()).register("orders", "o-1", 1);
    let mut watcher = Watcher::of(&controller, Value::Null);
    watcher.since = format!("{}:999999", watcher.since.split(':').next().expect("an epoch"));
    assert_eq!(ports(&watcher.next().expect("everything")["orders"]), [1]);
}

#[test]
fn every_kind_of_change_sends_the_full_list() {
    let controller = controller(Config::new());
    let mut program = Connection::to(controller.address());
    let mut watcher = Watcher::of(&controller, json!(["orders"]));

    program.register("orders", "o-1", 1);
    let update = watcher.next().expect("registered")["orders"].clone();
    assert_eq!((ports(&update), &update["removed"]), (vec![1], &json!([])));
    assert_eq!(update["endpoints"][0]["generation"], "");

    let unhealthy = json!({ "instanceId": "o-1", "health": [
        { "serviceName": "orders", "ip": "127.0.0.1", "port": 1, "protocol": "http", "healthy": false }] });
    program.post("/v1/services/heartbeat", &unhealthy);
    let update = watcher.next().expect("health")["orders"].clone();
    assert_eq!(update["endpoints"][0]["healthy"], false);

    let endpoint = "/v1/services/endpoint?serviceName=orders&instanceId=o-1&ip=127.0.0.1&protocol=http";
    let moved = json!({ "serviceName": "orders", "instanceId": "o-1", "ip": "127.0.0.1", "port": 2,
        "protocol": "http", "healthy": true });
    assert_eq!(
        program.request("PUT", &format!("{endpoint}&port=1"), moved.to_string().as_bytes()).status,
        204
    );
    let update = watcher.next().expect("moved")["orders"].clone();
    assert_eq!(ports(&update), [2]);
    assert_eq!(update["removed"], json!([removed(1, "deleted")]));

    program.delete(&format!("{endpoint}&port=2"));
    let update = watcher.next().expect("deleted")["orders"].clone();
    assert_eq!(update, json!({ "endpoints": [], "removed": [removed(2, "deleted")] }));
}

fn removed(port: u16, why: &str) -> Value {
    json!({ "serviceName": "orders", "instanceId": "o-1", "ip": "127.0.0.1", "port": port, "protocol": "http", "why": why })
}

#[test]
fn expired_endpoint_is_reported_as_expired() {
    let controller = controller(Config::new().service_ttl(Duration::from_secs(1)));
    Connection::to(controller.address()).register("orders", "o-1", 1);
    let mut watcher = Watcher::of(&controller, Value::Null);
    let update = watcher.next().expect("expired")["orders"].clone();
    assert_eq!(update, json!({ "endpoints": [], "removed": [removed(1, "expired")] }));
}

#[test]
fn renewal_is_not_a_change() {
    let controller = controller(Config::new());
    let mut program = Connection::to(controller.address());
    program.register("orders", "o-1", 1);
    let mut watcher = Watcher::of(&controller, json!(["orders"]));
    watcher.request(&[], "400ms");
    for _ in 0..10 {
        program.register("orders", "o-1", 1);
        program.post(
            "/v1/services/heartbeat",
            &json!({ "instanceId": "o-1", "health": [
            { "serviceName": "orders", "ip": "127.0.0.1", "port": 1, "protocol": "http", "healthy": true }] }),
        );
    }
    assert_eq!(watcher.response(), None);
}

#[test]
fn responds_204_after_wait_without_a_relevant_change() {
    let controller = controller(Config::new());
    let mut watcher = Watcher::of(&controller, json!(["orders"]));
    let started_at = Instant::now();
    watcher.request(&[], "300ms");
    Connection::to(controller.address()).register("billing", "b-1", 1);
    assert_eq!(watcher.response(), None);
    assert!(started_at.elapsed() >= Duration::from_millis(300));
}

#[test]
fn fresh_services_are_sent_at_once() {
    let controller = controller(Config::new());
    let mut program = Connection::to(controller.address());
    program.register("billing", "b-1", 7);
    let mut watcher = Watcher::of(&controller, json!(["orders", "billing"]));
    watcher.request(&["billing", "nobody"], "5s");
    let update = watcher.response().expect("the fresh ones");
    assert_eq!(ports(&update["billing"]), [7]);
    assert_eq!(update["nobody"], json!({ "endpoints": [], "removed": [] }));
    assert_eq!(update.get("orders"), None);
}

#[test]
fn collects_changes_and_pauses_between_responses() {
    let controller = controller(Config::new());
    let mut program = Connection::to(controller.address());
    let started_at = Instant::now();
    let mut watcher = Watcher::of(&controller, json!(["orders"]));
    watcher.request(&[], "5s");
    program.register("orders", "o-1", 1);
    program.register("orders", "o-2", 2);
    assert_eq!(ports(&watcher.response().expect("both")["orders"]), [1, 2]);

    program.register("orders", "o-3", 3);
    assert_eq!(ports(&watcher.next().expect("the third")["orders"]), [1, 2, 3]);
    // One pause after the first list, one after the first two registrations.
    assert!(started_at.elapsed() >= Duration::from_millis(400), "{:?}", started_at.elapsed());
}

#[test]
fn registering_again_cancels_the_removal() {
    let controller = controller(Config::new());
    let mut program = Connection::to(controller.address());
    program.register("orders", "o-1", 1);
    let mut watcher = Watcher::of(&controller, json!(["orders"]));
    program.delete("/v1/services?instanceId=o-1");
    program.register("orders", "o-1", 1);
    let update = watcher.next().expect("a change")["orders"].clone();
    assert_eq!((ports(&update), &update["removed"]), (vec![1], &json!([])));
}

#[test]
fn watch_of_all_services_reports_new_ones() {
    let controller = controller(Config::new());
    let mut watcher = Watcher::of(&controller, Value::Null);
    Connection::to(controller.address()).register("new one", "n-1", 5);
    assert_eq!(ports(&watcher.next().expect("the new one")["new one"]), [5]);
}

#[test]
fn new_generation_is_a_change() {
    let controller = controller(Config::new());
    let mut program = Connection::to(controller.address());
    program.register("orders", "o-1", 1);
    let mut watcher = Watcher::of(&controller, json!(["orders"]));
    let mut again = registration("orders", "o-1", 1);
    again["generation"] = "g-2".into();
    program.post("/v1/services/register?replace=true", &again);
    let update = watcher.next().expect("a change");
    assert_eq!(update["orders"]["endpoints"][0]["generation"], "g-2");
}

#[test]
fn one_change_reaches_1000_watchers() {
    let controller = controller(Config::new());
    let mut first = Watcher::of(&controller, json!(["orders"]));
    let mut watchers: Vec<_> = (0..1_000).map(|_| Connection::to(controller.address())).collect();
    let body = json!({ "services": ["orders"], "since": first.since, "wait": "10s" }).to_string();
    for watcher in &mut watchers {
        watcher.send("POST", "/v1/watch", body.as_bytes(), "");
    }
    Connection::to(controller.address()).register("orders", "o-1", 1);
    for watcher in &mut watchers {
        assert_eq!(ports(&watcher.receive().json()["services"]["orders"]), [1]);
    }
    assert_eq!(ports(&first.next().expect("it too")["orders"]), [1]);
}

#[test]
fn concurrent_changes_are_never_missed() {
    let controller = controller(Config::new());
    let address = controller.address();
    let mut watcher = Watcher::of(&controller, json!(["orders"]));
    let writer = std::thread::spawn(move || {
        let mut program = Connection::to(address);
        (1..=400).for_each(|port| program.register("orders", &format!("o-{port}"), port));
    });
    let mut seen = 0;
    while seen < 400 {
        seen = ports(&watcher.next().expect("more to come")["orders"]).len();
    }
    writer.join().expect("the writer");
}

#[test]
fn stream_pings_first_then_announces_changes() {
    let controller = controller(Config::new());
    let mut stream = Connection::to(controller.address());
    stream.send("GET", "/v1/stream?nodeId=n1", b"", "");
    let head = stream.receive_head();
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    let next_event = |stream: &mut Connection| loop {
        let line = stream.receive_line();
        if line.starts_with("event:") {
            break (line, stream.receive_line());
        }
    };
    assert_eq!(next_event(&mut stream), ("event: ping".to_owned(), "data: init".to_owned()));
    Connection::to(controller.address()).register("orders", "o-1", 1);
    assert_eq!(next_event(&mut stream).0, "event: update");
}
