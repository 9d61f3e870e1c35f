//! The methods of a client other than calls.

mod support;

use std::io::Read;
use std::time::{Duration, Instant};

use plumline::{Client, Config, Kind, Request};
use serde_json::json;

use support::{DeadPort, Reply, Server};

fn client(settings: serde_json::Value) -> Client {
    Client::with_config(Config::from_value(settings).unwrap()).unwrap()
}

fn at(port: u16) -> String {
    format!("static://127.0.0.1:{port}")
}

#[test]
fn service_handle_sends_every_method() {
    let server = Server::start(|_, _| Reply::ok(""));
    let orders = client(json!({"registry": at(server.port())})).service("orders").unwrap();
    orders.get("/1").unwrap();
    orders.post("/2", &1).unwrap();
    orders.put("/3", &2).unwrap();
    orders.patch("/4", &3).unwrap();
    orders.delete("/5").unwrap();
    orders.head("/6").unwrap();
    orders.options("/7").unwrap();
    let sent: Vec<String> = server
        .seen()
        .iter()
        .map(|seen| {
            let line = seen.line().trim_end_matches(" HTTP/1.1").to_owned();
            line + " " + &String::from_utf8_lossy(&seen.body)
        })
        .collect();
    let wanted = ["GET /1 ", "POST /2 1", "PUT /3 2", "PATCH /4 3", "DELETE /5 ", "HEAD /6 ", "OPTIONS /7 "];
    assert_eq!(sent, wanted);
}

#[test]
fn lookup_without_waiting_counts_as_hit() {
    let plum = client(json!({"registry": at(1)}));
    assert_eq!(plum.discover("s").unwrap().len(), 1);
    let before = plum.stats().unwrap().cache.hits;
    plum.discover("s").unwrap();
    assert!(plum.try_discover("s").unwrap().is_some());
    assert_eq!(plum.stats().unwrap().cache.hits, before + 2);
}

#[test]
fn dead_endpoint_is_not_probed_forever_without_ejection() {
    let dead = DeadPort::take();
    let plum = client(
        json!({"registry": at(dead.number()), "outlier": {"enabled": false}, "retry": {"attempts": 1}}),
    );
    plum.get("s", "/").unwrap_err();
    // A probe that continued would connect as soon as the port accepts connections.
    let listener = dead.listen();
    listener.set_nonblocking(true).unwrap();
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(300) {
        assert!(listener.accept().is_err(), "it is still probed");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn reset_during_handshake_is_unavailable_and_retried() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let dying = std::thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok).take(2) {
            let _ = (&connection).read(&mut [0; 16]); // the beginning of the handshake
            rustix::net::sockopt::set_socket_linger(&connection, Some(Duration::ZERO)).unwrap();
        }
    });
    let registry = format!("{}?protocol=https", at(port));
    let plum = client(json!({"registry": registry, "outlier": {"enabled": false}, "retry": {"base": "1ms"}}));
    let request = Request::post("s", "/").attempts(2).timeout(Duration::from_secs(5));
    let error = plum.call(&request).unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (Kind::Unavailable, true), "{error}");
    assert_eq!(error.trace().len(), 2, "a POST that never left is tried again: {error:?}");
    dying.join().unwrap();
}
