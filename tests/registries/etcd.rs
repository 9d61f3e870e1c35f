//! etcd 3.6, built from its Go module, and 3.4, which Debian packages.

use std::marker::PhantomData;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use plumline::{Client, Endpoint, Kind};
use plumline_tests::{ask, client, ports, stays, until};
use rustix::process::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::promises::{TTL, at, promises, registering};
use crate::server::{Record, Running, Server, alone, among_others, free_port, program, run};

const SOON: Duration = Duration::from_secs(5);
const PREFIX: &str = "/laravel-go/services";

mod new {
    use super::*;
    promises!(Etcd<New>, seen within 200 ms);
}

mod old {
    use super::*;
    promises!(Etcd<Old>, seen within 200 ms);
}

/// Where the program of a version is had from.
pub trait Version {
    fn program() -> PathBuf;
    /// What it takes beside the others.
    const FLAGS: &'static [&'static str];
}

pub struct New;
pub struct Old;

impl Version for New {
    /// A crash here is that of the process, not of the machine.
    const FLAGS: &'static [&'static str] = &["--unsafe-no-fsync"];

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

pub struct Etcd<V> {
    running: Running,
    port: u16,
    peer: u16,
    folder: TempDir,
    more: Vec<String>,
    version: PhantomData<V>,
}

