//! `plumline controller` as a process: signals, output, exit codes, many connections.

mod support;

use std::io::Read;
use std::process::{ExitStatus, Output};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use support::{Plumline, command, wait_until};

/// The promise is 2 s; a busy machine may need longer.
const SHUTDOWN_BOUND: Duration = Duration::from_secs(20);

fn exit_status(plumline: &mut Plumline) -> ExitStatus {
    plumline.child.wait().expect("its status")
}

#[test]
fn sigterm_and_sigint_end_it_despite_open_connections() {
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
        let signalled_at = Instant::now();
        plumline.signal(signal);
        assert!(exit_status(&mut plumline).success(), "{signal:?}");
        // Far less than the 60 s that the watch would wait.
        assert!(signalled_at.elapsed() < SHUTDOWN_BOUND, "{signal:?}");
        assert_eq!(poll.receive().status, 204);
    }
}

#[test]
fn stopped_and_continued_controller_expires_no_endpoint() {
    let plumline = Plumline::controller(&["--service-ttl", "1s"]);
    let mut connection = plumline.connect();
    connection.register("orders", "o-1", 1);
    plumline.signal(Signal::STOP);
    // Longer than the TTL.
    std::thread::sleep(Duration::from_millis(1_500));
    plumline.signal(Signal::CONT);
    for _ in 0..20 {
        assert_eq!(connection.discover("orders").len(), 1);
    }
    wait_until("the endpoint expired", || connection.discover("orders").is_empty());
}

#[test]
fn prints_one_line_on_stdout_and_nothing_else() {
    let mut plumline = Plumline::controller(&["--log", "debug"]);
    plumline.connect().register("orders", "o-1", 1);
    plumline.signal(Signal::TERM);
    exit_status(&mut plumline);
    let mut rest = String::new();
    plumline.child.stdout.take().expect("its output").read_to_string(&mut rest).expect("read");
    assert_eq!(rest, "");
}

fn rejected(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, stdout } = command(arguments).output().expect("it ran");
    assert!(stdout.is_empty());
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

#[test]
fn rejects_invalid_arguments_with_reason_and_exit_code() {
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
        let (status, stderr) = rejected(arguments);
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
fn port_is_free_after_exit() {
    let first = Plumline::controller(&[]);
    let address = first.address.to_string();
    drop(first);
    let again = Plumline::controller_on(&address, &[]);
    assert_eq!(again.connect().get("/healthz").status, 200);
}

#[test]
fn serves_requests_despite_10000_idle_connections() {
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
