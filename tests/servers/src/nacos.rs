//! rnacos 0.8.8, which speaks Nacos' protocol, built from its crate; and Nacos' own Java client.

use std::io::BufReader;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use plumline::Endpoint;
use plumline_tests::{ask, until};
use rustix::process::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{NOT_OURS, Record, Running, Server, data_folder, free_port, program, run, shared_port};

const VERSION: &str = "0.8.8";

/// One server.
pub struct Nacos {
    running: Option<Running>,
    /// Its HTTP port; the gRPC port lies 1000 above.
    pub http: u16,
    console: u16,
    folder: TempDir,
    settings: Vec<(&'static str, String)>,
}

/// A port whose companion, 1000 above, is free too.
pub fn free_pair() -> u16 {
    loop {
        let port = free_port();
        if TcpListener::bind(("127.0.0.1", port + 1000)).is_ok() {
            return port;
        }
    }
}

impl Nacos {
    /// One with these in its environment.
    pub fn with(settings: &[(&'static str, &str)]) -> Nacos {
        let folder = data_folder();
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let (http, console) = (free_pair(), free_port());
        let running = launch(folder.path(), http, console, &settings);
        let mut nacos = Nacos { running: Some(running), http, console, folder, settings };
        nacos.await_answer();
        nacos.await_users();
        nacos
    }

    fn setting(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// Where users are asked for: waits until the first one is known. Now and then rnacos panics in a thread when it
    /// starts empty (raftapply.rs), lives on, and never knows any; then another is started.
    fn await_users(&mut self) {
        if self.setting("RNACOS_ENABLE_OPEN_API_AUTH").is_none() {
            return;
        }
        let name = self.setting("RNACOS_INIT_ADMIN_USERNAME").unwrap_or("admin").to_owned();
        let password = self.setting("RNACOS_INIT_ADMIN_PASSWORD").unwrap_or("admin").to_owned();
        let password = utf8_percent_encode(&password, NON_ALPHANUMERIC);
        let path = format!("/nacos/v1/auth/login?username={name}&password={password}");
        let (mut asked, mut began) = (Instant::now(), Instant::now());
        until("a user is known", Duration::from_mins(1), || {
            if began.elapsed() > Duration::from_secs(5) {
                self.running.as_mut().expect(NOT_OURS).kill();
                self.empty();
                self.running = Some(launch(self.folder.path(), self.http, self.console, &self.settings));
                self.await_answer();
                began = Instant::now();
            }
            // It counts how often a user tries within a minute.
            let is_due = asked.elapsed() > Duration::from_millis(250);
            asked = if is_due { Instant::now() } else { asked };
            is_due && ask(self.place(), "POST", &path, "").0 == 200
        });
    }

    fn await_answer(&self) {
        let answers = |port: u16| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        until("rnacos answers", Duration::from_secs(20), || {
            answers(self.http)
                && answers(self.http + 1000)
                && ask(self.place(), "GET", "/nacos/v1/ns/operator/metrics", "").0 != 0
        });
    }

    fn place(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.http).into()
    }

    /// One exchange with its HTTP interface, about a service.
    fn http(&self, method: &str, path: &str, service: &str, more: &str) -> String {
        let service = utf8_percent_encode(service, NON_ALPHANUMERIC);
        let path = format!("/nacos/v1/ns/{path}?serviceName={service}{more}");
        let (status, body) = ask(self.place(), method, &path, "");
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// What it lists of a service.
    pub fn rows(&self, service: &str) -> Vec<Value> {
        let body = self.http("GET", "instance/list", service, "&healthyOnly=false");
        let list: Value = serde_json::from_str(&body).unwrap();
        list["hosts"].as_array().cloned().unwrap_or_default()
    }

    fn write(&self, service: &str, host: &str, port: u32, more: &str) {
        let more = format!("&ip={host}&port={port}&ephemeral=true{more}");
        self.http("POST", "instance", service, &more);
    }
}

/// The program, had if need be.
pub fn rnacos() -> PathBuf {
    program(&format!("rnacos-{VERSION}"), "rnacos", |folder| {
        let root = folder.join("build");
        let mut cargo = Command::new("cargo");
        cargo.args(["install", "rnacos", "--version", VERSION, "--locked", "--debug", "--root"]).arg(&root);
        run(cargo.env("CARGO_TARGET_DIR", root.join("target")).env_remove("RUSTFLAGS"));
        run(Command::new("strip").arg(root.join("bin/rnacos")));
        std::fs::rename(root.join("bin/rnacos"), folder.join("rnacos")).unwrap();
        std::fs::remove_dir_all(root).unwrap();
    })
}

fn launch(folder: &Path, http: u16, console: u16, settings: &[(&'static str, String)]) -> Running {
    let grpc = http + 1000;
    let mut command = Command::new(rnacos());
    command
        .env("RNACOS_SDK_HOST", "127.0.0.1")
        .env("RNACOS_CONSOLE_HOST", "127.0.0.1")
        .env("RNACOS_HTTP_PORT", http.to_string())
        .env("RNACOS_GRPC_PORT", grpc.to_string())
        .env("RNACOS_HTTP_CONSOLE_PORT", console.to_string())
        .env("RNACOS_RAFT_NODE_ADDR", format!("127.0.0.1:{grpc}"))
        .env("RNACOS_DATA_DIR", folder.join("data"))
        .envs(settings.iter().cloned())
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Running(command.spawn().unwrap())
}

fn port_of(row: &Value) -> u16 {
    row["port"].as_u64().and_then(|port| port.try_into().ok()).unwrap_or(0)
}

impl Server for Nacos {
    fn start() -> Nacos {
        Nacos::with(&[])
    }

    fn shared() -> Nacos {
        let Some(http) = shared_port("nacos") else { return Nacos::start() };
        Nacos { running: None, http, console: 0, folder: data_folder(), settings: Vec::new() }
    }

    fn address(&self) -> String {
        format!("nacos://127.0.0.1:{}", self.http)
    }

    fn kill(&mut self) {
        self.running.as_mut().expect(NOT_OURS).kill();
    }

    fn revive(&mut self) {
        self.running = Some(launch(self.folder.path(), self.http, self.console, &self.settings));
        self.await_answer();
        self.await_users();
    }

    fn empty(&self) {
        std::fs::remove_dir_all(self.folder.path().join("data")).unwrap();
    }

    fn pid(&self) -> Pid {
        self.running.as_ref().expect(NOT_OURS).pid()
    }

    fn listed(&self, service: &str) -> Vec<u16> {
        let mut ports: Vec<u16> = self.rows(service).iter().map(port_of).collect();
        ports.sort_unstable();
        ports
    }

    fn record(&self, service: &str, port: u16) -> Record {
        let rows = self.rows(service);
        let row = rows.iter().find(|row| port_of(row) == port).expect("it is listed");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Record {
            host: text(&row["ip"]),
            version: text(&row["metadata"]["version"]),
            weight: row["weight"].as_f64().unwrap() as u32,
            env: text(&row["metadata"]["env"]),
        }
    }

    fn write_by_hand(&self, endpoint: &Endpoint, tags: &[&str]) {
        let mut metadata = json!(endpoint.labels);
        for (name, value) in [
            ("version", endpoint.version.as_str()),
            ("protocol", &endpoint.protocol),
            ("health", "healthy"),
            ("created_at", "0001-01-01T00:00:00Z"),
            ("ttl", "30s"),
            ("tags", &json!(tags).to_string()),
        ] {
            metadata[name] = value.into();
        }
        let metadata = metadata.to_string();
        let metadata = utf8_percent_encode(&metadata, NON_ALPHANUMERIC);
        let more = format!("&weight={}.0&metadata={metadata}", endpoint.weight);
        self.write(&endpoint.service, &endpoint.host, endpoint.port.into(), &more);
    }

    /// A port that there is none of.
    fn write_rubbish(&self, service: &str) {
        self.write(service, "127.0.0.1", 70_000, "");
        assert_eq!(self.rows(service).len(), 2, "rnacos takes it");
    }

    fn delete_by_hand(&self, service: &str, port: u16) {
        self.http("DELETE", "instance", service, &format!("&ip=127.0.0.1&port={port}"));
    }
}

/// What Nacos' own client consists of, had if need be.
pub fn own_clients_jars() -> PathBuf {
    const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
        <groupId>none</groupId><artifactId>jars</artifactId><version>1</version><dependencies><dependency>
        <groupId>com.alibaba.nacos</groupId><artifactId>nacos-client</artifactId><version>2.5.1</version>
        </dependency><dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>1.7.36</version>
        </dependency></dependencies></project>"#;
    program("nacos-client-2.5.1", "jars", |folder| {
        std::fs::write(folder.join("pom.xml"), POM).unwrap();
        let mut maven = Command::new("mvn");
        maven.current_dir(folder).args([
            "-q",
            "-B",
            "dependency:copy-dependencies",
            "-DoutputDirectory=making",
        ]);
        run(&mut maven);
        std::fs::rename(folder.join("making"), folder.join("jars")).unwrap();
    })
}

/// Nacos' own client, `NacosPeer <server> <service> <port>`, in a program that stays until its input ends; the lines it says.
pub fn own_client(arguments: &[&str]) -> (Running, BufReader<ChildStdout>) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/NacosPeer.java");
    let home = data_folder();
    let child = Command::new("java")
        .arg(format!("-Duser.home={}", home.path().display()))
        .arg("-cp")
        .arg(own_clients_jars().join("*"))
        .arg(source)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = Running(child.unwrap());
    let said = BufReader::new(child.0.stdout.take().unwrap());
    (child, said)
}