impl<V: Version> Etcd<V> {
    fn with(more: &[&str]) -> Etcd<V> {
        let (folder, port, peer) = (tempfile::tempdir().unwrap(), free_port(), free_port());
        let more: Vec<String> = more.iter().map(ToString::to_string).collect();
        let running = Etcd::<V>::launch(&folder, port, peer, &more);
        let server = Etcd { running, port, peer, folder, more, version: PhantomData };
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
    fn gateway(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = ask(self.place(), "POST", path, &body.to_string());
        assert_eq!(status, 200, "{path}: {answer}");
        serde_json::from_str(&answer).unwrap()
    }

    fn put(&self, key: &str, value: &str) {
        self.gateway("/v3/kv/put", &json!({"key": BASE64.encode(key), "value": BASE64.encode(value)}));
    }

    fn delete(&self, key: &str) {
        self.gateway("/v3/kv/deleterange", &json!({"key": BASE64.encode(key)}));
    }

    /// Keys and values below a prefix.
    fn below(&self, prefix: &str) -> Vec<(String, String)> {
        let text = |value: &Value| {
            String::from_utf8(BASE64.decode(value.as_str().unwrap_or_default()).unwrap()).unwrap()
        };
        let range = json!({"key": BASE64.encode(format!("{prefix}/")),
                           "range_end": BASE64.encode(format!("{prefix}0"))});
        let answer = self.gateway("/v3/kv/range", &range);
        let rows = answer["kvs"].as_array().cloned().unwrap_or_default();
        rows.iter().map(|row| (text(&row["key"]), text(&row["value"]))).collect()
    }

    fn revision(&self) -> i64 {
        let answer = self.gateway("/v3/kv/range", &json!({"key": "Lw=="}));
        answer["header"]["revision"].as_str().unwrap().parse().unwrap()
    }

    fn leases(&self) -> usize {
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

    fn address(&self) -> String {
        format!("etcd://127.0.0.1:{}", self.port)
    }

    fn kill(&mut self) {
        self.running.kill();
    }

    fn revive(&mut self) {
        self.running = Etcd::<V>::launch(&self.folder, self.port, self.peer, &self.more);
        self.await_answer();
    }

    fn empty(&self) {
        std::fs::remove_dir_all(self.folder.path().join("data")).unwrap();
    }

    fn pid(&self) -> Pid {
        self.running.pid()
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

#[test]
fn etcdctl_sees_what_is_registered_and_one_lease_holds_two_hundred() {
    let _turn = among_others();
    let server = Etcd::<New>::start();
    let plum = registering(&server.address());
    let all: Vec<_> = (1..=201).map(|port| plum.register(at("orders", port)).unwrap()).collect();
    until("all are registered", SOON, || server.listed("orders").len() == 201);
    let mut command = Command::new(New::program().with_file_name("etcdctl"));
    let endpoint = format!("--endpoints=127.0.0.1:{}", server.port);
    let seen = command.args([&endpoint, "get", "--prefix", "--count-only", "--write-out=fields", PREFIX]);
    let seen = String::from_utf8(seen.output().unwrap().stdout).unwrap();
    assert!(seen.contains("\"Count\" : 201"), "{seen}");
    stays("they are kept by their leases", TTL + Duration::from_secs(1), || {
        server.listed("orders").len() == 201
    });
    // Registered in several rounds, the first lease may be granted before the others are known: two or three.
    assert!((2..=3).contains(&server.leases()), "{}", server.leases());
    drop(all);
    until("no lease is left behind", SOON, || server.leases() == 0);
}

#[test]
fn trap_5_two_thousand_registrations_and_a_server_killed_twenty_times_end_in_the_exact_set() {
    let _turn = alone();
    let mut server = Etcd::<New>::start();
    let plum = registering(&server.address());
    let all: Vec<_> = (1..=2_000).map(|port| plum.register(at("orders", port)).unwrap()).collect();
    for round in 0..20 {
        server.kill();
        if round % 5 == 4 {
            server.empty();
        }
        server.revive();
        // Some have been registered again, as a rule not all.
        until("registering goes on", SOON, || !server.listed("orders").is_empty());
    }
    all[1_234].update(at("orders", 1_235).version("latest")).unwrap();
    let expected: Vec<u16> = (1..=2_000).collect();
    until("everybody is back, once", Duration::from_secs(15), || server.listed("orders") == expected);
    until("with the latest data", SOON, || server.record("orders", 1_235).version == "latest");
}

#[test]
fn trap_9_what_a_compaction_hides_from_a_watch_that_was_cut_off_is_told_all_the_same() {
    let _turn = among_others();
    let server = Etcd::<New>::start();
    let plum = registering(&server.address());
    let all: Vec<_> = (1..=3).map(|port| plum.register(at("orders", port)).unwrap()).collect();
    until("all are registered", SOON, || server.listed("orders").len() == 3);
    let toxiproxy = crate::toxiproxy::Toxiproxy::start();
    let through = toxiproxy.towards(server.port);
    let other = client(&format!("etcd://127.0.0.1:{through}"), json!({}));
    assert_eq!(ports(&other, "orders"), [1, 2, 3]);
    let watch = other.watch("orders").unwrap();
    assert_eq!(watch.next_within(SOON).unwrap().unwrap().endpoints.len(), 3);
    toxiproxy.cut(through);
    until("the loss is noticed", SOON, || !other.stats().unwrap().cache.registries[0].up);
    let mut all = all;
    all.pop().unwrap().close(Duration::ZERO, &plumline::interrupt::Never).unwrap();
    (0..10).for_each(|n| all[0].update(at("orders", 1).version(format!("v{n}"))).unwrap());
    until("the last update is there", SOON, || server.record("orders", 1).version == "v9");
    server
        .gateway("/v3/kv/compaction", &json!({"revision": server.revision().to_string(), "physical": true}));
    assert_eq!(ports(&other, "orders"), [1, 2, 3], "the last list serves on");
    toxiproxy.heal(through);
    // Its absence is believed after twice the TTL, for the registry was away.
    until("the end of the third is told", 2 * TTL + SOON, || ports(&other, "orders") == [1, 2]);
    until("and the update", SOON, || {
        other.discover("orders").unwrap().iter().any(|found| found.version == "v9")
    });
}

#[test]
fn trap_6_a_watch_whose_path_swallows_everything_is_noticed_and_resumed() {
    let _turn = among_others();
    let server = Etcd::<New>::start();
    let plum = registering(&server.address());
    let me = plum.register(at("orders", 1)).unwrap();
    let toxiproxy = crate::toxiproxy::Toxiproxy::start();
    let through = toxiproxy.towards(server.port);
    let other = client(&format!("etcd://127.0.0.1:{through}"), json!({}));
    until("it is seen", SOON, || ports(&other, "orders") == [1]);
    let watch = other.watch("orders").unwrap();
    toxiproxy.swallow(through);
    // A reader keeps alive every 5 s.
    until("the silence is noticed", Duration::from_secs(11), || {
        !other.stats().unwrap().cache.registries[0].up
    });
    me.update(at("orders", 1).version("v2")).unwrap();
    toxiproxy.heal(through);
    until("what happened meanwhile is told", SOON, || {
        watch
            .next_within(SOON)
            .unwrap()
            .is_some_and(|change| change.endpoints.iter().any(|found| found.version == "v2"))
    });
}

fn with_auth(server: &Etcd<New>) {
    let call = |path: &str, body: Value| server.gateway(path, &body);
    for (user, password) in
        [("root", "root-secret"), ("reader", "reader-secret"), ("writer", "writer-secret")]
    {
        call("/v3/auth/user/add", json!({"name": user, "password": password}));
    }
    call("/v3/auth/role/add", json!({"name": "root"}));
    call("/v3/auth/user/grant", json!({"user": "root", "role": "root"}));
    for (user, permission) in [("reader", "READ"), ("writer", "READWRITE")] {
        call("/v3/auth/role/add", json!({"name": user}));
        let range = json!({"permType": permission, "key": BASE64.encode(format!("{PREFIX}/")),
                           "range_end": BASE64.encode(format!("{PREFIX}0"))});
        call("/v3/auth/role/grant", json!({"name": user, "perm": range}));
        call("/v3/auth/user/grant", json!({"user": user, "role": user}));
    }
    call("/v3/auth/enable", json!({}));
}

fn as_user(server: &Etcd<New>, user: &str) -> Client {
    registering(&server.address().replace("://", &format!("://{user}@")))
}

#[test]
fn a_user_is_asked_for_known_and_obeyed_and_a_token_renewed() {
    let _turn = among_others();
    // Tokens live for two seconds without being used.
    let server = Etcd::<New>::with(&["--auth-token-ttl", "2"]);
    with_auth(&server);
    let (_listener, port) = plumline_tests::listener();
    let writer = as_user(&server, "writer:writer-secret");
    let me = writer.register(at("orders", port)).unwrap();
    let reader = as_user(&server, "reader:reader-secret");
    until("it is seen", SOON, || ports(&reader, "orders") == [port]);

    let error = reader.register(at("billing", port)).unwrap_err();
    assert_eq!(error.kind(), Kind::PermissionDenied, "{error}");
    let error = as_user(&server, "writer:wrong-secret").discover("orders").unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthenticated, "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    let error = client(&server.address(), json!({})).discover("orders").unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthenticated, "{error}");
    assert!(error.message().contains("user:password@"), "{error}");

    stays("the token is renewed", Duration::from_secs(5), || ports(&reader, "orders") == [port]);
    me.update(at("orders", port).version("v2")).unwrap();
    until("and the update is told", SOON, || {
        reader.discover("orders").unwrap().iter().any(|found| found.version == "v2")
    });
    reader.clear_cache().unwrap();
    assert_eq!(ports(&reader, "orders"), [port]);
}

#[test]
fn names_of_every_script_come_back_as_they_were() {
    let _turn = among_others();
    let server = Etcd::<New>::start();
    let plum = registering(&server.address());
    let names = ["a/b", "with space", "поиск", "検索/索引", "50%", "..", "a.b:c", "🦀"];
    let all: Vec<_> = names
        .iter()
        .map(|name| plum.register(at(name, 1).instance_id(format!("{name}/1"))).unwrap())
        .collect();
    let other = client(&server.address(), json!({}));
    for name in names {
        until(name, SOON, || ports(&other, name) == [1]);
        assert_eq!(other.discover(name).unwrap()[0].instance_id, format!("{name}/1"));
    }
    let mut expected: Vec<String> = names.iter().map(ToString::to_string).collect();
    expected.sort_unstable();
    assert_eq!(other.services().unwrap(), expected);
    drop(all);
}

#[test]
fn labels_of_more_than_a_megabyte_are_refused_before_they_are_sent() {
    let _turn = among_others();
    let server = Etcd::<New>::start();
    let plum = registering(&server.address());
    let (_listener, port) = plumline_tests::listener();
    let fine = plum.register(at("orders", 1)).unwrap();
    let me = plum.register(at("orders", port).label("long", "x".repeat(1 << 20))).unwrap();
    let error = me.last_error().expect("it is refused");
    assert_eq!(error.kind(), Kind::InvalidArgument, "{error}");
    assert!(error.message().contains("its labels are too long"), "{error}");
    assert_eq!(server.listed("orders"), [1], "the other is not held up by it");
    drop(fine);
}

#[test]
fn whatever_else_answers_at_the_port_is_named() {
    let _turn = among_others();
    let controller = plumline_controller::Controller::start(
        plumline_controller::Config::new().listen("127.0.0.1:0".parse().unwrap()),
    );
    let controller = controller.unwrap();
    let plum = client(&format!("etcd://{}", controller.address()), json!({}));
    let error = plum.discover("orders").unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol, "{error}");
    assert!(error.message().contains("does not speak gRPC"), "{error}");
}

#[test]
fn every_service_is_watched_by_one_watch() {
    let _turn = among_others();
    let server = Etcd::<Old>::start();
    let plum = registering(&server.address());
    let first = plum.register(at("orders", 1)).unwrap();
    let other = client(&server.address(), json!({}));
    let watch = other.watch_all().unwrap();
    let mut told = std::collections::BTreeMap::new();
    let mut until_told = |what: &str, count: usize| {
        until(what, SOON, || {
            if let Some(change) = watch.next_within(Duration::from_millis(50)).unwrap() {
                told.insert(change.service.clone(), change.endpoints.len());
            }
            told.values().sum::<usize>() == count
        });
    };
    until_told("what is there", 1);
    let second = plum.register(at("billing", 2)).unwrap();
    until_told("what comes later", 2);
    first.update(at("orders", 1).healthy(false)).unwrap();
    until("one that is unwell is spared", SOON, || other.discover("orders").unwrap().is_empty());
    drop(second);
}
