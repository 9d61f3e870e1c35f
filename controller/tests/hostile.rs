//! Hostile clients: they get an error response or a closed connection, and cause no panic, hang or unbounded growth.

mod support;

use std::time::{Duration, Instant};

use plumline_controller::{Config, Limits, TlsFiles};
use serde_json::json;
use support::{Connection, controller, registration, wait_until};

#[test]
fn rejects_bodies_over_8_mib() {
    let controller = controller(Config::new());
    let mut announced = Connection::to(controller.address());
    announced
        .write(b"POST /v1/services/register HTTP/1.1\r\nHost: x\r\nContent-Length: 8388609\r\n\r\n")
        .expect("a head sent");
    assert_eq!(announced.receive().status, 413);

    let mut chunked = Connection::to(controller.address());
    chunked
        .write(b"POST /v1/services/register HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        .expect("a head sent");
    let chunk = [b"100000\r\n".as_slice(), &vec![b' '; 1 << 20], b"\r\n"].concat();
    // The controller may stop reading before everything is sent.
    let _stopped = (0..9).try_for_each(|_| chunked.write(&chunk));
    assert_eq!(chunked.receive().status, 413);
}

#[test]
fn accepts_bodies_just_under_8_mib() {
    let controller = controller(Config::new());
    let mut connection = Connection::to(controller.address());
    let padding = " ".repeat(8 * 1024 * 1024 - 100);
    let body = format!("{{{padding}\"instanceId\":\"o-1\"}}");
    let response = connection.request("POST", "/v1/services/register?replace=true", body.as_bytes());
    assert_eq!(response.status, 204);
}

#[test]
fn malformed_bodies_get_bad_request() {
    let controller = controller(Config::new());
    let mut connection = Connection::to(controller.address());
    let deep = "[".repeat(100_000);
    let bodies = ["", "{", "[]", "null", "7", "\"x\"", "{\"instanceId\":{}}", "\u{0}", &deep];
    let posts = [
        "/v1/services/register",
        "/v1/services/registrations",
        "/v1/services/heartbeat",
        "/v1/services/heartbeats",
        "/v1/nodes/heartbeat",
        "/v1/kv/app/batch",
        "/v1/watch",
    ];
    for path in posts {
        for body in bodies {
            let response = connection.request("POST", path, body.as_bytes());
            let allowed = [400, 200, 204];
            assert!(allowed.contains(&response.status), "{path} {body:.20}: {}", response.status);
        }
        let response = connection.request("POST", path, b"{\xff}");
        assert_eq!((response.status, response.text()), (400, "bad request\n"), "{path}");
    }
    assert_eq!(connection.get("/healthz").status, 200);
}

#[test]
fn invalid_paths_methods_and_numbers_get_4xx() {
    let controller = controller(Config::new());
    let mut connection = Connection::to(controller.address());
    assert_eq!(connection.get("/v1/discovery?service=a&limit=-1").status, 400);
    assert_eq!(connection.get("/v1/discovery?service=a&limit=99999999999999999999").status, 200);
    assert_eq!(connection.request("BREW", "/v1/services/register", b"").status, 405);
    assert_eq!(connection.request("TRACE", "/v1/kv/a/b", b"").status, 405);
    assert_eq!(connection.get("/v1/kv/%ff/x").status, 400);
    assert_eq!(connection.get("/v1/nodes/%ff").status, 400);
    assert_eq!(connection.get("/../../etc/passwd").status, 404);
    assert_eq!(connection.get("/v1/discovery?service=%ff%00").status, 200);
    let path = "/v1/services/endpoint?serviceName=a&instanceId=b&ip=c&protocol=d&port=99999999999999999999";
    assert_eq!(connection.delete(path).status, 400);
    assert_eq!(connection.post("/v1/watch", &json!({ "wait": "soon" })).status, 400);
    assert_eq!(connection.post("/v1/watch", &json!({ "wait": -1 })).status, 400);
    assert_eq!(connection.get("/healthz").status, 200);
}

#[test]
fn invalid_http_closes_only_its_own_connection() {
    let controller = controller(Config::new());
    for broken in [
        b"\x16\x03\x01 this is TLS\r\n\r\n".as_slice(),
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET  HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n",
    ] {
        let mut connection = Connection::to(controller.address());
        connection.write(broken).expect("sent");
        assert!(connection.closes_within(Duration::from_secs(5)), "{:?}", String::from_utf8_lossy(broken));
    }
    let mut long = Connection::to(controller.address());
    let _stopped = long.write(&[b"GET /".as_slice(), &vec![b'a'; 1 << 20], b" HTTP/1.1\r\n\r\n"].concat());
    assert!(long.closes_within(Duration::from_secs(5)));
    assert_eq!(Connection::to(controller.address()).get("/healthz").status, 200);
}

fn short_limits() -> Config {
    let limits = Limits {
        headers: Duration::from_millis(300),
        body_time: Duration::from_millis(300),
        idle: Duration::from_millis(900),
        ..Limits::default()
    };
    Config::new().limits(limits)
}

#[test]
fn slow_headers_close_the_connection() {
    let controller = controller(short_limits());
    let started_at = Instant::now();
    let mut slow = Connection::to(controller.address());
    slow.write(b"GET /healthz HTTP/1.1\r\nHost: ").expect("begun");
    // Single bytes do not extend the limit.
    wait_until("the connection was closed", || slow.write(b"x").is_err());
    assert!(started_at.elapsed() >= Duration::from_millis(200));
}

#[test]
fn slow_body_gets_408() {
    let controller = controller(short_limits());
    let mut slow = Connection::to(controller.address());
    slow.write(b"POST /v1/services/register HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
        .expect("begun");
    assert_eq!(slow.receive().status, 408);
}

#[test]
fn closes_idle_connections_but_not_waiting_watches() {
    let controller = controller(short_limits());
    let mut idle = Connection::to(controller.address());
    assert_eq!(idle.get("/healthz").status, 200);
    let mut poll = Connection::to(controller.address());
    let since = poll.post("/v1/watch", &json!({ "services": ["orders"] })).json()["since"].clone();
    let body = json!({ "services": ["orders"], "since": since, "wait": "1500ms" });
    assert_eq!(poll.post("/v1/watch", &body).status, 204);
    assert!(idle.closes_within(Duration::from_secs(3)));
}

#[test]
fn closes_connections_over_the_limit_until_others_close() {
    let controller = controller(Config::new().limits(Limits { connections: 3, ..Limits::default() }));
    let mut held: Vec<_> = (0..3).map(|_| Connection::to(controller.address())).collect();
    for connection in &mut held {
        assert_eq!(connection.get("/healthz").status, 200);
    }
    assert!(Connection::to(controller.address()).closes_within(Duration::from_secs(5)));
    held.clear();
    let address = controller.address();
    let healthy = || std::panic::catch_unwind(|| Connection::to(address).get("/healthz").status);
    wait_until("new connections are accepted again", || matches!(healthy(), Ok(200)));
}

#[test]
fn requires_the_token_except_for_healthz() {
    let controller = controller(Config::new().token("secret"));
    let mut connection = Connection::to(controller.address());
    let mut request = |path: &str, headers: &str| {
        connection.send("GET", path, b"", headers);
        connection.receive()
    };
    for headers in [
        "",
        "Authorization: Bearer wrong!\r\n",
        "Authorization: Bearer secre\r\n",
        "Authorization: secret\r\n",
    ] {
        let response = request("/v1/services/list", headers);
        assert_eq!((response.status, response.text()), (401, "unauthorized\n"), "{headers}");
        assert_eq!(response.header("www-authenticate"), Some("Bearer"));
        assert_eq!(request("/healthz", headers).status, 200);
    }
    for scheme in ["Bearer", "bearer"] {
        assert_eq!(request("/v1/services/list", &format!("Authorization: {scheme} secret\r\n")).status, 200);
    }
}

#[test]
fn unknown_filters_and_names_do_not_grow_the_store() {
    let controller = controller(Config::new());
    let mut connection = Connection::to(controller.address());
    connection.register("orders", "o-1", 1);
    for number in 0..500 {
        assert_eq!(
            connection.get(&format!("/v1/discovery?service=orders&version=made-up-{number}")).json(),
            json!([])
        );
        assert_eq!(connection.get(&format!("/v1/discovery?service=made-up-{number}")).json(), json!([]));
    }
    assert_eq!(connection.get("/v1/services/list").json(), json!(["orders"]));
}

#[test]
fn rejects_an_instance_with_100000_endpoints() {
    let controller = controller(Config::new());
    let mut connection = Connection::to(controller.address());
    let endpoints: Vec<_> = (0..100_000).map(|port| json!({ "serviceName": "s", "port": port })).collect();
    let body = json!({ "instanceId": "o-1", "ip": "127.0.0.1", "endpoints": endpoints });
    for path in ["/v1/services/register", "/v1/services/register?replace=true"] {
        let response = connection.post(path, &body);
        assert_eq!((response.status, response.text()), (400, "too many endpoints for one instance\n"));
    }
}

#[test]
fn probes_tell_listening_ports_from_closed_ones() {
    let controller = controller(Config::new());
    let mut connection = Connection::to(controller.address());
    let listening = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let open = listening.local_addr().expect("its address").port();
    let mut body = registration("probed", "p-1", controller.address().port());
    let endpoints = body["endpoints"].as_array_mut().expect("endpoints");
    endpoints.push(json!({ "serviceName": "probed", "port": open, "protocol": "tcp" }));
    endpoints.push(json!({ "serviceName": "probed", "port": 1, "protocol": "http" }));
    endpoints.push(json!({ "serviceName": "probed", "port": 70_000, "protocol": "grpc" }));
    assert_eq!(connection.post("/v1/services/register", &body).status, 204);
    let found = connection.discover("probed");
    let mut ports: Vec<_> = found.iter().map(|endpoint| endpoint["port"].as_u64()).collect();
    let mut expected = [controller.address().port(), open].map(|port| Some(u64::from(port)));
    ports.sort_unstable();
    expected.sort_unstable();
    assert_eq!(ports, expected);
}

#[test]
fn serves_and_probes_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
    let files = TlsFiles { certificate: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
    std::fs::write(&files.certificate, made.cert.pem()).expect("written");
    std::fs::write(&files.key, made.signing_key.serialize_pem()).expect("written");
    let secure = controller(Config::new().tls(files));
    assert!(secure.url().starts_with("https://127.0.0.1:"));

    // The TLS client of this test is the probe of another controller.
    let plain = controller(Config::new());
    let mut connection = Connection::to(plain.address());
    let mut body = registration("secure", "s-1", secure.address().port());
    body["endpoints"][0]["protocol"] = "https".into();
    connection.post("/v1/services/register", &body);
    assert_eq!(connection.discover("secure").len(), 1);
}
