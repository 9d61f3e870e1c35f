//! Writes that were acknowledged survive `kill -9` of the controller.

mod support;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use serde_json::json;
use support::{Connection, Plumline, wait_until};

#[test]
fn acknowledged_values_survive_kill_9() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = format!("sqlite:{}", folder.path().join("plum.db").display());
    let mut acknowledged = 0;
    for round in 0..3 {
        let mut plumline = Plumline::controller(&["--store", &store]);
        let mut connection = plumline.connect();
        for earlier in 0..acknowledged {
            assert_eq!(
                connection.get(&format!("/v1/kv/app/{earlier}")).status,
                200,
                "round {round}: {earlier}"
            );
        }
        // Killed between a response and the next request: all acknowledged values must be there.
        for _ in 0..50 {
            let body = json!({ "value": acknowledged.to_string(), "type": "int" }).to_string();
            let answer = connection.request("PUT", &format!("/v1/kv/app/{acknowledged}"), body.as_bytes());
            assert_eq!(answer.status, 200);
            acknowledged += 1;
        }
        plumline.child.kill().expect("killed");
        plumline.child.wait().expect("ended");
    }
    let plumline = Plumline::controller(&["--store", &store]);
    let keys = plumline.connect().get("/v1/kv/app/keys").json();
    assert_eq!(keys["keys"].as_array().map(Vec::len), Some(acknowledged));
}

const WRITERS: usize = 8;

/// Sets the flag when dropped, also if the test panics.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[test]
fn acknowledged_values_of_concurrent_writers_survive_kill_9() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = format!("sqlite:{}", folder.path().join("plum.db").display());
    let mut plumline = Plumline::controller(&["--store", &store]);
    let (address, killed) = (plumline.address, AtomicBool::new(false));
    let acknowledged: Vec<String> = std::thread::scope(|scope| {
        let write = |writer: usize| {
            let killed = &killed;
            scope.spawn(move || {
                let mut acknowledged = Vec::new();
                while !killed.load(Relaxed) {
                    let key = format!("{writer}-{}", acknowledged.len());
                    let put = std::panic::catch_unwind(|| {
                        Connection::to(address).request(
                            "PUT",
                            &format!("/v1/kv/app/{key}"),
                            br#"{"value":"x"}"#,
                        )
                    });
                    match put {
                        Ok(answer) if answer.status == 200 => acknowledged.push(key),
                        // The controller was killed during the request, which was not acknowledged.
                        _ => break,
                    }
                }
                acknowledged
            })
        };
        let writers: Vec<_> = (0..WRITERS).map(write).collect();
        // Also if the test fails: otherwise the writers, and with them the test, would never end.
        let _stop_writers = SetOnDrop(&killed);
        let mut reader = plumline.connect();
        // Each writer may have one value that is written but not yet acknowledged.
        wait_until("100 values were acknowledged", || {
            let known = reader.get("/v1/kv/app/keys").json()["keys"].as_array().map_or(0, Vec::len);
            known > 100 + WRITERS
        });
        plumline.child.kill().expect("killed");
        killed.store(true, Relaxed);
        writers.into_iter().flat_map(|writer| writer.join().expect("a writer")).collect()
    });
    plumline.child.wait().expect("ended");

    let plumline = Plumline::controller(&["--store", &store]);
    let keys = plumline.connect().get("/v1/kv/app/keys").json();
    let kept: Vec<_> = keys["keys"].as_array().expect("keys").iter().filter_map(|key| key.as_str()).collect();
    assert!(acknowledged.len() > 100);
    for key in &acknowledged {
        assert!(kept.contains(&key.as_str()), "{key} was acknowledged and is lost");
    }
}

#[test]
fn written_registration_survives_kill_9() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("plum.db");
    let store = format!("sqlite:{}", path.display());
    let mut plumline = Plumline::controller(&["--store", &store]);
    let mut connection = plumline.connect();
    connection.register("orders", "o-1", 1);
    // Rows are written with or before the next value, so once the value is on disk, they are too.
    connection.request("PUT", "/v1/kv/app/after", br#"{"value":"x"}"#);
    plumline.child.kill().expect("killed");
    plumline.child.wait().expect("ended");
    let plumline = Plumline::controller(&["--store", &store]);
    assert_eq!(plumline.connect().discover("orders").len(), 1);
}
