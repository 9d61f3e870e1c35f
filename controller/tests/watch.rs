//! `POST /v1/watch`: every change arrives, once it is worth telling, and nothing is told twice in vain.

mod support;

use std::time::{Duration, Instant};

use plumline_controller::{Config, Controller};
use serde_json::{Value, json};
use support::{Connection, controller, registration};

/// A watcher with its connection and what it has seen.
struct Watcher {
    connection: Connection,
    services: Value,
    since: String,
}

impl Watcher {
    /// Knows the present state of these services; null is all.
    fn of(controller: &Controller, services: Value) -> Self {
        let connection = Connection::to(controller.address());
        let mut watcher = Self { connection, services, since: String::new() };
        watcher.next().expect("the first answer is the present state");
        watcher
    }

    fn ask(&mut self, fresh: &[&str], wait: &str) {
        let body = json!({ "services": self.services, "fresh": fresh, "since": self.since, "wait": wait });
        self.connection.send("POST", "/v1/watch", body.to_string().as_bytes(), "");
    }

    fn answer(&mut self) -> Option<Value> {
        let answer = self.connection.receive();
        if answer.status == 204 {
            assert!(answer.body.is_empty());
            return None;
        }
        assert_eq!(answer.status, 200);
        let json = answer.json();
        json["since"].as_str().expect("since").clone_into(&mut self.since);
        Some(json["services"].clone())
    }

    fn next(&mut self) -> Option<Value> {
        self.ask(&[], "5s");
        self.answer()
    }
}

fn ports(told: &Value) -> Vec<i64> {
    let endpoints = told["endpoints"].as_array().expect("endpoints");
    endpoints.iter().map(|endpoint| endpoint["port"].as_i64().expect("a port")).collect()
}

#[test]
fn an_asker_that_knows_nothing_is_told_everything_at_once() {
    let controller = controller(Config::new());
    let mut program = Connection::to(controller.address());
    program.register("orders", "o-1", 1);
    let mut asker = Watcher::of(&controller, Value::Null);
    for unknown in ["", "nonsense", "0123456789abcdef:1", "7"] {
        asker.since = unknown.to_owned();
        let begin = Instant::now();
        assert_eq!(ports(&asker.next().expect("everything")["orders"]), [1], "{unknown}");
        assert!(begin.elapsed() < Duration::from_secs(2));
    }
}

#[test]
fn a_revision_of_the_future_is_unknown_too() {
    let controller = controller(Config::new());
    Connection::to(controller.address()).register("orders", "o-1", 1);
    let mut asker = Watcher::of(&controller, Value::Null);
    asker.since = format!("{}:999999", asker.since.split(':').next().expect("an epoch"));
    assert_eq!(ports(&asker.next().expect("everything")["orders"]), [1]);
}

#[test]
fn each_kind_of_change_is_told_with_the_full_list() {
    let controller = controller(Config::new());
    let mut program = Connection::to(controller.address());
    let mut watcher = Watcher::of(&controller, json!(["orders"]));

    program.register("orders", "o-1", 1);
    let told = watcher.next().expect("registered")["orders"].clone();
    assert_eq!((ports(&told), &told["removed"]), (vec![1], &json!([])));
    assert_eq!(told["endpoints"][0]["generation"], "");

    let unhealthy = json!({ "instanceId": "o-1", "health": [
        { "serviceName": "orders", "ip": "127.0.0.1", "port": 1, "protocol": "http", "healthy": false }] });
    program.post("/v1/services/heartbeat", &unhealthy);
    let told = watcher.next().expect("health")["orders"].clone();
    assert_eq!(told["endpoints"][0]["healthy"], false);

    let endpoint = "/v1/services/endpoint?serviceName=orders&instanceId=o-1&ip=127.0.0.1&protocol=http";
    let moved = json!({ "serviceName": "orders", "instanceId": "o-1", "ip": "127.0.0.1", "port": 2,
        "protocol": "http", "healthy": true });
    assert_eq!(
        program.request("PUT", &format!("{endpoint}&port=1"), moved.to_string().as_bytes()).status,
        204
    );
    let told = watcher.next().expect("moved")["orders"].clone();
    assert_eq!(ports(&told), [2]);
    assert_eq!(told["removed"], json!([removed(1, "deleted")]));

    program.delete(&format!("{endpoint}&port=2"));
    let told = watcher.next().expect("deleted")["orders"].clone();
    assert_eq!(told, json!({ "endpoints": [], "removed": [removed(2, "deleted")] }));
}

fn removed(port: u16, why: &str) -> Value {
    json!({ "serviceName": "orders", "instanceId": "o-1", "ip": "127.0.0.1", "port": port, "protocol": "http", "why": why })
}

