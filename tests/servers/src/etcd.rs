//! etcd 3.6, built from its Go module, and 3.4, which Debian packages.

use std::marker::PhantomData;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use plumline::Endpoint;
use plumline_tests::{ask, until};
use rustix::process::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{NOT_OURS, Record, Running, Server, data_folder, free_port, program, run, shared_port};

/// Where services lie unless an address says otherwise.
pub const PREFIX: &str = "/laravel-go/services";

/// Where the program of a version is had from.
pub trait Version {
    /// The program, had if need be.
    fn program() -> PathBuf;
    /// What it takes beside the others.
    const FLAGS: &'static [&'static str];
    /// Whether the server that tests share is of this version.
    const IS_SHARED: bool;
}

/// The present one.
pub struct New;
/// The old one.
pub struct Old;

impl Version for New {
    /// A crash here is that of the process, not of the machine.
    const FLAGS: &'static [&'static str] = &["--unsafe-no-fsync"];
    const IS_SHARED: bool = true;

    fn program() -> PathBuf {
        program("etcd-3.6.5", "etcd", |folder| {
            let go = |arguments: &[&str]| run(Command::new("go").current_dir(folder).args(arguments));
            std::fs::write(folder.join("go.mod"), "module servers\n\ngo 1.24\n").unwrap();
            for (name, module) in [("etcdctl", "etcdctl"), ("etcd", "server")] {
                go(&["get", "-tool", &format!("go.etcd.io/etcd/{module}/v3@v3.6.5")]);
                go(&["build", "-o", name, &format!("go.etcd.io/etcd/{module}/v3")]);
            }
        })
    }
}

impl Version for Old {
    const FLAGS: &'static [&'static str] = &[];
    const IS_SHARED: bool = false;

    fn program() -> PathBuf {
        program("etcd-3.4", "usr/bin/etcd", |folder| {
            run(Command::new("apt-get").current_dir(folder).args(["update", "--quiet=2"]));
            run(Command::new("apt-get").current_dir(folder).args(["download", "etcd-server"]));
            run(Command::new("sh")
                .current_dir(folder)
                .args(["-c", "dpkg-deb --extract etcd-server_*.deb ."]));
        })
    }
}

/// A cluster of one member.
pub struct Etcd<V> {
    running: Option<Running>,
    /// Where clients find it.
    pub port: u16,
    peer: u16,
    folder: TempDir,
    more: Vec<String>,
    version: PhantomData<V>,
}

impl<V: Version> Etcd<V> {
    /// One with these flags beside the usual ones.
    pub fn with(more: &[&str]) -> Etcd<V> {
        let (folder, port, peer) = (data_folder(), free_port(), free_port());
        let more: Vec<String> = more.iter().map(ToString::to_string).collect();
        let running = Etcd::<V>::launch(&folder, port, peer, &more);
        let server = Etcd { running: Some(running), port, peer, folder, more, version: PhantomData };
        server.await_answer();
        server
    }

    fn launch(folder: &TempDir, port: u16, peer: u16, more: &[String]) -> Running {
        let (clients, peers) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer}"));
        let mut command = Command::new(V::program());
        command.arg("--data-dir").arg(folder.path().join("data")).args(V::FLAGS);
        command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
        command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
        command.args(["--initial-cluster", &format!("default={peers}"), "--log-level", "fatal"]);
        command.args(more).stdout(Stdio::null()).stderr(Stdio::null());
        Running(command.spawn().unwrap())
    }

    fn await_answer(&self) {
        until("etcd answers", Duration::from_secs(20), || {
            std::net::TcpStream::connect(self.place()).is_ok()
                && ask(self.place(), "POST", "/v3/kv/range", &json!({"key": "Lw=="}).to_string()).0 != 503
        });
    }

    fn place(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// A question to its JSON gateway.
    pub fn gateway(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = ask(self.place(), "POST", path, &body.to_string());
        assert_eq!(status, 200, "{path}: {answer}");
        serde_json::from_str(&answer).unwrap()
    }

    /// Puts a key.
    pub fn put(&self, key: &str, value: &str) {
        self.gateway("/v3/kv/put", &json!({"key": BASE64.encode(key), "value": BASE64.encode(value)}));
    }

    /// Deletes a key.
    pub fn delete(&self, key: &str) {
        self.gateway("/v3/kv/deleterange", &json!({"key": BASE64.encode(key)}));
    }

    /// Keys and values below a prefix.
    pub fn below(&self, prefix: &str) -> Vec<(String, String)> {
        let text = |value: &Value| {
            String::from_utf8(BASE64.decode(value.as_str().unwrap_or_default()).unwrap()).unwrap()
        };
        let range = json!({"key": BASE64.encode(format!("{prefix}/")),
                           "range_end": BASE64.encode(format!("{prefix}0"))});
        let answer = self.gateway("/v3/kv/range", &range);
        let rows = answer["kvs"].as_array().cloned().unwrap_or_default();
        rows.iter().map(|row| (text(&row["key"]), text(&row["value"]))).collect()
    }

    /// Its present revision.
    pub fn revision(&self) -> i64 {
        let answer = self.gateway("/v3/kv/range", &json!({"key": "Lw=="}));
        answer["header"]["revision"].as_str().unwrap().parse().unwrap()
    }

    /// The lease that an instance's record lies under.
    pub fn lease_of(&self, service: &str, port: u16) -> String {
        let key = BASE64.encode(key_of(service, port));
        let answer = self.gateway("/v3/kv/range", &json!({"key": key}));
        answer["kvs"][0]["lease"].as_str().unwrap_or("0").to_owned()
    }

    /// How many leases there are.
    pub fn leases(&self) -> usize {
        let answer = self.gateway("/v3/lease/leases", &json!({}));
        answer["leases"].as_array().map_or(0, Vec::len)
    }
}

