//! Replays recorded exchanges with the original controller, in order, on an empty controller.

mod support;

use std::time::{SystemTime, UNIX_EPOCH};

use plumline_controller::{Config, StoreKind};
use serde_json::Value;
use support::{Connection, HttpResponse, controller};

/// The recordings are shared with the tests of the clients.
const TRANSCRIPTS: &str = include_str!("../../tests/transcripts.json");

#[test]
fn memory_store_matches_the_original_contract() {
    replay(Config::new());
}

#[test]
fn sqlite_store_matches_the_original_contract() {
    let folder = tempfile::tempdir().expect("a folder");
    replay(Config::new().store(StoreKind::Sqlite(folder.path().join("plum.db"))));
}

fn replay(config: Config) {
    let controller = controller(config);
    let mut connection = Connection::to(controller.address());
    let transcripts: Value = serde_json::from_str(TRANSCRIPTS).expect("transcripts");
    let mut replayed = 0;
    for transcript in transcripts.as_array().expect("a list") {
        for step in transcript["steps"].as_array().expect("steps") {
            let response = send(&mut connection, &step["request"]);
            compare(&response, &step["response"], &format!("{}: {}", transcript["title"], step["request"]));
            replayed += 1;
        }
    }
    assert_eq!(replayed, 90);
}

fn send(connection: &mut Connection, request: &Value) -> HttpResponse {
    let body = match (&request["body"], &request["raw"]) {
        (Value::Null, Value::Null) => String::new(),
        (Value::Null, raw) => raw.as_str().expect("a raw body").to_owned(),
        (body, _) => body.to_string(),
    };
    let text = |field: &str| request[field].as_str().expect("a text").to_owned();
    connection.request(&text("method"), &text("path"), body.as_bytes())
}

fn compare(response: &HttpResponse, expected: &Value, step: &str) {
    assert_eq!(response.status, expected["status"], "{step}");
    assert_eq!(response.header("content-type"), expected["content_type"].as_str(), "{step}");
    if let Some(text) = expected["text"].as_str() {
        assert_eq!(response.text(), text, "{step}");
    } else if let Some(json) = expected.get("json") {
        assert_eq!(&with_placeholders(response.json(), step), json, "{step}");
    } else {
        assert!(response.body.is_empty(), "{step}: {:?}", response.text());
    }
}

/// Replaces recent times by the placeholders of the recordings.
fn with_placeholders(json: Value, step: &str) -> Value {
    match json {
        Value::Array(items) => items.into_iter().map(|item| with_placeholders(item, step)).collect(),
        Value::Object(fields) => {
            let replaced = fields.into_iter().map(|(name, value)| match name.as_str() {
                "lastSeen" | "updatedAt" => {
                    assert!(is_recent(&value), "{step}: {name} is {value}");
                    (name, "<unix seconds>".into())
                }
                _ => (name, with_placeholders(value, step)),
            });
            Value::Object(replaced.collect())
        }
        other => other,
    }
}

fn is_recent(value: &Value) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    value.as_u64().is_some_and(|seconds| seconds <= now && now - seconds < 60)
}
