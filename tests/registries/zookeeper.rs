//! ZooKeeper 3.9 from Maven, and kazoo as the client that is not ours.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use plumline::interrupt::Never;
use plumline::registration::State;
use plumline::{Client, Endpoint, Kind};
use plumline_tests::{client, listener, ports, stays, until};
use rustix::process::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::gate::Gate;
use crate::promises::{ONE_BEAT, TTL, at, promises, registering};
use crate::server::{Record, Running, Server, among_others, free_port, program, run};

const VERSION: &str = "3.9.3";
/// The oldest that is promised: without a list of a session's nodes.
const OLD: &str = "3.4.14";
const KAZOO: &str = "2.11.0";
const PREFIX: &str = "/laravel-go/services";
const SOON: Duration = Duration::from_secs(5);
/// An ensemble elects its leader, and JVMs start, while other tests keep both cores busy.
const STARTED: Duration = Duration::from_secs(60);

promises!(ZooKeeper, seen within 200 ms);

pub struct ZooKeeper {
    running: Running,
    version: &'static str,
    port: u16,
    folder: TempDir,
    kazoo: Kazoo,
}

/// The servers' JARs and what they need, by Maven.
fn pom(version: &str) -> String {
    let dependency = |group: &str, artifact: &str, version: &str| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>"
        )
    };
    let more = [
        ("org.xerial.snappy", "snappy-java", "1.1.10.5"),
        ("io.dropwizard.metrics", "metrics-core", "4.1.12.1"),
    ];
    let more: String =
        more.iter().map(|(group, artifact, version)| dependency(group, artifact, version)).collect();
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>servers</groupId><artifactId>zookeeper</artifactId><version>1</version>\
         <dependencies>{}{more}</dependencies></project>",
        dependency("org.apache.zookeeper", "zookeeper", version)
    )
}

impl ZooKeeper {
    /// One of an ensemble, or alone where `members` is empty.
    fn configured(version: &'static str, members: &str, id: u8) -> ZooKeeper {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let data = folder.path().join("data");
        let config = format!(
            "tickTime=500\ninitLimit=20\nsyncLimit=10\ndataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\n\
             admin.enableServer=false\n4lw.commands.whitelist=srvr\nmaxClientCnxns=0\n{members}",
            data.display()
        );
        std::fs::write(folder.path().join("zoo.cfg"), config).unwrap();
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("myid"), id.to_string()).unwrap();
        ZooKeeper { running: launch(version, folder.path()), version, port, folder, kazoo: Kazoo::of(port) }
    }

    fn await_mode(&self) -> String {
        let mut mode = String::new();
        until("ZooKeeper serves", STARTED, || {
            mode = mode_of(self.port);
            !mode.is_empty()
        });
        mode
    }

    fn under(&self, service: &str) -> Vec<Value> {
        let found = self.kazoo.ask(&json!({"do": "under", "path": format!("{PREFIX}/{service}")}));
        let records = found.as_object().unwrap().values();
        records.filter_map(|record| serde_json::from_str(record.as_str().unwrap()).ok()).collect()
    }

    /// Whose node it is, if it is there.
    fn owner(&self, path: &str) -> Option<i64> {
        self.kazoo.ask(&json!({"do": "stat", "path": path}))["owner"].as_i64()
    }

    fn expire(&self, session: i64) {
        assert_eq!(self.kazoo.ask(&json!({"do": "expire", "session": session})), Value::Null);
    }
}

fn launch(version: &str, folder: &Path) -> Running {
    let jar = program(&format!("zookeeper-{version}"), &format!("lib/zookeeper-{version}.jar"), |folder| {
        std::fs::write(folder.join("pom.xml"), pom(version)).unwrap();
        run(Command::new("mvn").current_dir(folder).args([
            "--quiet",
            "--batch-mode",
            "dependency:copy-dependencies",
            "-DoutputDirectory=lib",
        ]));
    });
    let mut java = Command::new("java");
    java.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
        .arg(jar.with_file_name("*"))
        .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
        .arg(folder.join("zoo.cfg"));
    Running(java.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

/// `standalone`, `leader`, `follower`; empty while it does not serve.
fn mode_of(port: u16) -> String {
    let mut said = String::new();
    if let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)) {
        server.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        // One that is only just starting may hang up on us.
        let _ = server.write_all(b"srvr").and_then(|()| server.read_to_string(&mut said));
    }
    said.lines().find_map(|line| line.strip_prefix("Mode: ")).unwrap_or_default().to_owned()
}

