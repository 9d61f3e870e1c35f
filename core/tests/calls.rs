//! Calls against servers that misbehave: retries, limits and errors.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use plumline::{Client, Config, Kind, Request, Response, Result};
use serde_json::json;

use support::{DeadPort, Reply, Server, wait_until};

fn client(ports: &[u16]) -> Client {
    client_with(ports, json!({}))
}

fn client_with(ports: &[u16], mut config: serde_json::Value) -> Client {
    let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    config["registry"] = format!("static://{}", hosts.join(",")).into();
    Client::with_config(Config::from_value(config).unwrap()).unwrap()
}

/// The result of a call to a server that sends these bytes.
fn answer_of(bytes: &[u8]) -> Result<Response> {
    let bytes = bytes.to_vec();
    let server = Server::start(move |_, _| Reply::Last(bytes.clone()));
    client(&[server.port()]).call(&Request::get("s", "/").attempts(1))
}

#[test]
fn request_arrives_as_built() {
    let server = Server::start(|_, _| Reply::ok("[1]"));
    let plum = client(&[server.port()]);
    let request =
        Request::post("s", "/a b/ü").param("q", "1&2").header("X-One", "1").json(&json!({"k": "v"}));
    assert_eq!(plum.call(&request).unwrap().json::<Vec<u8>>().unwrap(), [1]);
    let seen = &server.seen()[0];
    assert_eq!(seen.line(), "POST /a%20b/%C3%BC?q=1%262 HTTP/1.1");
    assert_eq!(seen.header("host"), Some(format!("127.0.0.1:{}", server.port()).as_str()));
    assert_eq!((seen.header("x-one"), seen.header("content-type")), (Some("1"), Some("application/json")));
    assert_eq!(seen.header("user-agent"), Some(concat!("plumline/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(seen.body, br#"{"k":"v"}"#);
}

#[test]
fn own_content_type_replaces_the_default() {
    let server = Server::start(|_, _| Reply::ok(""));
    let plum = client(&[server.port()]);
    let own = |request: Request| request.header("content-type", "application/vnd.api+json");
    plum.call(&own(Request::post("s", "/").json(&1))).unwrap();
    plum.call(&own(Request::post("s", "/")).json(&1)).unwrap();
    for seen in server.seen() {
        let types: Vec<&str> =
            seen.head.lines().filter(|line| line.to_lowercase().starts_with("content-type:")).collect();
        assert_eq!(types, ["content-type: application/vnd.api+json"]);
    }
}

#[test]
fn any_status_is_a_response() {
    for status in [200, 201, 302, 404, 500, 599] {
        let server = Server::start(move |_, _| Reply::with(status, &[("Location", "/elsewhere")], "body"));
        let response = client(&[server.port()]).get("s", "/").unwrap();
        assert_eq!((response.status(), &*response.text(), response.attempts()), (status, "body", 1));
        assert_eq!(server.seen().len(), 1, "a redirect is not followed");
    }
}

#[test]
fn malformed_response_is_a_clear_error() {
    let kind = |bytes: &[u8]| answer_of(bytes).unwrap_err().kind();
    assert_eq!(kind(b""), Kind::Unavailable);
    assert_eq!(kind(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"), Kind::Unavailable);
    assert_eq!(kind(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n"), Kind::Protocol);
    assert_eq!(kind(b"not http at all\r\n\r\n"), Kind::Protocol);
    assert_eq!(
        kind(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"),
        Kind::Protocol
    );
    assert_eq!(kind(&[b"HTTP/1.1 200 OK\r\nX: ", vec![b'x'; 1 << 20].as_slice()].concat()), Kind::Protocol);
}

#[test]
fn accepts_unusual_but_valid_responses() {
    let text = |bytes: &[u8]| answer_of(bytes).unwrap().text().into_owned();
    assert_eq!(text(b"HTTP/1.1 200 OK\r\n\r\nuntil the end"), "until the end");
    assert_eq!(text(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold and more"), "old");
    assert_eq!(
        text(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        "ok"
    );
    assert_eq!(text(b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello"), "");
}

#[test]
fn rejects_body_over_max_body() {
    let server = Server::start(|_, _| Reply::ok(&"x".repeat(2000)));
    let plum = client_with(&[server.port()], json!({"max_body": 1999}));
    let error = plum.get("s", "/").unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol);
    assert!(error.message().contains("max_body (1999 bytes)"), "{error}");
    assert!(!error.is_retryable());
    assert_eq!(plum.call(&Request::get("s", "/").max_body(2000)).unwrap().body().len(), 2000);
}

#[test]
fn unpacks_gzip_and_rejects_a_gzip_bomb() {
    use std::io::Write;
    let pack = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        let packed = encoder.finish().unwrap();
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", packed.len());
        [head.into_bytes(), packed].concat()
    };
    assert_eq!(answer_of(&pack(b"plums")).unwrap().text(), "plums");
    let bomb = pack(&vec![0; 10 << 20]);
    let server = Server::start(move |_, _| Reply::Send(bomb.clone()));
    let error = client_with(&[server.port()], json!({"max_body": 1 << 20})).get("s", "/").unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol);
}

#[test]
fn reuses_connections_and_hides_closed_ones() {
    let server = Server::start(|_, _| Reply::ok("ok"));
    let plum = client(&[server.port()]);
    (0..5).for_each(|_| assert_eq!(plum.get("s", "/").unwrap().status(), 200));
    assert_eq!(server.connections(), 1);
    for method in ["GET", "POST"] {
        server.cut();
        assert_eq!(plum.call(&Request::new(method, "s", "/")).unwrap().attempts(), 1);
    }
}

#[test]
fn connection_close_prevents_reuse() {
    let server = Server::start(|_, _| Reply::with(200, &[("Connection", "close")], ""));
    let plum = client(&[server.port()]);
    (0..3).for_each(|_| assert_eq!(plum.get("s", "/").unwrap().status(), 200));
    assert_eq!(server.connections(), 3);
}

#[test]
fn closed_keep_alive_connection_repeats_safe_requests_only() {
    // The server answers the first request on each connection, and closes it on the second.
    let per_connection = |seen: &support::Seen, _: usize| match seen.header("x-second") {
        Some("yes") => Reply::Last(Vec::new()),
        _ => Reply::ok(""),
    };
    let server = Server::start(per_connection);
    let plum = client_with(&[server.port()], json!({"retry": {"attempts": 1}}));
    plum.get("s", "/").unwrap();
    let get = plum.call(&Request::get("s", "/").header("X-Second", "yes"));
    assert_eq!(get.unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(server.seen().len(), 3, "the GET went out once more, on a connection of its own");
    plum.get("s", "/").unwrap();
    plum.call(&Request::post("s", "/").header("X-Second", "yes")).unwrap_err();
    assert_eq!(server.seen().len(), 5, "the POST went out once");
}

#[test]
fn five_of_six_refusing_endpoints_fail_no_call() {
    let server = Server::start(|_, _| Reply::ok("ok"));
    let dead: Vec<DeadPort> = (0..5).map(|_| DeadPort::take()).collect();
    let ports: Vec<u16> = dead.iter().map(DeadPort::number).chain([server.port()]).collect();
    for method in ["GET", "POST"] {
        let plum = client(&ports);
        for _ in 0..20 {
            let response = plum.call(&Request::new(method, "s", "/")).unwrap();
            assert_eq!((response.status(), response.attempts()), (200, 1));
        }
    }
}

#[test]
fn post_is_not_repeated_after_a_reset() {
    let servers: Vec<Server> = (0..3).map(|_| Server::start(|_, _| Reply::Reset)).collect();
    let ports: Vec<u16> = servers.iter().map(Server::port).collect();
    let plum = client(&ports);
    let saw = || servers.iter().map(|server| server.seen().len()).sum::<usize>();
    let error = plum.call(&Request::post("s", "/").body("x")).unwrap_err();
    assert_eq!((error.kind(), saw(), error.attempts()), (Kind::Unavailable, 1, 1));
    plum.call(&Request::post("s", "/").body("x").idempotent(true)).unwrap_err();
    assert_eq!(saw(), 1 + 3);
}

#[test]
fn retries_untried_endpoint_at_once_despite_retry_after() {
    let busy = Server::start(|_, _| Reply::with(503, &[("Retry-After", "30")], ""));
    let good = Server::start(|_, _| Reply::ok("good"));
    let plum = client(&[busy.port(), good.port()]);
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(plum.get("s", "/").unwrap().text(), "good");
    }
    assert!(began.elapsed() < Duration::from_secs(1));
    assert!(!busy.seen().is_empty(), "the busy one was asked too");
}

#[test]
fn long_retry_after_ends_the_call() {
    let server = Server::start(|_, _| Reply::with(503, &[("Retry-After", "30")], "later"));
    let response = client(&[server.port()]).get("s", "/").unwrap();
    assert_eq!((response.status(), server.seen().len()), (503, 1));
}

#[test]
fn waits_for_a_short_retry_after() {
    let server = Server::start(|_, number| match number {
        0 => Reply::with(429, &[("Retry-After", "1")], ""),
        _ => Reply::ok(""),
    });
    let response = client(&[server.port()]).get("s", "/").unwrap();
    assert_eq!((response.status(), response.attempts()), (200, 2));
    assert!(response.elapsed() >= Duration::from_secs(1));
}

#[test]
fn retry_budget_bounds_attempts_when_all_fail() {
    let servers: Vec<Server> = (0..3).map(|_| Server::start(|_, _| Reply::status(503))).collect();
    let plum = client(&servers.iter().map(Server::port).collect::<Vec<_>>());
    (0..200).for_each(|_| drop(plum.get("s", "/")));
    let saw: usize = servers.iter().map(|server| server.seen().len()).sum();
    assert!(saw <= 200 * 12 / 10 + 10, "{saw} attempts for 200 calls");
}

#[test]
fn call_ends_at_its_deadline_after_two_attempts() {
    let (hanging, good) = (Server::start(|_, _| Reply::Hang), Server::start(|_, _| Reply::ok("good")));
    let plum = client(&[hanging.port()]);
    let began = Instant::now();
    let error =
        plum.call(&Request::get("s", "/").timeout(Duration::from_millis(300)).attempts(1)).unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let both = client(&[hanging.port(), good.port()]);
    for _ in 0..4 {
        assert_eq!(
            both.call(&Request::get("s", "/").timeout(Duration::from_secs(2))).unwrap().text(),
            "good"
        );
    }
}

#[test]
fn deadline_during_connect_is_a_timeout() {
    // A listener with a full queue: the kernel drops further connection attempts.
    let full = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&full, 0).unwrap();
    let address = full.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(connection) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        queued.push(connection);
    }
    let request = Request::get("s", "/").timeout(Duration::from_millis(200)).attempts(1);
    let error = client(&[address.port()]).call(&request).unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout, "{error}");
}

#[test]
fn killed_endpoint_is_ejected_without_failed_calls() {
    let mut servers: Vec<Server> = (0..3).map(|_| Server::start(|_, _| Reply::ok(""))).collect();
    let plum = client(&servers.iter().map(Server::port).collect::<Vec<_>>());
    (0..60).for_each(|_| assert_eq!(plum.get("s", "/").unwrap().status(), 200));
    let dead = servers.pop().unwrap().address.to_string();
    let of_dead = |what: fn(&plumline::EndpointStats) -> bool| {
        what(&plum.stats().unwrap().services["s"].endpoints[&dead])
    };
    wait_until("it fails once", Duration::from_mins(1), || {
        assert_eq!(plum.get("s", "/").unwrap().status(), 200);
        of_dead(|dead| dead.failures > 0)
    });
    // No further call: the first failure alone starts the reconnects.
    wait_until("it is out", Duration::from_secs(1), || of_dead(|dead| dead.ejected));
}

#[test]
fn returned_endpoint_is_used_again() {
    let mut servers: Vec<Server> = (0..2).map(|_| Server::start(|_, _| Reply::ok(""))).collect();
    let plum = client(&servers.iter().map(Server::port).collect::<Vec<_>>());
    let port = servers.pop().unwrap().port();
    (0..50).for_each(|_| drop(plum.get("s", "/").unwrap()));
    let back = Server::on(&format!("127.0.0.1:{port}"), |_, _| Reply::ok(""));
    wait_until("it is asked again", Duration::from_mins(1), || {
        plum.get("s", "/").unwrap();
        !back.seen().is_empty()
    });
}

#[test]
fn transport_stub_needs_no_server() {
    let plum = Client::builder()
        .registry("static://a:1,b:1")
        .transport(|request: &plumline::Outgoing, endpoint: &plumline::Endpoint| {
            match endpoint.host.as_str() {
                "a" => Err(plumline::Failure::Refused("played".into())),
                _ => Ok(plumline::Answer::new(200, plumline::Headers::default(), request.path.as_str())),
            }
        })
        .build()
        .unwrap();
    for _ in 0..100 {
        let response = plum.get("s", "/x").unwrap();
        assert_eq!((&*response.text(), response.endpoint().host.as_str()), ("/x", "b"));
    }
    let stats = &plum.stats().unwrap().services["s"];
    assert!(stats.endpoints.values().any(|endpoint| endpoint.failures > 0));
}

#[test]
fn connections_follow_changed_host_and_settings() {
    let server = Server::start(|_, _| Reply::ok(""));
    let plum = Client::new("memory://").unwrap();
    let mut endpoint = plumline::Endpoint::new("s", server.address.ip(), server.port());
    for host in ["old.example", "new.example"] {
        endpoint.host = host.into();
        plum.publish("s", vec![endpoint.clone()]).unwrap();
        plum.get("s", "/").unwrap();
        let seen = server.seen().pop().unwrap();
        assert_eq!(seen.header("host"), Some(format!("{host}:{}", server.port()).as_str()));
    }
    let connections = server.connections();
    plum.configure(json!({"connect_timeout": "300ms"})).unwrap();
    plum.get("s", "/").unwrap();
    assert_eq!(server.connections(), connections + 1, "the new timeout holds for a connection of its own");
}

#[test]
fn unknown_names_and_filters_do_not_accumulate() {
    let server = Server::start(|_, _| Reply::ok(""));
    let plum = client(&[server.port()]);
    let handle = plum.service(plumline::Query::new("s").version("")).unwrap();
    for number in 0..1_000 {
        plum.call(&Request::get("s", "/").label("n", number.to_string())).unwrap_err();
        plum.get(format!("s-{number}"), "/").unwrap();
    }
    assert_eq!(handle.get("/").unwrap().status(), 200);
    assert_eq!(plum.get("s", "/").unwrap().status(), 200);
}

#[test]
fn close_ends_calls_in_flight_and_later_ones() {
    let server = Server::start(|_, _| Reply::Hang);
    let plum = client(&[server.port()]);
    let waiting = std::thread::spawn({
        let plum = plum.clone();
        move || plum.get("s", "/").unwrap_err().kind()
    });
    wait_until("the call is on its way", Duration::from_secs(5), || !server.seen().is_empty());
    let began = Instant::now();
    plum.close();
    plum.close();
    assert_eq!(waiting.join().unwrap(), Kind::Closed);
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(plum.get("s", "/").unwrap_err().kind(), Kind::Closed);
    assert_eq!(plum.discover("s").unwrap_err().kind(), Kind::Closed);
    assert_eq!(plum.pick("s").unwrap_err().kind(), Kind::Closed);
}

#[test]
fn hooks_see_and_change_every_attempt() {
    let server = Server::start(|_, number| if number == 0 { Reply::status(503) } else { Reply::ok("") });
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = seen.clone();
    let plum = Client::builder()
        .registry(format!("static://127.0.0.1:{}", server.port()))
        .on_request(|request, _| request.set_header("X-Attempt", &request.attempt.to_string()))
        .on_response(move |_, _, _| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
        .build()
        .unwrap();
    assert_eq!(plum.get("s", "/").unwrap().status(), 200);
    let attempts: Vec<_> =
        server.seen().iter().map(|seen| seen.header("x-attempt").unwrap().to_owned()).collect();
    assert_eq!((attempts, seen.load(Ordering::Relaxed)), (vec!["1".to_owned(), "2".to_owned()], 2));
}

#[test]
fn hook_sets_host_but_cannot_inject_headers() {
    let server = Server::start(|_, _| Reply::ok(""));
    let registry = format!("static://127.0.0.1:{}", server.port());
    let hooked = |hook: fn(&mut plumline::Outgoing) -> Result<()>| {
        let plum = Client::builder().registry(&registry).on_request(move |request, _| hook(request)).build();
        plum.unwrap().get("s", "/")
    };
    hooked(|request| request.set_header("Host", "shop.example")).unwrap();
    let seen = &server.seen()[0];
    let hosts: Vec<&str> =
        seen.head.lines().filter(|line| line.to_lowercase().starts_with("host:")).collect();
    assert_eq!(hosts, ["Host: shop.example"]);
    for smuggle in [
        |request: &mut plumline::Outgoing| {
            request.headers.push(("X".into(), "a\r\nY: b".into()));
            Ok(())
        },
        |request: &mut plumline::Outgoing| {
            request.path.push_str(" HTTP/1.1\r\nY: b");
            Ok(())
        },
    ] {
        assert_eq!(hooked(smuggle).unwrap_err().kind(), Kind::InvalidArgument);
    }
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn many_threads_share_a_client_while_its_list_changes() {
    let servers: Vec<Server> = (0..4).map(|_| Server::start(|_, _| Reply::ok(""))).collect();
    let plum = Client::new("memory://").unwrap();
    let endpoints: Vec<plumline::Endpoint> =
        servers.iter().map(|s| plumline::Endpoint::new("s", s.address.ip(), s.port())).collect();
    plum.publish("s", endpoints.clone()).unwrap();
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..64)
            .map(|_| {
                scope.spawn(|| (0..30).for_each(|_| assert_eq!(plum.get("s", "/").unwrap().status(), 200)))
            })
            .collect();
        let mut turn = 0;
        while callers.iter().any(|caller| !caller.is_finished()) {
            turn += 1;
            let some: Vec<_> = endpoints.iter().cycle().skip(turn % 4).take(2).cloned().collect();
            plum.publish("s", some).unwrap();
        }
    });
}

#[test]
fn errors_name_the_cause() {
    let dead = DeadPort::take();
    let plum = client(&[dead.number()]);
    let error = plum.get("s", "/").unwrap_err();
    assert_eq!((error.kind(), error.service()), (Kind::Unavailable, Some("s")));
    assert!(error.message().contains("could not connect: Connection refused"), "{error}");
    assert!(error.endpoint().is_some() && !error.trace().is_empty());
    let empty = Client::new("").unwrap_err();
    assert!(empty.kind() == Kind::InvalidArgument && empty.message().contains("from_env"), "{empty}");
    let config = json!({"registry": "memory://", "services": {"s": {"tls": {"ca": "/nowhere.pem"}}}});
    let missing = Client::with_config(Config::from_value(config).unwrap()).unwrap_err();
    assert!(
        missing.message().contains("tls.ca /nowhere.pem: ") && missing.message().contains("No such file"),
        "{missing}"
    );
    let misspelt = Client::new("plumb://127.0.0.1:1").unwrap_err();
    assert!(misspelt.message().contains("plum"), "{misspelt}");
}
