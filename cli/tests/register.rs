//! `plumline register … -- command`: registered exactly while the command runs.

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::{CommandOutput, Running, free_port, plumline};
use support::{Plumline, wait_until};

/// The command to register: another controller, because it listens on a port and exits on SIGTERM.
fn server(port: u16) -> [String; 4] {
    [env!("CARGO_BIN_EXE_plumline"), "controller", "--listen", &format!("127.0.0.1:{port}")]
        .map(str::to_owned)
}

fn register(registry: &Plumline, port: u16, options: &[&str], command: &[String]) -> Command {
    let mut register = registry.command(&["register", "web", "--host", "127.0.0.1", "--port"]);
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

/// The process id of the command that `register` runs.
fn child_of(running: &Running) -> Pid {
    let path = format!("/proc/{0}/task/{0}/children", running.child.id());
    let children = std::fs::read_to_string(path).expect("its children");
    children.trim().parse().ok().and_then(Pid::from_raw).unwrap_or_else(|| panic!("children: {children:?}"))
}

#[test]
fn registers_with_every_option() {
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
    let output = registry.run(&["discover", "web", "--json"]).json();
    let endpoint = &output[0];
    assert_eq!((&endpoint["port"], &endpoint["version"]), (&port.into(), &"v2".into()));
    assert_eq!((&endpoint["weight"], &endpoint["zone"]), (&7.into(), &"a".into()));
    assert_eq!(endpoint["labels"]["region"], "eu");
    assert_eq!(endpoint["instance_id"], format!("web-127.0.0.1-{port}"));
    assert_eq!(registry.run(&["call", "web", "/healthz"]).out, "ok");
    drop(running);
}

#[test]
fn forwards_signals_after_deregistering() {
    for signal in [Signal::TERM, Signal::INT] {
        let registry = Plumline::controller(&[]);
        let (mut running, port) = registered(&registry, &[]);
        assert_eq!(running.line(), format!("plumline controller listening on http://127.0.0.1:{port}"));
        running.signal(signal);
        let output = running.end();
        assert!(found(&registry).is_empty(), "{signal:?}");
        // The exit code of the command, which is 0 on a signal.
        assert_eq!((output.code, output.err.as_str()), (Some(0), ""), "{signal:?}: {output:?}");
    }
}

#[test]
fn command_keeps_running_during_the_drain() {
    let registry = Plumline::controller(&[]);
    let (mut running, port) = registered(&registry, &["--drain", "2s"]);
    let started_at = Instant::now();
    running.signal(Signal::TERM);
    wait_until("it is deregistered", || found(&registry).is_empty());
    assert!(!running.has_ended());
    assert_eq!(support::Connection::to(([127, 0, 0, 1], port).into()).get("/healthz").status, 200);
    assert_eq!(running.end().code, Some(0));
    assert!(started_at.elapsed() >= Duration::from_secs(2));
}

#[test]
fn second_signal_ends_the_drain() {
    let registry = Plumline::controller(&[]);
    let (running, _) = registered(&registry, &["--drain", "1h"]);
    running.signal(Signal::TERM);
    wait_until("it is deregistered", || found(&registry).is_empty());
    running.signal(Signal::TERM);
    assert_eq!(running.end().code, Some(0));
}

#[test]
fn deregisters_when_the_command_is_killed() {
    let registry = Plumline::controller(&["--service-ttl", "1h"]);
    let (running, _) = registered(&registry, &[]);
    kill_process(child_of(&running), Signal::KILL).expect("killed");
    assert_eq!(running.end().code, Some(128 + 9));
    assert!(found(&registry).is_empty());
}

#[test]
fn command_that_fails_before_listening_is_not_registered() {
    let registry = Plumline::controller(&[]);
    let output = Running::start(&mut register(&registry, free_port(), &[], &sh("echo out; exit 7"))).end();
    assert_eq!((output.code, output.out.as_str(), output.err.as_str()), (Some(7), "out\n", ""));
    assert_eq!(registry.run(&["services", "--json"]).out, "[]\n");
}

#[test]
fn missing_command_exits_127() {
    let registry = Plumline::controller(&[]);
    let output = Running::start(&mut register(&registry, free_port(), &[], &["no-such-thing".into()])).end();
    assert_eq!(output.code, Some(127));
    assert!(output.err.starts_with("plumline: cannot run no-such-thing: "), "{output:?}");
}

#[test]
fn runs_the_command_while_the_registry_is_down() {
    let address = format!("127.0.0.1:{}", free_port());
    let port = free_port();
    let mut command = plumline(&["register", "web", "--host", "127.0.0.1", "--port"]);
    command.arg(port.to_string()).args(["--registry", &format!("plum://{address}"), "--"]).args(server(port));
    let mut running = Running::start(&mut command);
    let line = running.line();
    assert!(line.contains("listening"), "{line:?} {}", running.error_line());
    // Registered once the registry is up.
    let registry = Plumline::controller_on(&address, &[]);
    while found(&registry).is_empty() {
        std::thread::sleep(Duration::from_millis(10));
    }
    running.signal(Signal::TERM);
    let CommandOutput { code, err, .. } = running.end();
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("plumline: registered web at "), "{err}");
    assert!(found(&registry).is_empty());
}

#[test]
fn rejects_invalid_options_before_running_the_command() {
    let registry = Plumline::controller(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let mark = folder.path().join("ran");
    let touch = ["touch".to_owned(), mark.display().to_string()];
    let case = |options: &[&str]| {
        let output =
            Running::start(registry.command(&["register", "web"]).args(options).arg("--").args(&touch)).end();
        assert_eq!(output.code, Some(2), "{options:?}: {output:?}");
        assert_eq!(output.err.lines().count(), 1, "{output:?}");
        output.err
    };
    assert!(case(&[]).contains("--port"));
    assert!(case(&["--port", "0"]).contains("not in 1..=65535"));
    assert!(case(&["--port", "80", "--host", "0.0.0.0"]).contains("0.0.0.0"));
    assert!(case(&["--port", "80", "--label", "x"]).contains("region=eu"));
    assert!(case(&["--port", "80", "--wieght", "3"]).contains("--weight"));
    assert!(!mark.exists());
    let output = registry.run(&["register", "web", "--port", "80", "touch", "x"]);
    assert!(output.code == Some(2) && output.err.contains("-- COMMAND"), "{output:?}");
}
