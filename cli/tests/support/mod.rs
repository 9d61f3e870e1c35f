//! Helpers of the tests: the `plumline` command as a process, and a service to call with it.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

#[path = "../../../controller/tests/support/mod.rs"]
mod controller;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

pub use controller::{Connection, wait_until};

/// A `plumline controller` process, killed at the end of the test.
pub struct Plumline {
    pub child: Child,
    pub address: SocketAddr,
}

impl Plumline {
    /// Starts `plumline controller` on a free port and waits for its line.
    pub fn controller(arguments: &[&str]) -> Self {
        Self::controller_on("127.0.0.1:0", arguments)
    }

    pub fn controller_on(listen: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plumline"));
        command.args(["controller", "--listen", listen]).args(arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the command started");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("its output")).read_line(&mut line).expect("its line");
        let address = line.trim_end().strip_prefix("plumline controller listening on http://");
        let address = address.and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("unexpected first line: {line:?}"));
        Self { child, address }
    }

    pub fn connect(&self) -> Connection {
        Connection::to(self.address)
    }

    pub fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.pid(), signal).expect("a signal sent");
    }
}

impl Drop for Plumline {
    fn drop(&mut self) {
        // It may have exited already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// `plumline controller --listen 127.0.0.1:0 …`.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plumline"));
    command.args(["controller", "--listen", "127.0.0.1:0"]).args(arguments);
    command
}

/// Lets this process hold ten thousand sockets.
pub fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("a higher limit");
}

/// The output and the exit code of a command.
#[derive(Debug)]
pub struct CommandOutput {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl CommandOutput {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

/// `plumline …` without the `PLUMLINE_` variables of the environment.
pub fn plumline(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plumline"));
    let settings = std::env::vars_os().map(|(name, _)| name).filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with("PLUMLINE_")
    });
    settings.for_each(|name| {
        command.env_remove(name);
    });
    command.args(arguments).stdin(Stdio::null());
    command
}

pub fn run(command: &mut Command) -> CommandOutput {
    let output = command.output().expect("it ran");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("a text");
    CommandOutput { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

impl Plumline {
    /// The registry address of this controller.
    pub fn registry(&self) -> String {
        format!("plum://{}", self.address)
    }

    /// `plumline …` with this controller as the registry.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = plumline(arguments);
        command.env("PLUMLINE_REGISTRY", self.registry());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> CommandOutput {
        run(&mut self.command(arguments))
    }
}

/// A running command whose output is read line by line. It is killed at the end of the test, with the processes that it
/// started.
pub struct Running {
    pub child: Child,
    out: BufReader<std::process::ChildStdout>,
    err: BufReader<std::process::ChildStderr>,
}

impl Running {
    pub fn start(command: &mut Command) -> Running {
        use std::os::unix::process::CommandExt;
        // Its own process group, so that signals reach this process only, and not the test runner.
        let child = command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the command started");
        let out = BufReader::new(child.stdout.take().expect("its output"));
        let err = BufReader::new(child.stderr.take().expect("its errors"));
        Running { child, out, err }
    }

    /// The next line; empty at the end.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    /// The next line on stderr.
    pub fn error_line(&mut self) -> String {
        let mut line = String::new();
        self.err.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    pub fn json_line(&mut self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"))
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("a signal sent");
    }

    /// Whether it has exited.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("its status").is_some()
    }

    /// Waits for the exit, and reads the rest of the output.
    pub fn end(mut self) -> CommandOutput {
        wait_until("the command ended", || self.has_ended());
        let (mut out, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut out).expect("its output");
        self.err.read_to_string(&mut err).expect("its errors");
        let status = self.child.wait().expect("its status");
        CommandOutput { code: status.code(), out, err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have exited already. Its child processes are killed too.
        let group = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
        drop(self.child.wait());
    }
}

/// An HTTP service: `/status/N` responds with status N, every path echoes the request.
pub struct Service {
    pub port: u16,
}

impl Service {
    pub fn start() -> Service {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || serve(connection));
            }
        });
        Service { port }
    }
}

fn serve(connection: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(connection);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let mut body = vec![0; length.and_then(|length| length.parse().ok()).unwrap_or(0)];
        reader.read_exact(&mut body).ok()?;
        let path = head.split(' ').nth(1)?;
        let status = path.strip_prefix("/status/").unwrap_or("200");
        let body = match path {
            "/binary" => vec![0xff, 0x00],
            _ => [head.as_bytes(), &body].concat(),
        };
        let head = format!("HTTP/1.1 {status} X\r\nX-One: 1\r\nContent-Length: {}\r\n\r\n", body.len());
        reader.get_mut().write_all(&[head.as_bytes(), &body].concat()).ok()?;
    }
}

/// A port on which nothing listens.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}
