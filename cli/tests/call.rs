//! `plumline call`: the request that is sent, the output, and the exit code.

mod support;

use serde_json::json;
use support::Plumline;
use support::{Service, free_port};

/// A controller with one running service, `orders`.
fn controller_with_orders() -> (Plumline, Service) {
    let (plumline, service) = (Plumline::controller(&["--service-ttl", "1h"]), Service::start());
    plumline.connect().register("orders", "o-1", service.port);
    (plumline, service)
}

#[test]
fn prints_the_response_body() {
    let (plumline, _service) = controller_with_orders();
    let output = plumline.run(&["call", "orders", "/a b?x=1"]);
    assert_eq!((output.code, output.err.as_str()), (Some(0), ""), "{output:?}");
    assert!(output.out.starts_with("GET /a%20b?x=1 HTTP/1.1\r\n"), "{output:?}");
}

#[test]
fn takes_method_from_argument_option_or_body() {
    let (plumline, _service) = controller_with_orders();
    for (arguments, begins) in [
        (&["call", "delete", "orders", "/"][..], "DELETE / "),
        (&["call", "orders", "/", "-X", "PUT"], "PUT / "),
        (&["call", "orders", "/", "--json", "{}"], "POST / "),
        (&["call", "orders", "/", "-d", "x"], "POST / "),
        (&["call", "PATCH", "orders", "/", "-d", "x"], "PATCH / "),
    ] {
        let output = plumline.run(arguments);
        assert!(output.code == Some(0) && output.out.starts_with(begins), "{arguments:?}: {output:?}");
    }
    let output = plumline.run(&["call", "PUT", "orders", "/", "-X", "PUT"]);
    assert_eq!(
        (output.code, output.err.as_str()),
        (Some(2), "plumline: the method is given twice: before the service and with --method\n")
    );
}

#[test]
fn sends_headers_and_bodies_unchanged() {
    let (plumline, _service) = controller_with_orders();
    let output = plumline.run(&["call", "orders", "/", "--json", r#"{"b":1,  "a":2}"#, "-H", "X-Two: a: b"]);
    assert!(output.out.contains("X-Two: a: b\r\n"), "{output:?}");
    assert!(output.out.to_lowercase().contains("content-type: application/json\r\n"), "{output:?}");
    assert!(output.out.ends_with("\r\n\r\n{\"b\":1,  \"a\":2}"), "{output:?}");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("body"), "from a file").expect("written");
    let from_file = format!("@{}", folder.path().join("body").display());
    let output = plumline.run(&["call", "orders", "/", "--data", &from_file]);
    assert!(output.out.ends_with("\r\n\r\nfrom a file"), "{output:?}");
}

#[test]
fn exit_code_reflects_the_status_class() {
    let (plumline, service) = controller_with_orders();
    for (status, code) in [(200, 0), (302, 0), (404, 4), (429, 4), (500, 5), (503, 5)] {
        let output = plumline.run(&["call", "orders", &format!("/status/{status}"), "--attempts", "1"]);
        assert_eq!(output.code, Some(code), "{status}: {output:?}");
        let line = format!("plumline: \"orders\" answered {status} from 127.0.0.1:{}\n", service.port);
        assert_eq!(output.err, if code == 0 { "" } else { &line });
        assert!(output.out.starts_with("GET /status/"), "the body is printed as well: {output:?}");
    }
}

#[test]
fn include_prints_endpoint_attempts_and_headers() {
    let (plumline, service) = controller_with_orders();
    let output = plumline.run(&["call", "-i", "orders", "/status/404"]);
    assert_eq!((output.code, output.err.as_str()), (Some(4), ""));
    let first = format!("404 from 127.0.0.1:{} (o-1), 1 attempt, ", service.port);
    assert!(output.out.starts_with(&first) && output.out.contains("\nX-One: 1\n"), "{output:?}");
}

#[test]
fn shows_the_dead_endpoint_that_was_skipped() {
    let (plumline, _service) = controller_with_orders();
    let dead = free_port();
    plumline.connect().register("orders", "dead", dead);
    // The first endpoint is random; after a few calls it is the dead one.
    support::wait_until("a call skipped the dead endpoint", || {
        let output = plumline.run(&["call", "-i", "orders", "/"]);
        assert_eq!(output.code, Some(0), "{output:?}");
        output.out.contains(&format!("\n  127.0.0.1:{dead}: could not connect"))
    });
}

#[test]
fn as_json_prints_one_document() {
    let (plumline, service) = controller_with_orders();
    let output = plumline.run(&["call", "orders", "/status/503", "--attempts", "1", "--as-json"]);
    assert_eq!((output.code, output.err.as_str()), (Some(5), ""));
    let document = output.json();
    assert_eq!((&document["status"], &document["attempts"]), (&json!(503), &json!(1)));
    assert_eq!(document["endpoint"]["port"], service.port);
    assert_eq!(document["trace"][0]["status"], 503);
    assert_eq!(document["headers"][0], json!(["X-One", "1"]));
    assert!(document["body"].as_str().is_some_and(|body| body.starts_with("GET /status/503")));
    let binary = plumline.run(&["call", "orders", "/binary", "--as-json"]).json();
    assert_eq!((&binary["body_base64"], binary.get("body")), (&json!("/wA="), None));
}

#[test]
fn rejects_invalid_arguments_before_sending() {
    let (plumline, _service) = controller_with_orders();
    for (arguments, text) in [
        (&["call", "orders"][..], "<PATH>"),
        (&["call", "orders", "items"], "must begin with /"),
        (&["call", "orders", "/", "--json", "{a"], "not valid JSON"),
        (&["call", "orders", "/", "--json", "1", "--data", "1"], "--data"),
        (&["call", "orders", "/", "-H", "nonsense"], "Accept: text/plain"),
        (&["call", "orders", "/", "-H", "X Y: 1"], "header name"),
        (&["call", "orders", "/", "--timeout", "soon"], "not a valid duration"),
        (&["call", "orders", "/", "--attempts", "0"], "attempts"),
    ] {
        let output = plumline.run(arguments);
        assert_eq!((output.code, output.out.as_str()), (Some(2), ""), "{arguments:?}: {output:?}");
        assert!(output.err.starts_with("plumline: ") && output.err.contains(text), "{output:?}");
        assert_eq!(output.err.lines().count(), 1, "{output:?}");
    }
}

#[test]
fn each_error_kind_has_its_exit_code() {
    let plumline = Plumline::controller(&[]);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent_port = silent.local_addr().expect("its address").port();
    let mut connection = plumline.connect();
    connection.register("silent", "s-1", silent_port);
    connection.register("dead", "d-1", free_port());
    for (service, timeout, code) in [("silent", "300ms", 14), ("dead", "10s", 15), ("nobody", "10s", 13)] {
        let output = plumline.run(&["call", service, "/", "--timeout", timeout]);
        assert_eq!((output.code, output.out.as_str()), (Some(code), ""), "{service}: {output:?}");
        assert_eq!(output.err.lines().count(), 1, "{output:?}");
    }
}
