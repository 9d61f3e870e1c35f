//! Batch heartbeats, batch registrations and generations.

mod support;

use plumline_controller::Config;
use plumline_wire::digest::{DigestRow, digest, to_hex};
use serde_json::{Value, json};
use support::{Connection, controller, registration};

fn digest_of(service: &str, port: i64) -> String {
    let row = DigestRow {
        service,
        ip: "127.0.0.1",
        port,
        protocol: "http",
        version: "v1",
        node: "n1",
        labels: None,
    };
    to_hex(digest([row]))
}

fn send_heartbeats(program: &mut Connection, instances: &Value) -> Value {
    let response = program.post("/v1/services/heartbeats", &json!({ "instances": instances }));
    assert_eq!(response.status, 200);
    response.json()
}

#[test]
fn every_response_announces_features_and_ttl() {
    let controller = controller(Config::new());
    let mut program = Connection::to(controller.address());
    for path in ["/healthz", "/v1/nothing", "/v1/discovery", "/v1/services/list"] {
        let response = program.get(path);
        assert_eq!(response.header("plum-features"), Some("watch, batch"), "{path}");
        assert_eq!(response.header("plum-service-ttl"), Some("15"), "{path}");
        assert_eq!(response.header("access-control-allow-origin"), Some("*"), "{path}");
    }
}

#[test]
fn heartbeats_return_unknown_and_changed_instances() {
    let controller = controller(Config::new());
    let mut program = Connection::to(controller.address());
    program.register("orders", "known", 1);
    program.register("orders", "changed", 2);
    let response = send_heartbeats(
        &mut program,
        &json!([
            { "instanceId": "known", "digest": digest_of("orders", 1) },
            { "instanceId": "changed", "digest": digest_of("orders", 3) },
            { "instanceId": "nobody", "digest": digest_of("orders", 1) },
            { "instanceId": "known" },
        ]),
    );
    assert_eq!(response["unknown"], json!(["changed", "nobody", "known"]));
    assert_eq!(response["epoch"].as_str().map(str::len), Some(16));
}

#[test]
fn digest_covers_all_rows_and_labels_of_an_instance() {
    let controller = controller(Config::new());
    let mut program = Connection::to(controller.address());
    let body = json!({ "instanceId": "both", "ip": "127.0.0.1", "endpoints": [
        { "serviceName": "orders", "port": 10, "protocol": "http", "version": "v1", "labels": { "z": "1", "a": "\u{e9}\"" } },
        { "serviceName": "orders", "port": 9, "protocol": "grpc" },
    ] });
    program.post("/v1/services/register?replace=true", &body);
    let labels = [("a".to_owned(), "\u{e9}\"".to_owned()), ("z".to_owned(), "1".to_owned())].into();
    let bare = DigestRow {
        service: "orders",
        ip: "127.0.0.1",
        port: 9,
        protocol: "grpc",
        version: "",
        node: "",
        labels: None,
    };
    let labelled = DigestRow { port: 10, protocol: "http", version: "v1", labels: Some(&labels), ..bare };
    let mut unknown_with = |digest: String| {
        send_heartbeats(&mut program, &json!([{ "instanceId": "both", "digest": digest }]))["unknown"].clone()
    };
    assert_eq!(unknown_with(to_hex(digest([labelled, bare]))), json!([]));
    assert_eq!(unknown_with(to_hex(digest([labelled]))), json!(["both"]));
}

#[test]
fn heartbeat_without_health_keeps_the_stored_health() {
    let controller = controller(Config::new());
    let mut program = Connection::to(controller.address());
    program.register("orders", "o-1", 1);
    let health = json!([{ "serviceName": "orders", "ip": "127.0.0.1", "port": 1, "protocol": "http", "healthy": false }]);
    let sick = send_heartbeats(
        &mut program,
        &json!([{ "instanceId": "o-1", "digest": digest_of("orders", 1), "health": health }]),
    );
    assert_eq!(sick["unknown"], json!([]));
    send_heartbeats(
        &mut program,
        &json!([{ "instanceId": "o-1", "digest": digest_of("orders", 1), "health": [] }]),
    );
    assert!(program.discover("orders").is_empty());
}

