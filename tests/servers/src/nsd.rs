//! NSD, an authoritative name server, from Debian's packages: unpacked into the cache, nothing installed.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use plumline_tests::{client, signals, until};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::json;
use tempfile::TempDir;

use crate::{Running, free_port, program, run};

/// NSD, and what of its libraries a bare machine may lack.
const PACKAGES: [&str; 4] = ["nsd", "libprotobuf-c1", "libfstrm0", "libevent-2.1-7"];
/// The longest that it takes to start.
const SOON: Duration = Duration::from_secs(5);

/// A name server that holds the zones `test` and `other`, with every TTL at one second.
pub struct Nsd {
    running: Running,
    /// Where it listens on loopback, for datagrams and connections.
    pub port: u16,
    folder: TempDir,
    serial: u32,
    /// Who answered before the last change: for a moment they do beside those who know of it.
    outdated: Vec<Pid>,
}

impl Nsd {
    /// One that holds these records in `test`, and `d` with `10.0.0.4` in `other`; returns once it answers.
    pub fn start(records: &str) -> Nsd {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let zone = |name| format!("zone:\n  name: {name}\n  zonefile: {name}.zone\n");
        let config = format!(
            "server:\n  ip-address: 127.0.0.1@{port}\n  username: \"\"\n  zonesdir: \"{0}\"\n  database: \"\"\n  \
             pidfile: \"\"\n  xfrdfile: \"\"\n  zonelistfile: \"{0}/zone.list\"\n  xfrdir: \"{0}\"\n  server-count: 1\n  \
             rrl-ratelimit: 0\nremote-control:\n  control-enable: no\n{1}{2}",
            folder.path().display(),
            zone("test"),
            zone("other"),
        );
        std::fs::write(folder.path().join("nsd.conf"), config).unwrap();
        write_zone(folder.path(), "test", 1, records);
        write_zone(folder.path(), "other", 1, "d IN A 10.0.0.4");
        let nsd = Nsd { running: launch(folder.path()), port, folder, serial: 1, outdated: Vec::new() };
        nsd.await_answer("ns.test.");
        nsd
    }

    fn await_answer(&self, name: &str) {
        // A new client each time: none keeps what it heard before.
        let ask = || client(&self.dns(&format!("{name}:1")), json!({})).discover("ns");
        until("the name server answers", SOON, || ask().is_ok_and(|found| !found.is_empty()));
    }

    /// Another content of the zone `test`, told to the running server.
    pub fn change(&mut self, records: &str) {
        self.serial += 1;
        write_zone(self.folder.path(), "test", self.serial, records);
        self.outdated = self.answering();
        kill_process(self.pid(), Signal::HUP).unwrap();
    }

    /// Waits until it answers from the present content of `test`, and from no other.
    pub fn await_change(&self) {
        self.await_answer(&format!("v{}.test.", self.serial));
        let is_running = |pid: &Pid| Path::new("/proc").join(pid.as_raw_nonzero().to_string()).exists();
        until("nobody answers from the content before", SOON, || !self.outdated.iter().any(is_running));
    }

    /// Its processes that answer: the children of the one that it has to load zones.
    fn answering(&self) -> Vec<Pid> {
        children(self.pid()).into_iter().flat_map(children).collect()
    }

    fn pid(&self) -> Pid {
        self.running.pid()
    }

    /// `dns://…/{template}`
    pub fn dns(&self, template: &str) -> String {
        format!("dns://127.0.0.1:{}/{template}", self.port)
    }

    /// `dns+srv://…/{template}`
    pub fn srv(&self, template: &str) -> String {
        format!("dns+srv://127.0.0.1:{}/{template}", self.port)
    }

    /// SIGSTOP: it takes datagrams and never answers.
    pub fn stop(&self) {
        let loading = children(self.pid());
        signals::stop_group(self.pid(), &[vec![self.pid()], loading, self.answering()].concat());
    }

    /// SIGCONT.
    pub fn go_on(&self) {
        signals::let_group_go_on(self.pid());
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        kill_process_group(self.pid(), Signal::KILL).unwrap();
        self.running.kill();
    }

    /// Starts it again, in the same place with what it held.
    pub fn revive(&mut self) {
        self.running = launch(self.folder.path());
        self.await_answer("ns.test.");
    }

    /// Starts it again without what it knew of the zone `test`.
    pub fn revive_without_its_zone(&mut self) {
        std::fs::remove_file(self.folder.path().join("test.zone")).unwrap();
        self.running = launch(self.folder.path());
        self.await_answer("ns.other.");
    }
}

impl Drop for Nsd {
    fn drop(&mut self) {
        // Its children outlive it where the test has not killed it already.
        if matches!(self.running.0.try_wait(), Ok(None)) {
            let _ = kill_process_group(self.pid(), Signal::KILL);
        }
    }
}

fn children(pid: Pid) -> Vec<Pid> {
    let pid = pid.as_raw_nonzero();
    // Who has ended has none.
    let listed = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    listed.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap()).unwrap()).collect()
}

fn write_zone(folder: &Path, zone: &str, serial: u32, records: &str) {
    let text = format!(
        "$ORIGIN {zone}.\n$TTL 1\n@ IN SOA ns me {serial} 60 60 60 1\n@ IN NS ns\nns IN A 127.0.0.1\n\
         v{serial} IN A 127.0.0.1\n{records}\n"
    );
    std::fs::write(folder.join(format!("{zone}.zone")), text).unwrap();
}

/// The program, had if need be.
pub fn nsd() -> PathBuf {
    program("nsd-debian", "usr/sbin/nsd", unpack)
}

fn launch(folder: &Path) -> Running {
    let nsd = nsd();
    let root = nsd.parent().and_then(Path::parent).and_then(Path::parent).unwrap();
    let mut command = Command::new(&nsd);
    command.arg("-d").arg("-c").arg(folder.join("nsd.conf")).env("LD_LIBRARY_PATH", libraries(root));
    command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
    Running(command.spawn().unwrap())
}

fn unpack(folder: &Path) {
    let download = || {
        let mut command = Command::new("apt-get");
        command.current_dir(folder).arg("download").args(PACKAGES);
        command
    };
    // A machine whose lists are old, or that has none, is brought up to date first.
    if !download().output().is_ok_and(|ended| ended.status.success()) {
        run(Command::new("apt-get").arg("update"));
        run(&mut download());
    }
    let files = || std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    for package in files().filter(|path| path.extension().is_some_and(|extension| extension == "deb")) {
        run(Command::new("dpkg").arg("-x").arg(package).arg(folder));
    }
}

/// `usr/lib/x86_64-linux-gnu`, or what it is called on this machine.
fn libraries(root: &Path) -> PathBuf {
    let folders = std::fs::read_dir(root.join("usr/lib")).unwrap().map(|entry| entry.unwrap().path());
    folders.into_iter().find(|path| path.to_string_lossy().ends_with("-gnu")).expect("a folder of libraries")
}
