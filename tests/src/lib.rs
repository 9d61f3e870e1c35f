//! What the tests across processes share: controllers to start, stop and kill, and waits that have a bound.

pub mod documentation;
pub mod original;
mod patience;
pub mod signals;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use plumline::{Client, Config};
use rustix::process::Pid;
use serde_json::{Value, json};

pub use patience::patience;

/// Does something that must not take longer than this, times [`patience()`].
pub fn within<T>(what: &str, at_most: Duration, action: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let result = action();
    let (took, at_most) = (started.elapsed(), at_most * patience());
    assert!(took < at_most, "took {took:?}, more than {at_most:?}: {what}");
    result
}

/// Waits until something is true, at most this long times [`patience()`]; panics with what was waited for.
pub fn until(what: &str, at_most: Duration, mut is_so: impl FnMut() -> bool) -> Duration {
    let (started, at_most) = (Instant::now(), at_most * patience());
    while !is_so() {
        assert!(started.elapsed() < at_most, "not within {at_most:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
    started.elapsed()
}

/// Waits until something is true and has been for this long; before, it may come and go.
pub fn until_lasting(what: &str, how_long: Duration, at_most: Duration, mut is_so: impl FnMut() -> bool) {
    let mut since = None;
    until(what, at_most, || {
        since = if is_so() { since.or(Some(Instant::now())) } else { None };
        since.is_some_and(|since| since.elapsed() >= how_long)
    });
}

/// Checks for a while that something stays true.
pub fn stays(what: &str, how_long: Duration, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while started.elapsed() < how_long {
        assert!(is_so(), "no longer after {:?}: {what}", started.elapsed());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A client of this address with these settings on top, and nothing from the environment. It is a stranger to every
/// other one, as a client in another process is: none has the same settings, so none shares its connections.
pub fn client(address: &str, settings: Value) -> Client {
    static STRANGERS: AtomicU64 = AtomicU64::new(0);
    let mut config = settings;
    if config["connect_timeout"].is_null() {
        let number = STRANGERS.fetch_add(1, Ordering::Relaxed);
        config["connect_timeout"] = json!(1.0 + number as f64 / 1e6);
    }
    sharing(address, config)
}

/// The same, but it shares what others of the same settings have opened.
pub fn sharing(address: &str, settings: Value) -> Client {
    let mut config = settings;
    config["registry"]["addresses"] = json!([address]);
    Client::with_config(Config::from_value(config).unwrap()).unwrap()
}

/// A socket that takes connections, for an instance to stand behind.
pub fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// The sorted ports that a client discovers.
pub fn ports(client: &Client, service: &str) -> Vec<u16> {
    let found = client.discover(service).unwrap_or_default();
    let mut ports: Vec<u16> = found.iter().map(|endpoint| endpoint.port).collect();
    ports.sort_unstable();
    ports
}

/// A controller in a process of its own.
pub struct Process {
    child: Child,
    address: SocketAddr,
    ttl: Duration,
    program: &'static str,
}

impl Process {
    /// Starts one; `program` is `env!("CARGO_BIN_EXE_test-controller")`.
    pub fn start(program: &'static str, ttl: Duration) -> Process {
        Process::start_at(program, ttl, "127.0.0.1:0".parse().unwrap())
    }

    fn start_at(program: &'static str, ttl: Duration, address: SocketAddr) -> Process {
        let mut child = Command::new(program)
            .args([address.to_string(), ttl.as_millis().to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().parse().unwrap_or_else(|_| panic!("the controller said {line:?}"));
        Process { child, address, ttl, program }
    }

    /// `plum://…`
    pub fn plum(&self) -> String {
        format!("plum://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `kill -9`, and starts it again in the same place with an empty store.
    pub fn restart_empty(&mut self) {
        self.kill();
        *self = Process::start_at(self.program, self.ttl, self.address);
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again after [`Process::kill`].
    pub fn revive(&mut self) {
        *self = Process::start_at(self.program, self.ttl, self.address);
    }

    /// SIGSTOP: it takes connections and never answers.
    pub fn stop(&self) {
        signals::stop(self.pid());
    }

    /// SIGCONT.
    pub fn go_on(&self) {
        signals::go_on(self.pid());
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Asks it directly: status and body.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        ask(self.address, method, path, body)
    }

    /// The ports of all endpoints of a service that it would hand out.
    pub fn listed(&self, service: &str) -> Vec<u16> {
        let (_, body) = self.ask("GET", &format!("/v1/discovery?service={service}"), "");
        ports_in(&body)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have been killed by the test already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The sorted ports in a list of endpoints.
pub fn ports_in(body: &str) -> Vec<u16> {
    let rows: Vec<Value> = serde_json::from_str(body).unwrap_or_default();
    let mut ports: Vec<u16> =
        rows.iter().filter_map(|row| u16::try_from(row["port"].as_u64()?).ok()).collect();
    ports.sort_unstable();
    ports
}

/// One HTTP exchange on a connection of its own: status and body.
pub fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    write!(
        stream,
        // The old version, so that nobody answers in chunks.
        "{method} {path} HTTP/1.0\r\nHost: test\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    (status, body)
}