#[test]
fn an_expired_endpoint_is_told_as_expired() {
    let controller = controller(Config::new().service_ttl(Duration::from_secs(1)));
    Connection::to(controller.address()).register("orders", "o-1", 1);
    let mut watcher = Watcher::of(&controller, Value::Null);
    let told = watcher.next().expect("expired")["orders"].clone();
    assert_eq!(told, json!({ "endpoints": [], "removed": [removed(1, "expired")] }));
}

#[test]
fn a_touch_is_no_change() {
    let controller = controller(Config::new());
    let mut program = Connection::to(controller.address());
    program.register("orders", "o-1", 1);
    let mut watcher = Watcher::of(&controller, json!(["orders"]));
    watcher.ask(&[], "400ms");
    for _ in 0..10 {
        program.register("orders", "o-1", 1);
        program.post(
            "/v1/services/heartbeat",
            &json!({ "instanceId": "o-1", "health": [
            { "serviceName": "orders", "ip": "127.0.0.1", "port": 1, "protocol": "http", "healthy": true }] }),
        );
    }
    assert_eq!(watcher.answer(), None);
}

#[test]
fn nothing_new_is_a_204_after_the_wait_and_other_services_do_not_count() {
    let controller = controller(Config::new());
    let mut watcher = Watcher::of(&controller, json!(["orders"]));
    let begin = Instant::now();
    watcher.ask(&[], "300ms");
    Connection::to(controller.address()).register("billing", "b-1", 1);
    assert_eq!(watcher.answer(), None);
    assert!(begin.elapsed() >= Duration::from_millis(300));
}

#[test]
fn what_is_fresh_to_the_asker_is_told_at_once() {
    let controller = controller(Config::new());
    let mut program = Connection::to(controller.address());
    program.register("billing", "b-1", 7);
    let mut watcher = Watcher::of(&controller, json!(["orders", "billing"]));
    watcher.ask(&["billing", "nobody"], "5s");
    let told = watcher.answer().expect("the fresh ones");
    assert_eq!(ports(&told["billing"]), [7]);
    assert_eq!(told["nobody"], json!({ "endpoints": [], "removed": [] }));
    assert_eq!(told.get("orders"), None);
}

#[test]
fn changes_are_gathered_and_a_connection_rests_between_answers() {
    let controller = controller(Config::new());
    let mut program = Connection::to(controller.address());
    let began = Instant::now();
    let mut watcher = Watcher::of(&controller, json!(["orders"]));
    watcher.ask(&[], "5s");
    program.register("orders", "o-1", 1);
    program.register("orders", "o-2", 2);
    assert_eq!(ports(&watcher.answer().expect("both")["orders"]), [1, 2]);

    program.register("orders", "o-3", 3);
    assert_eq!(ports(&watcher.next().expect("the third")["orders"]), [1, 2, 3]);
    // One rest after the first list, one after the first two.
    assert!(began.elapsed() >= Duration::from_millis(400), "{:?}", began.elapsed());
}

#[test]
fn a_return_takes_the_departure_back() {
    let controller = controller(Config::new());
    let mut program = Connection::to(controller.address());
    program.register("orders", "o-1", 1);
    let mut watcher = Watcher::of(&controller, json!(["orders"]));
    program.delete("/v1/services?instanceId=o-1");
    program.register("orders", "o-1", 1);
    let told = watcher.next().expect("a change")["orders"].clone();
    assert_eq!((ports(&told), &told["removed"]), (vec![1], &json!([])));
}

#[test]
fn watching_all_hears_of_new_services() {
    let controller = controller(Config::new());
    let mut watcher = Watcher::of(&controller, Value::Null);
    Connection::to(controller.address()).register("new one", "n-1", 5);
    assert_eq!(ports(&watcher.next().expect("the new one")["new one"]), [5]);
}

#[test]
fn a_new_generation_is_a_change_and_is_told() {
    let controller = controller(Config::new());
    let mut program = Connection::to(controller.address());
    program.register("orders", "o-1", 1);
    let mut watcher = Watcher::of(&controller, json!(["orders"]));
    let mut again = registration("orders", "o-1", 1);
    again["generation"] = "g-2".into();
    program.post("/v1/services/register?replace=true", &again);
    let told = watcher.next().expect("a change");
    assert_eq!(told["orders"]["endpoints"][0]["generation"], "g-2");
}

#[test]
fn a_thousand_watchers_all_hear_of_one_change() {
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
fn a_change_under_way_is_never_missed() {
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
fn the_stream_pings_first_and_then_says_that_something_changed() {
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
