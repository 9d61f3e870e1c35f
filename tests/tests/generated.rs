//! Pages that are made from the code say what the code says. `UPDATE=1` (or `make docs`) rewrites them.

use std::path::{Path, PathBuf};

use plumline::Config;

fn page(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs").join(name)
}

/// Compares a page with what it should be, or rewrites it.
fn is_up_to_date(name: &str, expected: &str) {
    let path = page(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, expected).unwrap();
        return;
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let first_difference = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
    assert!(
        found == expected,
        "{} is not what core says; run `make docs`. First difference: {first_difference:#?}",
        path.display()
    );
}

#[test]
fn defaults_page_matches_core() {
    let intro = "\
# Defaults

Every key there is, with its default. This page is made from the code by `make docs`; do not edit it.

The same keys are used everywhere: in Rust's `Config`, as keyword arguments of Python's `Client`, in a file, and as
environment variables. How to set them: [Getting started](getting-started.md#settings). For editors and validators
there is a [JSON Schema](config.schema.json).

Durations are numbers of seconds or text such as `250ms`, `5s` or `1m30s`. Every key but those under `registry`,
`cache` and `registration` can also be set for one service, under `services.<name>`.

";
    is_up_to_date("defaults.md", &format!("{intro}{}", Config::table()));
}

#[test]
fn config_schema_matches_core() {
    let schema = serde_json::to_string_pretty(&Config::schema()).unwrap();
    is_up_to_date("config.schema.json", &format!("{schema}\n"));
}
