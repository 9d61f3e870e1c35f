//! The command as a person or a supervisor meets it.

mod support;

use std::io::Read;
use std::process::{ExitStatus, Output};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use support::{Plumline, command, wait_until};

fn ends_within(plumline: &mut Plumline, limit: Duration) -> ExitStatus {
    let begin = Instant::now();
    loop {
        if let Some(status) = plumline.child.try_wait().expect("its status") {
            return status;
        }
        assert!(begin.elapsed() < limit, "it still runs after {limit:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn it_ends_within_two_seconds_of_sigterm_and_sigint_with_polls_open() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut plumline = Plumline::controller(&[]);
        let mut poll = plumline.connect();
        let since = poll.post("/v1/watch", &json!({})).json()["since"].clone();
        poll.send("POST", "/v1/watch", json!({ "since": since, "wait": "60s" }).to_string().as_bytes(), "");
        let mut stream = plumline.connect();
        stream.send("GET", "/v1/stream", b"", "");
        stream.receive_head();
        let mut half = plumline.connect();
        half.write(b"POST /v1/services/register HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
            .expect("sent");
        plumline.signal(signal);
        assert!(ends_within(&mut plumline, Duration::from_secs(2)).success(), "{signal:?}");
        assert_eq!(poll.receive().status, 204);
    }
}

#[test]
fn a_stopped_and_continued_controller_has_lost_nobody() {
    let plumline = Plumline::controller(&["--service-ttl", "1s"]);
    let mut connection = plumline.connect();
    connection.register("orders", "o-1", 1);
    plumline.signal(Signal::STOP);
    // The time that passes is the matter of this test: more than the TTL.
    std::thread::sleep(Duration::from_millis(1_500));
    plumline.signal(Signal::CONT);
    for _ in 0..20 {
        assert_eq!(connection.discover("orders").len(), 1);
    }
    wait_until("silence counts again", || connection.discover("orders").is_empty());
}

#[test]
fn it_says_one_line_and_nothing_else_on_stdout() {
    let mut plumline = Plumline::controller(&["--log", "debug"]);
    plumline.connect().register("orders", "o-1", 1);
    plumline.signal(Signal::TERM);
    ends_within(&mut plumline, Duration::from_secs(2));
    let mut rest = String::new();
    plumline.child.stdout.take().expect("its output").read_to_string(&mut rest).expect("read");
    assert_eq!(rest, "");
}

fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, stdout } = command(arguments).output().expect("it ran");
    assert!(stdout.is_empty());
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

#[test]
fn mistakes_are_named_and_have_their_exit_code() {
    let plumline = Plumline::controller(&[]);
    let taken = plumline.address.to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let nowhere = format!("sqlite:{}", folder.path().join("no/such/plum.db").display());
    let no_database = folder.path().join("text.db");
    std::fs::write(&no_database, "this is no database, and long enough to be read as a header")
        .expect("written");
    let no_database = format!("sqlite:{}", no_database.display());
    let cases: [(&[&str], i32, &str); 9] = [
        (&["--store", "postgres:x"], 2, "use `memory` or `sqlite:PATH`"),
        (&["--service-ttl", "soon"], 2, "is not a valid duration"),
        (&["--service-ttl", "0s"], 2, "service_ttl must be at least 100ms"),
        (&["--tls-cert", "cert.pem"], 2, "--tls-key"),
        (&["--log", "a=b=c"], 2, "--log"),
        (&["--tls-cert", "/no/cert.pem", "--tls-key", "/no/key.pem"], 1, "/no/cert.pem"),
        (&["--store", &nowhere], 1, "cannot open the store"),
        (&["--store", &no_database], 1, "cannot open the store"),
        (&["--token", ""], 2, "token must not be empty"),
    ];
    for (arguments, code, text) in cases {
        let (status, stderr) = refused(arguments);
        assert_eq!(status, Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(text), "{arguments:?}: {stderr}");
    }
    for (listen, code, text) in [(taken.as_str(), 1, "cannot listen on"), ("nonsense", 2, "127.0.0.1:8080")] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_plumline"))
            .args(["controller", "--listen", listen])
            .output()
            .expect("it ran");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{listen}: {stderr}");
        assert!(stderr.contains(text), "{listen}: {stderr}");
    }
}

#[test]
fn the_port_is_free_again_right_after_the_end() {
    let first = Plumline::controller(&[]);
    let address = first.address.to_string();
    drop(first);
    let again = Plumline::controller_on(&address, &[]);
    assert_eq!(again.connect().get("/healthz").status, 200);
}

#[test]
fn ten_thousand_idle_connections_do_not_keep_others_out() {
    let plumline = support::Plumline::controller(&[]);
    support::allow_many_files();
    let idle: Vec<_> =
        (0..10_000).map(|_| std::net::TcpStream::connect(plumline.address).expect("a connection")).collect();
    let mut connection = plumline.connect();
    assert_eq!(connection.get("/healthz").status, 200);
    connection.register("orders", "o-1", 1);
    assert_eq!(connection.discover("orders").len(), 1);
    drop(idle);
}