fn key_of(service: &str, port: u16) -> String {
    format!("{PREFIX}/{service}/{service}-127.0.0.1-{port}")
}

impl<V: Version> Server for Etcd<V> {
    fn start() -> Etcd<V> {
        Etcd::with(&[])
    }

    fn shared() -> Etcd<V> {
        let port = V::IS_SHARED.then(|| shared_port("etcd")).flatten();
        let Some(port) = port else { return Etcd::start() };
        let (folder, more) = (data_folder(), Vec::new());
        Etcd { running: None, port, peer: 0, folder, more, version: PhantomData }
    }

    fn address(&self) -> String {
        format!("etcd://127.0.0.1:{}", self.port)
    }

    fn kill(&mut self) {
        self.running.as_mut().expect(NOT_OURS).kill();
    }

    fn revive(&mut self) {
        self.running = Some(Etcd::<V>::launch(&self.folder, self.port, self.peer, &self.more));
        self.await_answer();
    }

    fn empty(&self) {
        std::fs::remove_dir_all(self.folder.path().join("data")).unwrap();
    }

    fn pid(&self) -> Pid {
        self.running.as_ref().expect(NOT_OURS).pid()
    }

    fn listed(&self, service: &str) -> Vec<u16> {
        let port = |(_, value): &(String, String)| {
            serde_json::from_str::<Value>(value).unwrap()["port"].as_u64().unwrap() as u16
        };
        let mut ports: Vec<u16> = self.below(&format!("{PREFIX}/{service}")).iter().map(port).collect();
        ports.sort_unstable();
        ports
    }

    fn record(&self, service: &str, port: u16) -> Record {
        let key = key_of(service, port);
        let rows = self.below(&format!("{PREFIX}/{service}"));
        let (_, value) = rows.iter().find(|(known, _)| *known == key).expect("it is listed");
        let record: Value = serde_json::from_str(value).unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let weight = text(&record["metadata"]["weight"]);
        Record {
            host: text(&record["address"]),
            version: text(&record["version"]),
            weight: weight.parse().unwrap_or(1),
            env: text(&record["metadata"]["env"]),
        }
    }

    fn write_by_hand(&self, endpoint: &Endpoint, tags: &[&str]) {
        let mut metadata = json!(endpoint.labels);
        metadata["weight"] = endpoint.weight.to_string().into();
        let zero = "0001-01-01T00:00:00Z";
        let record = json!({"id": endpoint.instance_id, "name": endpoint.service, "version": endpoint.version,
            "address": endpoint.host, "port": endpoint.port, "protocol": endpoint.protocol, "health": "healthy",
            "metadata": metadata, "tags": tags, "created_at": zero, "updated_at": zero, "last_check": zero,
            "ttl": 30_000_000_000_u64});
        self.put(&format!("{PREFIX}/{}/{}", endpoint.service, endpoint.instance_id), &record.to_string());
    }

    fn write_rubbish(&self, service: &str) {
        self.put(&format!("{PREFIX}/{service}/rubbish"), "{no json");
        self.put(&format!("{PREFIX}/{service}/"), "no id");
        self.put(&format!("{PREFIX}/{service}/a/b"), "too deep");
        self.put(PREFIX, "no service");
    }

    fn delete_by_hand(&self, service: &str, port: u16) {
        self.delete(&key_of(service, port));
    }
}
