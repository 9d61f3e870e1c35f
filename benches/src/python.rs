//! The Python face against what a Python program would take instead; measured by a Python program.

use std::process::Command;

use crate::table::Row;

/// One call, and calls a second at 16 threads.
pub fn call_python() -> Vec<Row> {
    let file = std::env::temp_dir().join(format!("plumline-bench-{}.json", std::process::id()));
    let this = std::env::current_exe().expect("a program knows itself");
    let measured = Command::new(".venv/bin/python")
        .arg("python/tools/bench_calls.py")
        .arg(this)
        .arg("--json")
        .arg(&file)
        .status()
        .expect("`make bench` has made .venv");
    assert!(measured.success(), "the Python rows were not measured");
    let text = std::fs::read(&file).expect("the rows");
    std::fs::remove_file(&file).expect("the file is ours");
    serde_json::from_slice(&text).expect("rows as JSON")
}