impl Server for ZooKeeper {
    fn start() -> ZooKeeper {
        let server = ZooKeeper::configured(VERSION, "", 1);
        server.await_mode();
        server
    }

    fn address(&self) -> String {
        format!("zookeeper://127.0.0.1:{}?session_timeout=3s", self.port)
    }

    fn kill(&mut self) {
        self.running.kill();
    }

    fn revive(&mut self) {
        self.running = launch(self.version, self.folder.path());
        self.await_mode();
    }

    fn empty(&self) {
        std::fs::remove_dir_all(self.folder.path().join("data")).unwrap();
    }

    fn pid(&self) -> Pid {
        self.running.pid()
    }

    fn listed(&self, service: &str) -> Vec<u16> {
        let port = |record: &Value| record["port"].as_u64().and_then(|port| port.try_into().ok());
        let mut ports: Vec<u16> = self.under(service).iter().filter_map(port).collect();
        ports.sort_unstable();
        ports
    }

    fn record(&self, service: &str, port: u16) -> Record {
        let records = self.under(service);
        let record = records.iter().find(|record| record["port"] == port).expect("it is listed");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Record {
            host: text(&record["address"]),
            version: text(&record["version"]),
            weight: text(&record["metadata"]["weight"]).parse().unwrap_or(1),
            env: text(&record["metadata"]["env"]),
        }
    }

    fn write_by_hand(&self, endpoint: &Endpoint, tags: &[&str]) {
        let mut metadata = json!(endpoint.labels);
        metadata["weight"] = endpoint.weight.to_string().into();
        let zero = "0001-01-01T00:00:00Z";
        let record = json!({
            "id": endpoint.instance_id, "name": endpoint.service, "version": endpoint.version,
            "address": endpoint.host, "port": endpoint.port, "protocol": endpoint.protocol,
            "health": "healthy", "metadata": metadata, "tags": tags,
            "created_at": zero, "updated_at": zero, "last_check": zero, "ttl": 30_000_000_000_u64,
        });
        let path = format!("{PREFIX}/{}/{}", endpoint.service, endpoint.instance_id);
        let put = json!({"do": "put", "path": path, "data": record.to_string(), "ephemeral": true});
        assert_eq!(self.kazoo.ask(&put), Value::Null);
    }

