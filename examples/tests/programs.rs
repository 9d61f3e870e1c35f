//! Every example runs as its readers will run it: as a program, against a real controller.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use plumline::{Client, Instance};
use plumline_controller::{Config, Controller};

fn controller() -> (Controller, String) {
    let controller = Controller::start(Config::new().listen("127.0.0.1:0".parse().unwrap())).unwrap();
    let address = format!("plum://{}", controller.address());
    (controller, address)
}

/// A running example, ended when dropped.
struct Program {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Program {
    fn start(path: &str, registry: &str) -> Program {
        let mut child = Command::new(path)
            .arg(registry)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .env_remove("PLUMLINE_REGISTRY")
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Program { child, input, output }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Ends its input, and waits for it to end well: what it still had to say.
    fn finish(mut self) -> Vec<String> {
        drop(self.input.take());
        let lines = (&mut self.output).lines().map(Result::unwrap).collect();
        assert!(self.child.wait().unwrap().success(), "{lines:?}");
        lines
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended by itself wherever a test has come to its own end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn one_registers_another_calls_it_and_a_third_sees_it_come_and_go() {
    let (_controller, address) = controller();
    let mut watching = Program::start(env!("CARGO_BIN_EXE_watch"), &address);
    assert_eq!(watching.line().trim_end(), "snapshot: +0 -0");

    let mut serving = Program::start(env!("CARGO_BIN_EXE_register"), &address);
    let registered = serving.line();
    let at = registered.strip_prefix("registered ").unwrap_or_else(|| panic!("{registered}"));
    assert_eq!(watching.line(), format!("changed: +1 -0 {at}"));

    let called = Program::start(env!("CARGO_BIN_EXE_call"), &address).finish();
    assert_eq!(called[0], format!(r#"got {{"id":7,"name":"a plum"}} from {at} in 1 attempt(s)"#));
    assert_eq!(called[1..3], ["posted: 200", "three more: [200, 200, 200]"]);
    assert_eq!(called[3], r#"as expected: nothing registered as "ordrs"; did you mean "orders"?"#);

    assert_eq!(serving.finish(), ["deregistered"]);
    let gone = std::iter::repeat_with(|| watching.line()).find(|line| line.contains("-1"));
    assert_eq!(gone.as_deref().map(str::trim_end), Some("changed: +0 -1"));
}

#[test]
fn a_protocol_of_ones_own_is_spoken_to_a_picked_endpoint() {
    let (_controller, address) = controller();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut name = String::new();
            // The registry's look at the port sends nothing.
            if BufReader::new(&connection).read_line(&mut name).is_ok_and(|length| length > 0) {
                write!(connection, "hello {name}").unwrap();
            }
        }
    });
    let plum = Client::new(&address).unwrap();
    let instance = Instance::new("greeter", port).host("127.0.0.1").protocol("tcp");
    let _registered = plum.register(instance).unwrap();
    let said = Program::start(env!("CARGO_BIN_EXE_pick"), &address).finish();
    assert_eq!(said, ["hello a plum", "hello another plum"]);
}

#[test]
fn settings_are_layered_checked_and_changed() {
    let said = Program::start(env!("CARGO_BIN_EXE_configuration"), "").finish();
    assert_eq!(said[0], "orders 800ms, others 5s");
    assert_eq!(said[1], r#"unknown key "retry.attemps"; did you mean "retry.attempts"?"#);
    assert_eq!(said[2..5], ["fruit", "200", "vegetables"]);
    assert!(said[5].starts_with(r#"2 of 2 endpoints of "orders" usable"#), "{}", said[5]);
}