#[test]
fn registers_up_to_500_instances_at_once() {
    let controller = controller(Config::new());
    let mut program = Connection::to(controller.address());
    let many: Vec<_> =
        (0..500).map(|number| registration("orders", &format!("o-{number}"), number)).collect();
    let response = program.post("/v1/services/registrations", &json!({ "registrations": many }));
    assert_eq!((response.status, response.json()), (200, json!({ "refused": [] })));
    assert_eq!(program.discover("orders").len(), 500);

    let too_many: Vec<_> = (0..501).map(|number| registration("orders", "o", number)).collect();
    let response = program.post("/v1/services/registrations", &json!({ "registrations": too_many }));
    assert_eq!((response.status, response.text()), (400, "at most 500 registrations\n"));
}

fn of_generation(generation: &str) -> Value {
    let mut body = registration("orders", "o-1", 1);
    body["generation"] = generation.into();
    body
}

#[test]
fn closed_generation_is_refused_and_another_accepted() {
    let controller = controller(Config::new());
    let mut program = Connection::to(controller.address());
    let register = "/v1/services/register?replace=true";
    assert_eq!(program.post(register, &of_generation("g1")).status, 204);
    assert_eq!(program.delete("/v1/services?instanceId=o-1&generation=g1").status, 204);
    assert!(program.discover("orders").is_empty());

    let late = program.post(register, &of_generation("g1"));
    assert_eq!((late.status, late.text()), (409, "this generation was closed\n"));
    assert_eq!(program.post("/v1/services/register", &of_generation("g1")).status, 409);
    let batch = json!({ "registrations": [of_generation("g1"), registration("orders", "o-2", 2)] });
    assert_eq!(program.post("/v1/services/registrations", &batch).json(), json!({ "refused": ["o-1"] }));

    assert_eq!(program.post(register, &of_generation("g2")).status, 204);
    assert_eq!(program.discover("orders").len(), 2);
}

#[test]
fn delete_of_an_older_generation_keeps_the_newer() {
    let controller = controller(Config::new());
    let mut program = Connection::to(controller.address());
    program.post("/v1/services/register?replace=true", &of_generation("g2"));
    let endpoint = "serviceName=orders&instanceId=o-1&ip=127.0.0.1&port=1&protocol=http";
    program.delete("/v1/services?instanceId=o-1&generation=g1");
    program.delete(&format!("/v1/services/endpoint?{endpoint}&generation=g1"));
    assert_eq!(program.discover("orders").len(), 1);
    program.delete(&format!("/v1/services/endpoint?{endpoint}&generation=g2"));
    assert!(program.discover("orders").is_empty());
}

#[test]
fn delete_without_generation_refuses_nothing() {
    let controller = controller(Config::new());
    let mut program = Connection::to(controller.address());
    program.post("/v1/services/register?replace=true", &of_generation("g1"));
    program.delete("/v1/services?instanceId=o-1");
    assert_eq!(program.post("/v1/services/register?replace=true", &of_generation("g1")).status, 204);
    assert_eq!(program.discover("orders").len(), 1);
}

#[test]
fn rejects_a_move_onto_another_endpoint() {
    let controller = controller(Config::new());
    let mut program = Connection::to(controller.address());
    program.register("orders", "o-1", 1);
    program.register("orders", "o-2", 2);
    let onto = json!({ "serviceName": "orders", "instanceId": "o-2", "ip": "127.0.0.1", "port": 2, "protocol": "http" });
    let path = "/v1/services/endpoint?serviceName=orders&instanceId=o-1&ip=127.0.0.1&port=1&protocol=http";
    let response = program.request("PATCH", path, onto.to_string().as_bytes());
    assert_eq!((response.status, response.text()), (409, "another endpoint has this identity\n"));
    assert_eq!(program.discover("orders").len(), 2);
}
