//! Endpoints expire without heartbeats, and return with them.

mod support;

use std::time::{Duration, Instant};

use plumline_controller::Config;
use serde_json::json;
use support::{Connection, controller, wait_until};

const TTL: Duration = Duration::from_secs(1);

#[test]
fn only_endpoints_without_heartbeats_expire() {
    let controller = controller(Config::new().service_ttl(TTL));
    let mut program = Connection::to(controller.address());
    let started_at = Instant::now();
    program.register("orders", "silent", 1);
    program.register("orders", "alive", 2);
    wait_until("the silent endpoint expired", || {
        program.register("orders", "alive", 2);
        program.discover("orders").len() == 1
    });
    assert!(started_at.elapsed() >= TTL, "too early: {:?}", started_at.elapsed());
    assert_eq!(program.discover("orders")[0]["instanceId"], "alive");
    let all = program.get("/v1/discovery?service=orders&all=true").json();
    assert_eq!(all.as_array().map(Vec::len), Some(2));
}

#[test]
fn heartbeat_restores_an_expired_endpoint() {
    let controller = controller(Config::new().service_ttl(TTL));
    let mut program = Connection::to(controller.address());
    program.register("orders", "o-1", 1);
    wait_until("it expired", || program.discover("orders").is_empty());
    let heartbeat = json!({ "instanceId": "o-1", "health": [
        { "serviceName": "orders", "ip": "127.0.0.1", "port": 1, "protocol": "http", "healthy": true }] });
    assert_eq!(program.post("/v1/services/heartbeat", &heartbeat).status, 204);
    assert_eq!(program.discover("orders").len(), 1);
    wait_until("it expired again", || program.discover("orders").is_empty());
}

#[test]
fn batch_heartbeat_returns_expired_instances_as_unknown() {
    let controller = controller(Config::new().service_ttl(TTL));
    let mut program = Connection::to(controller.address());
    program.register("orders", "o-1", 1);
    wait_until("it expired", || program.discover("orders").is_empty());
    let response =
        program.post("/v1/services/heartbeats", &json!({ "instances": [{ "instanceId": "o-1" }] }));
    assert_eq!(response.json()["unknown"], json!(["o-1"]));
}

#[test]
fn silent_node_becomes_unhealthy() {
    let controller = controller(Config::new().node_ttl(TTL));
    let mut node = Connection::to(controller.address());
    node.post("/v1/nodes/heartbeat", &json!({ "nodeId": "n1", "ip": "127.0.0.1" }));
    assert_eq!(node.get("/v1/nodes").json()[0]["health"], "Healthy");
    wait_until("it is unhealthy", || node.get("/v1/nodes").json()[0]["health"] == "Unhealthy");
}

#[test]
fn last_seen_follows_the_heartbeats() {
    let controller = controller(Config::new());
    let mut program = Connection::to(controller.address());
    program.register("orders", "o-1", 1);
    let first = program.discover("orders")[0]["lastSeen"].as_i64();
    wait_until("a later time is shown", || {
        program.register("orders", "o-1", 1);
        program.discover("orders")[0]["lastSeen"].as_i64() > first
    });
}
