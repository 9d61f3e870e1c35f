//! `plumline register … -- command`: known while the command runs, and not a moment longer than need be.

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::{Plumline, wait_until};
use support::{Running, Said, free_port, plumline};

/// The service that is kept registered: a controller, for it listens, ends on SIGTERM, and is at hand.
fn server(port: u16) -> [String; 4] {
    [env!("CARGO_BIN_EXE_plumline"), "controller", "--listen", &format!("127.0.0.1:{port}")]
        .map(str::to_owned)
}

fn register(registry: &Plumline, port: u16, options: &[&str], command: &[String]) -> Command {
    let mut register = registry.person(&["register", "web", "--host", "127.0.0.1", "--port"]);
    register.arg(port.to_string()).args(options).arg("--").args(command);
    register
}

fn sh(script: &str) -> [String; 3] {
    ["sh", "-c", script].map(str::to_owned)
}

fn found(registry: &Plumline) -> Vec<Value> {
    registry.connect().discover("web")
}

fn registered(registry: &Plumline, options: &[&str]) -> (Running, u16) {
    let port = free_port();
    let mut running = Running::start(&mut register(registry, port, options, &server(port)));
    assert_eq!(running.error_line(), format!("plumline: registered web at 127.0.0.1:{port}"));
    (running, port)
}

/// The command that a `register` runs.
fn child_of(running: &Running) -> Pid {
    let path = format!("/proc/{0}/task/{0}/children", running.child.id());
    let children = std::fs::read_to_string(path).expect("its children");
    children.trim().parse().ok().and_then(Pid::from_raw).unwrap_or_else(|| panic!("children: {children:?}"))
}

#[test]
fn it_is_known_with_all_that_was_said_of_it() {
    let registry = Plumline::controller(&[]);
    let options = [
        "--version",
        "v2",
        "--label",
        "region=eu",
        "--weight",
        "7",
        "--zone",
        "a",
        "--tag",
        "x",
        "--ttl",
        "9s",
    ];
    let (running, port) = registered(&registry, &options);
    let said = registry.say(&["discover", "web", "--json"]).json();
    let endpoint = &said[0];
    assert_eq!((&endpoint["port"], &endpoint["version"]), (&port.into(), &"v2".into()));
    assert_eq!((&endpoint["weight"], &endpoint["zone"]), (&7.into(), &"a".into()));
    assert_eq!(endpoint["labels"]["region"], "eu");
    assert_eq!(endpoint["instance_id"], format!("web-127.0.0.1-{port}"));
    assert_eq!(registry.say(&["call", "web", "/healthz"]).out, "ok");
    drop(running);
}

#[test]
fn sigterm_and_sigint_reach_the_command_after_it_was_deregistered() {
    for signal in [Signal::TERM, Signal::INT] {
        let registry = Plumline::controller(&[]);
        let (mut running, port) = registered(&registry, &[]);
        assert_eq!(running.line(), format!("plumline controller listening on http://127.0.0.1:{port}"));
        running.signal(signal);
        let said = running.end();
        assert!(found(&registry).is_empty(), "{signal:?}");
        // The command's own code: it ends well when it is asked to.
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{signal:?}: {said:?}");
    }
}

#[test]
fn a_drain_lets_the_command_finish_what_it_is_at() {
    let registry = Plumline::controller(&[]);
    let (mut running, port) = registered(&registry, &["--drain", "2s"]);
    let began = Instant::now();
    running.signal(Signal::TERM);
    wait_until("it is deregistered", || found(&registry).is_empty());
    assert!(!running.has_ended());
    assert_eq!(support::Connection::to(([127, 0, 0, 1], port).into()).get("/healthz").status, 200);
    assert_eq!(running.end().code, Some(0));
    assert!(began.elapsed() >= Duration::from_secs(2));
}

#[test]
fn who_signals_twice_does_not_wait_for_the_drain() {
    let registry = Plumline::controller(&[]);
    let (running, _) = registered(&registry, &["--drain", "1h"]);
    running.signal(Signal::TERM);
    wait_until("it is deregistered", || found(&registry).is_empty());
    running.signal(Signal::TERM);
    assert_eq!(running.end().code, Some(0));
}

#[test]
fn a_killed_command_is_deregistered_at_once() {
    let registry = Plumline::controller(&["--service-ttl", "1h"]);
    let (running, _) = registered(&registry, &[]);
    kill_process(child_of(&running), Signal::KILL).expect("killed");
    assert_eq!(running.end().code, Some(128 + 9));
    assert!(found(&registry).is_empty());
}

#[test]
fn a_command_that_fails_before_it_listens_is_never_registered_and_keeps_its_code() {
    let registry = Plumline::controller(&[]);
    let said = Running::start(&mut register(&registry, free_port(), &[], &sh("echo out; exit 7"))).end();
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (Some(7), "out\n", ""));
    assert_eq!(registry.say(&["services", "--json"]).out, "[]\n");
}

#[test]
fn a_command_that_does_not_exist_is_code_127_as_in_a_shell() {
    let registry = Plumline::controller(&[]);
    let said = Running::start(&mut register(&registry, free_port(), &[], &["no-such-thing".into()])).end();
    assert_eq!(said.code, Some(127));
    assert!(said.err.starts_with("plumline: cannot run no-such-thing: "), "{said:?}");
}

#[test]
fn an_absent_registry_does_not_keep_the_command_from_running() {
    let address = format!("127.0.0.1:{}", free_port());
    let port = free_port();
    let mut command = plumline(&["register", "web", "--host", "127.0.0.1", "--port"]);
    command.arg(port.to_string()).args(["--registry", &format!("plum://{address}"), "--"]).args(server(port));
    let mut running = Running::start(&mut command);
    let line = running.line();
    assert!(line.contains("listening"), "{line:?} {}", running.error_line());
    // And once the registry is there, it is registered.
    let registry = Plumline::controller_on(&address, &[]);
    let began = Instant::now();
    while found(&registry).is_empty() {
        assert!(began.elapsed() < Duration::from_secs(20), "it was never registered");
        std::thread::sleep(Duration::from_millis(10));
    }
    running.signal(Signal::TERM);
    let Said { code, err, .. } = running.end();
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("plumline: registered web at "), "{err}");
    assert!(found(&registry).is_empty());
}

#[test]
fn what_the_registry_cannot_take_is_refused_before_the_command_runs() {
    let registry = Plumline::controller(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let mark = folder.path().join("ran");
    let touch = ["touch".to_owned(), mark.display().to_string()];
    let case = |options: &[&str]| {
        let said =
            Running::start(registry.person(&["register", "web"]).args(options).arg("--").args(&touch)).end();
        assert_eq!(said.code, Some(2), "{options:?}: {said:?}");
        assert_eq!(said.err.lines().count(), 1, "{said:?}");
        said.err
    };
    assert!(case(&[]).contains("--port"));
    assert!(case(&["--port", "0"]).contains("not in 1..=65535"));
    assert!(case(&["--port", "80", "--host", "0.0.0.0"]).contains("0.0.0.0"));
    assert!(case(&["--port", "80", "--label", "x"]).contains("region=eu"));
    assert!(case(&["--port", "80", "--wieght", "3"]).contains("--weight"));
    assert!(!mark.exists());
    let said = registry.say(&["register", "web", "--port", "80", "touch", "x"]);
    assert!(said.code == Some(2) && said.err.contains("-- COMMAND"), "{said:?}");
}
