//! The SQLite store after an orderly restart.

mod support;

use std::time::Duration;

use plumline_controller::{Config, StartError, StoreKind};
use support::{Connection, controller, wait_until};

#[test]
fn restart_lists_registrations_for_one_ttl() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config::new()
        .store(StoreKind::Sqlite(folder.path().join("plum.db")))
        .service_ttl(Duration::from_secs(3));
    let first = controller(config.clone());
    let mut program = Connection::to(first.address());
    program.register("orders", "o-1", 1);
    program.register("orders", "o-2", 2);
    program.delete("/v1/services?instanceId=o-2");
    first.close();

    let second = controller(config);
    let mut program = Connection::to(second.address());
    let found = program.discover("orders");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["instanceId"], "o-1");
    wait_until("it expires without heartbeats", || program.discover("orders").is_empty());
}

#[test]
fn expired_endpoints_stay_expired_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config::new()
        .store(StoreKind::Sqlite(folder.path().join("plum.db")))
        .service_ttl(Duration::from_millis(300));
    let first = controller(config.clone());
    let mut program = Connection::to(first.address());
    program.register("orders", "o-1", 1);
    wait_until("it expired", || program.discover("orders").is_empty());
    first.close();

    let second = controller(config);
    let mut program = Connection::to(second.address());
    assert!(program.discover("orders").is_empty());
    let all = program.get("/v1/discovery?service=orders&all=true").json();
    assert_eq!(all.as_array().map(Vec::len), Some(1));
}

#[test]
fn second_controller_on_the_same_file_fails_to_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config::new()
        .listen(([127, 0, 0, 1], 0).into())
        .store(StoreKind::Sqlite(folder.path().join("plum.db")));
    let _first = controller(config.clone());
    let second = plumline_controller::Controller::start(config);
    let Err(StartError::Store(reason)) = second else { panic!("it started: {second:?}") };
    assert!(reason.contains("another process is using it"), "{reason}");
}
