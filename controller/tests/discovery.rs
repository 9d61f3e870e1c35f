//! Discovery and key-value requests that the recordings do not cover.

mod support;

use std::collections::BTreeSet;

use plumline_controller::{Config, Controller};
use serde_json::{Value, json};
use support::{Connection, controller};

fn with_three(controller: &Controller) -> Connection {
    let mut connection = Connection::to(controller.address());
    for port in 1..=3 {
        connection.register("orders", &format!("o-{port}"), port);
    }
    connection
}

fn one(connection: &mut Connection, path: &str) -> u64 {
    connection.get(path).json()["port"].as_u64().expect("a port")
}

#[test]
fn random_returns_every_endpoint_eventually() {
    let controller = controller(Config::new());
    let mut connection = with_three(&controller);
    let mut found = BTreeSet::new();
    support::wait_until("all three were found", || {
        found.insert(one(&mut connection, "/v1/discovery/random?service=orders"));
        found.len() == 3
    });
}

#[test]
fn lazy_returns_the_same_endpoint_while_it_is_listed() {
    let controller = controller(Config::new());
    let mut connection = with_three(&controller);
    let path = "/v1/discovery/one?service=orders&strategy=lazy";
    let first = one(&mut connection, path);
    for _ in 0..20 {
        assert_eq!(one(&mut connection, path), first);
    }
    connection.delete(&format!("/v1/services?instanceId=o-{first}"));
    let second = one(&mut connection, path);
    assert_ne!(second, first);
    connection.register("orders", &format!("o-{first}"), first as u16);
    assert_eq!(one(&mut connection, path), second);
}

#[test]
fn all_ignores_the_filters_and_the_limit() {
    let controller = controller(Config::new());
    let mut connection = with_three(&controller);
    let all = connection.get("/v1/discovery?service=orders&all=true&version=v9&protocol=x&limit=-1").json();
    assert_eq!(all.as_array().map(Vec::len), Some(3));
}

#[test]
fn next_discovery_sees_every_change() {
    let controller = controller(Config::new());
    let mut connection = Connection::to(controller.address());
    for port in 1..=50 {
        connection.register("orders", &format!("o-{port}"), port);
        assert_eq!(connection.discover("orders").len(), usize::from(port));
    }
    for port in 1..=50_u16 {
        let health = json!({ "serviceName": "orders", "ip": "127.0.0.1", "port": port, "protocol": "http" });
        connection.post(
            "/v1/services/heartbeat",
            &json!({ "instanceId": format!("o-{port}"), "health": [health] }),
        );
        assert_eq!(connection.discover("orders").len(), usize::from(50 - port));
    }
}

#[test]
fn preflight_needs_no_token_and_allows_any_origin() {
    let controller = controller(Config::new().token("secret"));
    let mut connection = Connection::to(controller.address());
    let response = connection.request("OPTIONS", "/v1/kv/app/rate", b"");
    assert_eq!(response.status, 204);
    assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    assert!(response.header("access-control-allow-methods").is_some_and(|methods| methods.contains("PATCH")));
}

#[test]
fn keys_may_be_named_like_routes() {
    let controller = controller(Config::new());
    let mut connection = Connection::to(controller.address());
    for key in ["keys", "batch", "a b/%E8%AE%A2", "a/keys"] {
        let path = format!("/v1/kv/app/{}", key.replace(' ', "%20"));
        assert_eq!(connection.request("PUT", &path, br#"{"value":"x"}"#).status, 200, "{key}");
    }
    let keys = connection.get("/v1/kv/app/keys").json()["keys"].clone();
    assert_eq!(keys, json!(["a b/\u{8ba2}", "a/keys", "batch", "keys"]));
    assert_eq!(connection.get("/v1/kv/app/batch").json()["value"], Value::from("x"));
    assert_eq!(connection.delete("/v1/kv/app/keys").status, 204);
    assert_eq!(connection.get("/v1/kv/app?prefix=a").json().as_array().map(Vec::len), Some(2));
}

#[test]
fn batch_with_an_invalid_type_stores_nothing() {
    let controller = controller(Config::new());
    let mut connection = Connection::to(controller.address());
    let items =
        json!({ "items": [{ "key": "a", "value": "1" }, { "key": "b", "value": "1", "type": "complex" }] });
    assert_eq!(connection.post("/v1/kv/app/batch", &items).status, 400);
    assert_eq!(connection.get("/v1/kv").json(), json!({ "namespaces": null }));
}

#[test]
fn controller_runs_inside_an_async_program() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let controller = controller(Config::new());
        assert_eq!(Connection::to(controller.address()).get("/healthz").text(), "ok");
    });
}
