//! Real servers: had once and kept outside the checkout, started on free ports, ended by their pid.
//!
//! Each registry has one file here, with the same verbs ([`Server`]); who asks it in a test asks it without Plumline.

pub mod certificates;
pub mod consul;
pub mod etcd;
pub mod nacos;
pub mod nsd;
pub mod toxiproxy;
pub mod zookeeper;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use plumline::Endpoint;
use plumline_tests::signals;
use rustix::process::Pid;
use tempfile::TempDir;

/// A registry's server, and a client of it that is not ours.
pub trait Server {
    /// Starts one with empty data; returns once it answers.
    fn start() -> Self
    where
        Self: Sized;
    /// One that other tests use at the same time, for tests that neither stop nor reconfigure it and whose services have
    /// [`unique`] names: the one that [`SHARED`] names, or one of its own where that is not set.
    fn shared() -> Self
    where
        Self: Sized,
    {
        Self::start()
    }
    /// Its address as Plumline writes it.
    fn address(&self) -> String;
    /// `kill -9`.
    fn kill(&mut self);
    /// Starts it again, in the same place with the same data.
    fn revive(&mut self);
    /// Throws its data away; for a server that is not running.
    fn empty(&self);
    /// The process.
    fn pid(&self) -> Pid;
    /// What it lists of a service, asked without Plumline: ports, sorted.
    fn listed(&self, service: &str) -> Vec<u16>;
    /// One of these, asked without Plumline: its host, version, weight and one label.
    fn record(&self, service: &str, port: u16) -> Record;
    /// Writes an instance as services of others do, without Plumline; over what it has written of it before.
    fn write_by_hand(&self, endpoint: &Endpoint, tags: &[&str]);
    /// Writes something that is no instance where the service's instances are.
    fn write_rubbish(&self, service: &str);
    /// Removes an instance that Plumline registered, without Plumline.
    fn delete_by_hand(&self, service: &str, port: u16);

    /// SIGSTOP: it takes connections and never answers.
    fn stop(&self) {
        signals::stop(self.pid());
    }

    /// SIGCONT.
    fn go_on(&self) {
        signals::go_on(self.pid());
    }
}

/// The variable that names the ports of the servers that tests share: `etcd=2379,consul=8500,nacos=8848,zookeeper=2181`.
/// `plumline-servers --serve` starts them and prints its value.
pub const SHARED: &str = "PLUMLINE_TEST_SHARED";

/// The port of the shared server of a system, if there is one.
fn shared_port(system: &str) -> Option<u16> {
    let set = std::env::var(SHARED).ok()?;
    let port = set.split(',').find_map(|one| one.strip_prefix(system)?.strip_prefix('='))?;
    Some(port.parse().unwrap_or_else(|_| panic!("{SHARED} is {set:?}")))
}

/// The name of a service that no other test uses: each test is a process of its own.
pub fn unique(service: &str) -> String {
    format!("{service}-{}", std::process::id())
}

/// A folder for a server's data: in memory where that is possible, as a busy disk makes every write wait.
fn data_folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// What a shared server is not: a process of the test.
const NOT_OURS: &str = "a shared server is neither stopped nor reconfigured";

/// What others see of an instance.
#[derive(Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it listens.
    pub host: String,
    /// Its version.
    pub version: String,
    /// Its weight.
    pub weight: u32,
    /// Its label `env`.
    pub env: String,
}

/// A process that is killed when it is let go.
pub struct Running(pub Child);

impl Running {
    /// Starts a program that stays until its input ends, and hears its first line: what says that it has begun. What it
    /// says later nobody hears, and nothing breaks by it.
    pub fn begun(program: &mut Command) -> (Running, String) {
        let spawned = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = Running(spawned.unwrap_or_else(|error| panic!("{program:?}: {error}")));
        let (mut line, mut said) = (String::new(), BufReader::new(child.0.stdout.take().unwrap()));
        said.read_line(&mut line).unwrap();
        child.0.stdout = Some(said.into_inner());
        (child, line.trim().to_owned())
    }

    /// The process.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The test may have killed it already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that is free at this moment, below those that outgoing connections are given.
pub fn free_port() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes that begin one after the other begin far from each other.
    let start = 20_000 + (std::process::id().wrapping_mul(997) % 10_000) as u16;
    loop {
        let port = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)).max(10_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The folder in which servers are kept from one run to the next.
fn cache() -> PathBuf {
    let named = std::env::var_os("PLUMLINE_TEST_SERVERS").map(PathBuf::from);
    named.unwrap_or_else(|| {
        let home = std::env::var_os("HOME").expect("a home folder");
        Path::new(&home).join(".cache/plumline-servers")
    })
}

/// A program in a folder of the cache; made by `make` in that folder where it is missing.
pub fn program(folder: &str, name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let folder = cache().join(folder);
    std::fs::create_dir_all(&folder).unwrap();
    // Tests run side by side, in several processes: one makes it, the others wait.
    let lock = File::create(folder.join(".lock")).unwrap();
    lock.lock().unwrap();
    let program = folder.join(name);
    if !program.exists() {
        make(&folder);
        assert!(program.exists(), "{} was not made", program.display());
    }
    program
}

/// Runs a command to its good end.
pub fn run(command: &mut Command) {
    let ended = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(ended.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ended.stderr));
}