    fn write_rubbish(&self, service: &str) {
        for (id, data) in
            [("other-1", "{no json"), ("other-2", ""), ("other-3", r#"{"address":"h","port":0}"#)]
        {
            let put = json!({"do": "put", "path": format!("{PREFIX}/{service}/{id}"), "data": data});
            assert_eq!(self.kazoo.ask(&put), Value::Null);
        }
    }

    fn delete_by_hand(&self, service: &str, port: u16) {
        let path = node(service, port);
        assert_eq!(self.kazoo.ask(&json!({"do": "delete", "path": path})), Value::Null);
    }
}

fn node(service: &str, port: u16) -> String {
    format!("{PREFIX}/{service}/{service}-127.0.0.1-{port}")
}

/// kazoo, in a process that answers questions.
struct Kazoo {
    port: u16,
    talk: Mutex<Option<Talk>>,
}

struct Talk {
    _running: Running,
    says: ChildStdin,
    hears: BufReader<ChildStdout>,
}

impl Kazoo {
    fn of(port: u16) -> Kazoo {
        Kazoo { port, talk: Mutex::new(None) }
    }

    fn ask(&self, question: &Value) -> Value {
        let mut talk = self.talk.lock().unwrap();
        let talk = talk.get_or_insert_with(|| Talk::begin(self.port));
        writeln!(talk.says, "{question}").unwrap();
        let mut answer = String::new();
        talk.hears.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{question}: {answer:?}"))
    }
}

impl Talk {
    fn begin(port: u16) -> Talk {
        let ready = program(&format!("kazoo-{KAZOO}"), "ready", |folder| {
            run(Command::new("python3").args(["-m", "venv"]).arg(folder.join("venv")));
            let mut pip = Command::new(folder.join("venv/bin/pip"));
            run(pip.args(["install", "--quiet", &format!("kazoo=={KAZOO}")]));
            std::fs::write(folder.join("ready"), "").unwrap();
        });
        let mut python = Command::new(ready.with_file_name("venv").join("bin/python"));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("registries/zookeeper.py");
        python.arg(script).arg(format!("127.0.0.1:{port}")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child: Child = python.spawn().unwrap();
        let (says, hears) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Talk { _running: Running(child), says, hears }
    }
}

/// Waits until the client's registry is settled: until its word on who is missing counts.
fn settled(plum: &Client) {
    let is_settled = || plum.stats().unwrap().cache.registries[0].settled;
    until("its word on who is missing counts", Duration::from_secs(20), is_settled);
}

#[test]
fn a_session_that_the_server_ended_is_made_anew_with_everything_in_it() {
    let _turn = among_others();
    let server = ZooKeeper::start();
    let plum = registering(&server.address());
    let all: Vec<_> = (1..=50).map(|port| plum.register(at("orders", port)).unwrap()).collect();
    all[6].update(at("orders", 7).version("v2")).unwrap();
    until("all are registered", SOON, || {
        server.listed("orders").len() == 50 && server.record("orders", 7).version == "v2"
    });
    let other = client(&server.address(), json!({}));
    until("all are seen", SOON, || ports(&other, "orders").len() == 50);
    let before = server.owner(&node("orders", 7)).unwrap();
    server.expire(before);
    until("all are back", SOON, || {
        server.listed("orders").len() == 50 && server.record("orders", 7).version == "v2"
    });
    let after = server.owner(&node("orders", 7)).unwrap();
    assert_ne!(before, after, "they are another session's");
    until("others see them", SOON, || ports(&other, "orders").len() == 50);
    assert!(all.iter().all(|one| one.state() == State::Registered));
}

#[test]
fn trap_10_the_old_sessions_node_removed_late_does_not_remove_the_new_one() {
    let _turn = among_others();
    let server = ZooKeeper::start();
    // A process that is killed leaves its node until its session is over ...
    let arguments = [server.address(), "orders".into(), "1".into(), "3s".into()];
    let registrar = Command::new(env!("CARGO_BIN_EXE_test-registrar"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut registrar = Running(registrar);
    let mut said = String::new();
    BufReader::new(registrar.0.stdout.take().unwrap()).read_line(&mut said).unwrap();
    let path = node("orders", 1);
    let old = server.owner(&path).expect("the old node is there");
    registrar.kill();
    // ... and its successor comes sooner than that.
    let plum = registering(&server.address());
    let me = plum.register(at("orders", 1).version("v2")).unwrap();
    me.wait(SOON, &Never).unwrap();
    let new = server.owner(&path).expect("the new node is there");
    assert_ne!(old, new, "the old session's node is not taken for one's own");
    server.expire(old);
    stays("the new node is there, and the same", TTL + Duration::from_secs(1), || {
        server.owner(&path) == Some(new)
    });
    assert_eq!(server.record("orders", 1).version, "v2");
    me.close(Duration::ZERO, &Never).unwrap();
    assert_eq!(server.owner(&path), None);
}

#[test]
fn a_forked_child_has_a_session_of_its_own_and_leaves_its_parents_alone() {
    let _turn = among_others();
    let server = ZooKeeper::start();
    let child = Command::new(env!("CARGO_BIN_EXE_test-forker"))
        .arg(server.address())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Running(child);
    let mut said = String::new();
    BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said.trim(), "2");
    assert_eq!(server.listed("orders"), [1, 2]);
    assert_ne!(server.owner(&node("orders", 1)), server.owner(&node("orders", 2)));
}

#[test]
fn whoever_leaves_while_the_servers_are_away_is_gone_once_they_are_back() {
    let _turn = among_others();
    let mut server = ZooKeeper::start();
    let plum = registering(&server.address());
    let (one, other) = (plum.register(at("orders", 1)).unwrap(), plum.register(at("orders", 2)).unwrap());
    until("both are registered", SOON, || server.listed("orders") == [1, 2]);
    server.kill();
    // It cannot be told now.
    let _ = one.close(Duration::ZERO, &Never);
    server.revive();
    until("only the other is there", SOON, || server.listed("orders") == [2]);
    stays("and nobody else comes back", TTL, || server.listed("orders") == [2]);
    assert_eq!(other.state(), State::Registered);
}

#[test]
fn unhealthy_is_what_the_program_says_and_callers_are_spared() {
    let _turn = among_others();
    let server = ZooKeeper::start();
    let one = registering(&server.address());
    let me = one.register(at("orders", 1)).unwrap();
    let other = client(&server.address(), json!({}));
    until("it is seen", SOON, || other.discover("orders").unwrap().len() == 1);
    me.update(at("orders", 1).healthy(false)).unwrap();
    until("it is no longer called", SOON, || other.discover("orders").unwrap().is_empty());
    stays("beats do not heal it", TTL, || other.discover("orders").unwrap().is_empty());
    me.update(at("orders", 1).healthy(true)).unwrap();
    until("it is called again", SOON, || other.discover("orders").unwrap().len() == 1);
}

#[test]
fn a_server_before_3_6_is_asked_for_its_nodes_one_by_one() {
    let _turn = among_others();
    let server = ZooKeeper::configured(OLD, "", 1);
    server.await_mode();
    let plum = registering(&server.address());
    let all: Vec<_> = (1..=20).map(|port| plum.register(at("orders", port)).unwrap()).collect();
    until("all are registered", SOON, || server.listed("orders").len() == 20);
    let other = client(&server.address(), json!({}));
    until("all are seen", SOON, || ports(&other, "orders").len() == 20);
    stays("listed past their TTL", TTL + Duration::from_secs(1), || server.listed("orders").len() == 20);
    server.delete_by_hand("orders", 7);
    until("it is back", SOON, || server.listed("orders").len() == 20);
    assert!(all.iter().all(|one| one.state() == State::Registered));
    let again: u64 = plum.stats().unwrap().registrations.iter().map(|one| one.reregistrations).sum();
    assert_eq!(again, 1, "nobody else was registered again");
}

#[test]
fn a_leader_that_is_killed_costs_no_registration_no_watch_and_no_call() {
    let _turn = among_others();
    let mut ensemble = ensemble();
    let hosts: Vec<String> = ensemble.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
    let address = format!("zookeeper://{}?session_timeout=3s", hosts.join(","));
    let plum = registering(&address);
    let all: Vec<_> = (1..=20).map(|port| plum.register(at("orders", port)).unwrap()).collect();
    let other = client(&address, json!({}));
    let watch = other.watch("orders").unwrap();
    until("all are seen", SOON, || ports(&other, "orders").len() == 20);
    let leader = ensemble.iter().position(|server| mode_of(server.port) == "leader").expect("a leader");
    ensemble.swap_remove(leader).running.kill();
    stays("the list stays, and answers", 2 * TTL, || ports(&other, "orders").len() == 20);
    until("all are registered", SOON, || ensemble[0].listed("orders").len() == 20);
    all[4].update(at("orders", 5).version("v2")).unwrap();
    let mut version = String::new();
    while version != "v2" {
        let change = watch.next_within(SOON).unwrap().expect("the update is told");
        version = change.updated.first().map_or(String::new(), |endpoint| endpoint.version.clone());
    }
    stays("nobody was lost meanwhile", TTL, || ports(&other, "orders").len() == 20);
    assert!(all.iter().all(|one| one.state() == State::Registered));
}

/// Three that have elected a leader.
fn ensemble() -> Vec<ZooKeeper> {
    let inner: Vec<(u16, u16)> = (0..3).map(|_| (free_port(), free_port())).collect();
    let line = |(n, (peer, vote)): (usize, &(u16, u16))| format!("server.{n}=127.0.0.1:{peer}:{vote}\n");
    let members: String = inner.iter().enumerate().map(|(n, ports)| line((n + 1, ports))).collect();
    let servers: Vec<ZooKeeper> = (1..=3).map(|id| ZooKeeper::configured(VERSION, &members, id)).collect();
    servers.iter().for_each(|server| drop(server.await_mode()));
    servers
}

#[test]
fn a_black_hole_in_the_path_is_noticed_within_two_keepalives_and_heals() {
    let _turn = crate::server::alone();
    let server = ZooKeeper::start();
    let gate = Gate::towards(server.port);
    let through = client(&format!("zookeeper://127.0.0.1:{}?session_timeout=3s", gate.port()), json!({}));
    let one = registering(&server.address());
    let me = one.register(at("orders", 1)).unwrap();
    until("it is seen", SOON, || ports(&through, "orders") == [1]);
    gate.swallow();
    let is_up = || through.stats().unwrap().cache.registries[0].up;
    // A keepalive comes every third of the session's time.
    until("it is noticed", 2 * TTL / 3 + Duration::from_millis(300), || !is_up());
    assert_eq!(ports(&through, "orders"), [1], "the list serves on");
    gate.open();
    until("it heals", SOON, is_up);
    me.update(at("orders", 1).version("v2")).unwrap();
    until("news come again", SOON, || through.discover("orders").unwrap()[0].version == "v2");
}

#[test]
fn what_was_deleted_while_we_were_cut_off_is_told_once_we_are_back() {
    let _turn = among_others();
    let server = ZooKeeper::start();
    let gate = Gate::towards(server.port);
    let through = client(&format!("zookeeper://127.0.0.1:{}?session_timeout=3s", gate.port()), json!({}));
    let one = registering(&server.address());
    let mut all: Vec<_> = (1..=5).map(|port| one.register(at("orders", port)).unwrap()).collect();
    let watch = through.watch("orders").unwrap();
    while watch.next_within(SOON).unwrap().expect("all are seen").endpoints.len() < 5 {}
    settled(&through);
    gate.shut();
    until("it is noticed", SOON, || !through.stats().unwrap().cache.registries[0].up);
    for gone in all.drain(3..) {
        gone.close(Duration::ZERO, &Never).unwrap();
    }
    all[0].update(at("orders", 1).version("v2")).unwrap();
    stays("the list stays while cut off", TTL + Duration::from_secs(1), || {
        ports(&through, "orders").len() == 5
    });
    gate.open();
    until("the update is seen", SOON, || {
        through.discover("orders").unwrap().iter().any(|endpoint| endpoint.version == "v2")
    });
    // A session that had to be made anew is believed after its time, and those it lacks are dropped after two.
    until("the deleted are gone", 4 * TTL, || ports(&through, "orders") == [1, 2, 3]);
    let mut removed = 0;
    while removed < 2 {
        removed += watch.next_within(SOON).unwrap().expect("the deletes are told").removed.len();
    }
}

#[test]
fn an_access_list_lets_in_who_is_on_it_and_nobody_else() {
    let _turn = among_others();
    let server = ZooKeeper::start();
    let lock = json!({"do": "lock", "path": "/locked", "user": "me", "password": "hush-1"});
    assert_eq!(server.kazoo.ask(&lock), Value::Null);
    let at_locked = |user: &str, step: &str| {
        format!("zookeeper://{user}127.0.0.1:{}/locked/{step}?session_timeout=3s", server.port)
    };
    let (_listener, port) = listener();

    let right = registering(&at_locked("me:hush-1@", "services"));
    let me = right.register(at("orders", port)).unwrap();
    me.wait(SOON, &Never).unwrap();
    assert_eq!(right.discover("orders").unwrap().len(), 1);

    for user in ["", "me:hush-2@"] {
        let other = registering(&at_locked(user, "more"));
        let error = other.register(at("orders", port)).unwrap_err();
        assert_eq!(error.kind(), Kind::PermissionDenied, "{error}");
        assert!(error.message().contains("\"/locked/more\"") && !error.message().contains("hush"), "{error}");
        let reader = client(&format!("zookeeper://{user}127.0.0.1:{}/locked", server.port), json!({}));
        let error = reader.services().unwrap_err();
        assert_eq!(error.kind(), Kind::PermissionDenied, "{error}");
    }
}

#[test]
fn names_of_every_kind_come_back_as_they_were() {
    let _turn = among_others();
    let server = ZooKeeper::start();
    let plum = registering(&server.address());
    let names = ["a/b", "with space", "Größe-日本-🦀", ".", "..", "100%", "%2F", "zookeeper"];
    let all: Vec<_> =
        names.iter().map(|name| plum.register(at(name, 1).instance_id(*name)).unwrap()).collect();
    all.iter().for_each(|one| one.wait(SOON, &Never).unwrap());
    let other = client(&server.address(), json!({}));
    let mut listed = other.services().unwrap();
    listed.sort_unstable();
    let mut expected = names.map(str::to_owned);
    expected.sort_unstable();
    assert_eq!(listed, expected);
    for name in names {
        let found = other.discover(name).unwrap();
        assert_eq!((found.len(), found[0].instance_id.as_str(), found[0].service.as_str()), (1, name, name));
    }
    drop(all);
    until("nobody offers them any more", SOON, || plum.services().unwrap().is_empty());
}

#[test]
fn a_record_that_is_too_large_is_refused_before_it_is_sent() {
    let _turn = among_others();
    let server = ZooKeeper::start();
    let plum = registering(&server.address());
    let small = plum.register(at("orders", 1).label("text", &"x".repeat(900_000))).unwrap();
    small.wait(SOON, &Never).unwrap();
    let (_listener, port) = listener();
    let large = plum.register(at("orders", port).label("text", "x".repeat(1 << 20))).unwrap();
    assert_eq!(large.state(), State::Refused);
    let error = large.wait(SOON, &Never).unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidArgument, "{error}");
    assert!(error.message().contains("bytes; ZooKeeper takes"), "{error}");
    assert_eq!(small.state(), State::Registered, "the connection goes on");
}

#[test]
fn whatever_else_answers_at_the_port_is_named() {
    let _turn = among_others();
    let controller = plumline_controller::Controller::start(
        plumline_controller::Config::new().listen("127.0.0.1:0".parse().unwrap()),
    );
    let controller = controller.unwrap();
    let plum = client(&format!("zookeeper://{}", controller.address()), json!({}));
    let error = plum.discover("orders").unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol, "{error}");
    assert!(error.message().contains("HTTP/1.1 400"), "{error}");

    // One that hangs up without a word, as a ZooKeeper does that is not ready.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("zookeeper://{}", silent.local_addr().unwrap());
    std::thread::spawn(move || silent.incoming().for_each(drop));
    let error = client(&address, json!({})).discover("orders").unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
}

#[test]
fn what_is_deleted_by_hand_is_back_within_a_beat_though_its_parent_went_too() {
    let _turn = crate::server::alone();
    let server = ZooKeeper::start();
    let plum = registering(&server.address());
    let me = plum.register(at("orders", 1)).unwrap();
    until("it is registered", SOON, || server.listed("orders") == [1]);
    server.delete_by_hand("orders", 1);
    server.kazoo.ask(&json!({"do": "delete", "path": format!("{PREFIX}/orders")}));
    until("it is back", ONE_BEAT, || server.listed("orders") == [1]);
    assert_eq!(me.state(), State::Registered);
}
