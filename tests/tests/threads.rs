//! How many threads we take, and that they end. The only test of its process: others would be counted too.

use std::time::Duration;

use plumline::Instance;
use plumline_tests::{Process, client, until};
use serde_json::json;

const MANY: usize = 1_000;

/// Threads of this process that are ours.
fn ours() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.starts_with("plumline")).count()
}

#[test]
fn thousand_watches_use_few_threads() {
    let controller = Process::start(env!("CARGO_BIN_EXE_test-controller"), Duration::from_secs(15));
    let settings = json!({ "registration": { "wait_listening": "0s" } });
    let (plum, other) = (client(&controller.plum(), settings), client(&controller.plum(), json!({})));
    assert_eq!(ours(), 0, "none before the first need");
    let service = |index: usize| Instance::new(format!("service-{index}"), 7).host("127.0.0.1");
    let mut mine: Vec<_> = (0..MANY).map(|index| plum.register(service(index)).unwrap()).collect();
    let watches: Vec<_> = (0..MANY).map(|index| other.watch(&format!("service-{index}")).unwrap()).collect();
    for watch in &watches {
        let first = watch.next_within(Duration::from_secs(30)).unwrap().expect("a first list");
        assert_eq!(first.endpoints.len(), 1);
    }
    assert!((1..=6).contains(&ours()), "{} threads", ours());
    other.close();
    assert!(ours() > 0, "the other client still needs them");
    // A close of all at once has two seconds for all of them.
    mine.truncate(100);
    plum.close();
    until("they have ended although the clients are still held", Duration::from_secs(1), || ours() == 0);
    let (status, names) = controller.ask("GET", "/v1/services/list", "");
    assert_eq!((status, names.trim()), (200, "null"), "all were deregistered");
    drop(mine);
}
