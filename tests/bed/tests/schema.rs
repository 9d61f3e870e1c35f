//! The scenarios are what their schema says, and the schema is what the types say. `UPDATE=1` rewrites it.

use std::path::{Path, PathBuf};

use plumline_testbed::scenario;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("conformance")
}

#[test]
fn schema_matches_types() {
    let path = folder().join("schema.json");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, scenario::schema()).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == scenario::schema(), "{} is out of date; run with UPDATE=1", path.display());
}

#[test]
fn schema_objects_reject_unknown_keys() {
    fn look(value: &serde_json::Value, place: &str) {
        if let Some(map) = value.as_object() {
            if map.contains_key("properties") {
                assert_eq!(map.get("additionalProperties"), Some(&false.into()), "{place} takes any word");
            }
            map.iter().for_each(|(key, value)| look(value, &format!("{place}/{key}")));
        }
        value.as_array().into_iter().flatten().for_each(|value| look(value, place));
    }
    look(&serde_json::from_str(&scenario::schema()).unwrap(), "");
}

#[test]
fn scenarios_are_many_and_state_their_purpose() {
    let files = scenario::read(&folder()).unwrap();
    let count: usize = files.iter().map(|file| file.scenarios.len()).sum();
    assert!(count >= 80, "{count} scenarios");
    let topics: std::collections::BTreeSet<&str> = files.iter().map(|file| file.topic.as_str()).collect();
    assert_eq!(topics.len(), files.len(), "two files have the same topic");
}

#[test]
fn rejects_unknown_key_at_every_level() {
    let good = r#"{"topic": "t", "scenarios": [{"name": "n", "why": "w", "endpoints": {"a": {"answers": [{}]}},
        "steps": [{"ask": {"call": {"service": "s", "path": "/"}}, "expect": {"status": {"$range": [1, 2]}}},
                  {"bed": {"down": {"endpoint": "a"}}}],
        "saw": {"a": {"requests": 1}}}]}"#;
    scenario::parse(good).unwrap();
    for (word, wrong) in [
        (r#""topic":"#, r#""topc": 1, "topic":"#),
        (r#""why":"#, r#""reason": 1, "why":"#),
        (r#""answers":"#, r#""answer": 1, "answers":"#),
        ("[{}]", r#"[{"stauts": 200}]"#),
        (r#""ask": {"call": {"#, r#""ask": {"cal": {"#),
        (r#""path":"#, r#""pth": 1, "path":"#),
        (r#""expect":"#, r#""expects": 1, "expect":"#),
        ("$range", "$rang"),
        (r#"{"down": {"#, r#"{"dwn": {"#),
        (r#""requests":"#, r#""request": 1, "requests":"#),
        (r#"{"endpoint": "a"}"#, r#"{"endpoint": "b"}"#),
        (r#""saw": {"a""#, r#""saw": {"b""#),
    ] {
        let broken = good.replacen(word, wrong, 1);
        assert_ne!(broken, good, "{word} is not in the example");
        assert!(scenario::parse(&broken).is_err(), "{wrong} was taken");
    }
}

#[test]
fn scenario_has_at_most_one_registry() {
    let scenario = |more: &str| {
        format!(
            r#"{{"topic": "t", "scenarios": [{{"name": "n", "why": "w", "endpoints": {{"a": {{}}}}, {more}
            "steps": [{{"ask": {{"discover": {{"service": "s"}}}}}}]}}]}}"#
        )
    };
    let knows = r#""registry": {"knows": [{"endpoint": "a", "service": "s"}]},"#;
    let of_nobody = r#""registry": {"knows": [{"endpoint": "b", "service": "s"}]},"#;
    for (more, is_taken) in [
        (format!(r#""on": ["plum", "etcd"], {knows}"#), true),
        (format!(r#""controller": {{"ttl": 600}}, {knows}"#), true),
        (knows.to_owned(), false),
        (r#""registry": {"down": true},"#.to_owned(), false),
        (r#""on": ["plum"], "controller": {},"#.to_owned(), false),
        (r#""on": ["eureka"],"#.to_owned(), false),
        (format!(r#""on": ["dns"], {of_nobody}"#), false),
    ] {
        assert_eq!(scenario::parse(&scenario(&more)).is_ok(), is_taken, "{more}");
    }
    assert_eq!(scenario::parse(&scenario(r#""on": ["plum", "etcd"],"#)).unwrap().scenarios.len(), 2);
}
