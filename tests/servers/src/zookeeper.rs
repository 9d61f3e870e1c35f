//! ZooKeeper 3.9 and 3.4 from Maven, and kazoo as the client that is not ours.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use plumline::Endpoint;
use plumline_tests::until;
use rustix::process::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{NOT_OURS, Record, Running, Server, data_folder, free_port, program, run, shared_port};

/// The present one.
pub const NEW: &str = "3.9.3";
/// The oldest that is promised: without a list of a session's nodes.
pub const OLD: &str = "3.4.14";
/// Where services lie unless an address says otherwise.
pub const PREFIX: &str = "/laravel-go/services";
const KAZOO: &str = "2.11.0";
/// An ensemble elects its leader, and JVMs start, while other tests keep both cores busy.
const STARTED: Duration = Duration::from_mins(1);

/// One server.
pub struct ZooKeeper {
    running: Option<Running>,
    version: &'static str,
    /// Where it listens.
    pub port: u16,
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
    /// A server of this version, one of an ensemble or alone where `members` is empty. It may not serve yet.
    fn configured(version: &'static str, members: &str, id: u8) -> ZooKeeper {
        let (folder, port) = (data_folder(), free_port());
        let data = folder.path().join("data");
        let config = format!(
            "tickTime=500\ninitLimit=20\nsyncLimit=10\ndataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\n\
             admin.enableServer=false\n4lw.commands.whitelist=srvr\nmaxClientCnxns=0\n{members}",
            data.display()
        );
        std::fs::write(folder.path().join("zoo.cfg"), config).unwrap();
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("myid"), id.to_string()).unwrap();
        ZooKeeper {
            running: Some(launch(version, folder.path())),
            version,
            port,
            folder,
            kazoo: Kazoo::of(port),
        }
    }

    fn await_mode(&self) {
        until("ZooKeeper serves", STARTED, || !mode_of(self.port).is_empty());
    }

    /// One of this version.
    pub fn of(version: &'static str) -> ZooKeeper {
        let server = ZooKeeper::configured(version, "", 1);
        server.await_mode();
        server
    }

    /// Three that have elected a leader.
    pub fn ensemble() -> Vec<ZooKeeper> {
        let inner: Vec<(u16, u16)> = (0..3).map(|_| (free_port(), free_port())).collect();
        let line = |(n, (peer, vote)): (usize, &(u16, u16))| format!("server.{n}=127.0.0.1:{peer}:{vote}\n");
        let members: String = inner.iter().enumerate().map(|(n, ports)| line((n + 1, ports))).collect();
        let servers: Vec<ZooKeeper> = (1..=3).map(|id| ZooKeeper::configured(NEW, &members, id)).collect();
        servers.iter().for_each(ZooKeeper::await_mode);
        servers
    }

    /// Whether it leads an ensemble.
    pub fn is_leader(&self) -> bool {
        mode_of(self.port) == "leader"
    }

    /// Puts a question to kazoo (`zookeeper.py`) that is answered by nothing.
    pub fn by_hand(&self, question: &Value) {
        assert_eq!(self.kazoo.ask(question), Value::Null, "{question}");
    }

    fn under(&self, service: &str) -> Vec<Value> {
        let found = self.kazoo.ask(&json!({"do": "under", "path": format!("{PREFIX}/{service}")}));
        let records = found.as_object().unwrap().values();
        records.filter_map(|record| serde_json::from_str(record.as_str().unwrap()).ok()).collect()
    }

    /// Whose node it is, if it is there.
    pub fn owner(&self, path: &str) -> Option<i64> {
        self.kazoo.ask(&json!({"do": "stat", "path": path}))["owner"].as_i64()
    }

    /// Ends somebody's session.
    pub fn expire(&self, session: i64) {
        self.by_hand(&json!({"do": "expire", "session": session}));
    }
}

/// The JAR of a version, beside those that it needs; had if need be.
pub fn jar(version: &str) -> PathBuf {
    program(&format!("zookeeper-{version}"), &format!("lib/zookeeper-{version}.jar"), |folder| {
        std::fs::write(folder.join("pom.xml"), pom(version)).unwrap();
        run(Command::new("mvn").current_dir(folder).args([
            "--quiet",
            "--batch-mode",
            "dependency:copy-dependencies",
            "-DoutputDirectory=lib",
        ]));
    })
}

fn launch(version: &str, folder: &Path) -> Running {
    let mut java = Command::new("java");
    java.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
        .arg(jar(version).with_file_name("*"))
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
        ZooKeeper::of(NEW)
    }

    fn shared() -> ZooKeeper {
        let Some(port) = shared_port("zookeeper") else { return ZooKeeper::start() };
        ZooKeeper { running: None, version: NEW, port, folder: data_folder(), kazoo: Kazoo::of(port) }
    }

    fn address(&self) -> String {
        format!("zookeeper://127.0.0.1:{}?session_timeout=3s", self.port)
    }

    fn kill(&mut self) {
        self.running.as_mut().expect(NOT_OURS).kill();
    }

    fn revive(&mut self) {
        self.running = Some(launch(self.version, self.folder.path()));
        self.await_mode();
    }

    fn empty(&self) {
        std::fs::remove_dir_all(self.folder.path().join("data")).unwrap();
    }

    fn pid(&self) -> Pid {
        self.running.as_ref().expect(NOT_OURS).pid()
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
        self.by_hand(&put);
    }

    fn write_rubbish(&self, service: &str) {
        for (id, data) in
            [("other-1", "{no json"), ("other-2", ""), ("other-3", r#"{"address":"h","port":0}"#)]
        {
            let put = json!({"do": "put", "path": format!("{PREFIX}/{service}/{id}"), "data": data});
            self.by_hand(&put);
        }
    }

    fn delete_by_hand(&self, service: &str, port: u16) {
        let path = node(service, port);
        self.by_hand(&json!({"do": "delete", "path": path}));
    }
}

/// The path of an instance that is registered without an id of its own.
pub fn node(service: &str, port: u16) -> String {
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

/// A file beside kazoo's environment, had if need be.
pub fn kazoo() -> PathBuf {
    program(&format!("kazoo-{KAZOO}"), "ready", |folder| {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder.join("venv")));
        let mut pip = Command::new(folder.join("venv/bin/pip"));
        run(pip.args(["install", "--quiet", &format!("kazoo=={KAZOO}")]));
        std::fs::write(folder.join("ready"), "").unwrap();
    })
}

impl Talk {
    fn begin(port: u16) -> Talk {
        let ready = kazoo();
        let mut python = Command::new(ready.with_file_name("venv").join("bin/python"));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/zookeeper.py");
        python.arg(script).arg(format!("127.0.0.1:{port}")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child: Child = python.spawn().unwrap();
        let (says, hears) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Talk { _running: Running(child), says, hears }
    }
}
