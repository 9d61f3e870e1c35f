//! What a forked child may do with what it inherited. The only test of its process: being a child is for good.

use std::time::Duration;

use plumline::registration::RegistrationState;
use plumline::{Instance, runtime};
use plumline_tests::{Process, client, stays, until};
use serde_json::json;

#[test]
fn forked_child_keeps_parent_registrations() {
    let controller = Process::start(env!("CARGO_BIN_EXE_test-controller"), Duration::from_mins(1));
    let settings = json!({ "registration": { "wait_listening": "0s" } });
    let parents = client(&controller.plum(), settings);
    let of_parent = parents.register(Instance::new("orders", 7).host("127.0.0.1")).unwrap();
    assert_eq!(parents.discover("orders").unwrap().len(), 1);

    runtime::forked();

    assert_eq!(of_parent.state(), RegistrationState::Closed, "inert");
    of_parent.close(Duration::ZERO).unwrap();
    drop(of_parent);
    assert_eq!(controller.listed("orders"), [7], "it is the parent's");
    let of_child = parents.register(Instance::new("orders", 8).host("127.0.0.1")).unwrap();
    until("the child's own is known", Duration::from_secs(5), || controller.listed("orders") == [7, 8]);
    assert_eq!(parents.discover("orders").unwrap().len(), 2);
    drop(of_child);
    stays("the parent's stays", Duration::from_millis(300), || controller.listed("orders") == [7]);
    parents.close();
    assert_eq!(controller.listed("orders"), [7]);
}
