//! `plumline call`: what arrives, what is printed, and how it ends.

mod support;

use serde_json::json;
use support::Plumline;
use support::{Service, free_port};

/// A controller that knows one service at work, `orders`.
fn controller_with_orders() -> (Plumline, Service) {
    let (plumline, service) = (Plumline::controller(&["--service-ttl", "1h"]), Service::start());
    plumline.connect().register("orders", "o-1", service.port);
    (plumline, service)
}

#[test]
fn the_body_is_what_is_printed() {
    let (plumline, _service) = controller_with_orders();
    let said = plumline.say(&["call", "orders", "/a b?x=1"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
    assert!(said.out.starts_with("GET /a%20b?x=1 HTTP/1.1\r\n"), "{said:?}");
}

#[test]
fn the_method_may_stand_first_or_follow_x_or_from_the_body() {
    let (plumline, _service) = controller_with_orders();
    for (arguments, begins) in [
        (&["call", "delete", "orders", "/"][..], "DELETE / "),
        (&["call", "orders", "/", "-X", "PUT"], "PUT / "),
        (&["call", "orders", "/", "--json", "{}"], "POST / "),
        (&["call", "orders", "/", "-d", "x"], "POST / "),
        (&["call", "PATCH", "orders", "/", "-d", "x"], "PATCH / "),
    ] {
        let said = plumline.say(arguments);
        assert!(said.code == Some(0) && said.out.starts_with(begins), "{arguments:?}: {said:?}");
    }
    let said = plumline.say(&["call", "PUT", "orders", "/", "-X", "PUT"]);
    assert_eq!((said.code, said.err.as_str()), (Some(2), "plumline: the method is given twice\n"));
}

#[test]
fn headers_and_bodies_arrive_as_given() {
    let (plumline, _service) = controller_with_orders();
    let said = plumline.say(&["call", "orders", "/", "--json", r#"{"b":1,  "a":2}"#, "-H", "X-Two: a: b"]);
    assert!(said.out.contains("X-Two: a: b\r\n"), "{said:?}");
    assert!(said.out.to_lowercase().contains("content-type: application/json\r\n"), "{said:?}");
    assert!(said.out.ends_with("\r\n\r\n{\"b\":1,  \"a\":2}"), "{said:?}");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("body"), "from a file").expect("written");
    let from_file = format!("@{}", folder.path().join("body").display());
    let said = plumline.say(&["call", "orders", "/", "--data", &from_file]);
    assert!(said.out.ends_with("\r\n\r\nfrom a file"), "{said:?}");
}

#[test]
fn the_exit_code_is_the_class_of_the_status() {
    let (plumline, service) = controller_with_orders();
    for (status, code) in [(200, 0), (302, 0), (404, 4), (429, 4), (500, 5), (503, 5)] {
        let said = plumline.say(&["call", "orders", &format!("/status/{status}"), "--attempts", "1"]);
        assert_eq!(said.code, Some(code), "{status}: {said:?}");
        let line = format!("plumline: \"orders\" answered {status} from 127.0.0.1:{}\n", service.port);
        assert_eq!(said.err, if code == 0 { "" } else { &line });
        assert!(said.out.starts_with("GET /status/"), "the body is printed all the same: {said:?}");
    }
}

#[test]
fn include_tells_how_the_answer_was_come_by() {
    let (plumline, service) = controller_with_orders();
    let said = plumline.say(&["call", "-i", "orders", "/status/404"]);
    assert_eq!((said.code, said.err.as_str()), (Some(4), ""));
    let first = format!("404 from 127.0.0.1:{} (o-1), 1 attempt, ", service.port);
    assert!(said.out.starts_with(&first) && said.out.contains("\nX-One: 1\n"), "{said:?}");
}

#[test]
fn a_dead_endpoint_is_gone_around_and_told_of() {
    let (plumline, _service) = controller_with_orders();
    let dead = free_port();
    plumline.connect().register("orders", "dead", dead);
    // Which of the two is asked first is drawn; before long it is the dead one.
    support::wait_until("a call went elsewhere", || {
        let said = plumline.say(&["call", "-i", "orders", "/"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        said.out.contains(&format!("\n  127.0.0.1:{dead}: could not connect"))
    });
}

#[test]
fn a_program_gets_one_document() {
    let (plumline, service) = controller_with_orders();
    let said = plumline.say(&["call", "orders", "/status/503", "--attempts", "1", "--as-json"]);
    assert_eq!((said.code, said.err.as_str()), (Some(5), ""));
    let document = said.json();
    assert_eq!((&document["status"], &document["attempts"]), (&json!(503), &json!(1)));
    assert_eq!(document["endpoint"]["port"], service.port);
    assert_eq!(document["trace"][0]["status"], 503);
    assert_eq!(document["headers"][0], json!(["X-One", "1"]));
    assert!(document["body"].as_str().is_some_and(|body| body.starts_with("GET /status/503")));
    let binary = plumline.say(&["call", "orders", "/binary", "--as-json"]).json();
    assert_eq!((&binary["body_base64"], binary.get("body")), (&json!("/wA="), None));
}

#[test]
fn what_cannot_work_is_named_before_anything_is_sent() {
    let (plumline, _service) = controller_with_orders();
    for (arguments, text) in [
        (&["call", "orders"][..], "<PATH>"),
        (&["call", "orders", "items"], "must begin with /"),
        (&["call", "orders", "/", "--json", "{a"], "no JSON"),
        (&["call", "orders", "/", "--json", "1", "--data", "1"], "--data"),
        (&["call", "orders", "/", "-H", "nonsense"], "Accept: text/plain"),
        (&["call", "orders", "/", "-H", "X Y: 1"], "header name"),
        (&["call", "orders", "/", "--timeout", "soon"], "no duration"),
        (&["call", "orders", "/", "--attempts", "0"], "attempts"),
    ] {
        let said = plumline.say(arguments);
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{arguments:?}: {said:?}");
        assert!(said.err.starts_with("plumline: ") && said.err.contains(text), "{said:?}");
        assert_eq!(said.err.lines().count(), 1, "{said:?}");
    }
}

#[test]
fn each_kind_of_failure_has_its_exit_code() {
    let plumline = Plumline::controller(&[]);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent_port = silent.local_addr().expect("its address").port();
    let mut connection = plumline.connect();
    connection.register("silent", "s-1", silent_port);
    connection.register("dead", "d-1", free_port());
    for (service, timeout, code) in [("silent", "300ms", 14), ("dead", "10s", 15), ("nobody", "10s", 13)] {
        let said = plumline.say(&["call", service, "/", "--timeout", timeout]);
        assert_eq!((said.code, said.out.as_str()), (Some(code), ""), "{service}: {said:?}");
        assert_eq!(said.err.lines().count(), 1, "{said:?}");
    }
}
