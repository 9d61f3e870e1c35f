//! Consul 1.14, built from its Go module.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use plumline::Endpoint;
use plumline_tests::{ask, until};
use rustix::process::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{NOT_OURS, Record, Running, Server, data_folder, free_port, program, run, shared_port};

const VERSION: &str = "1.14.5";
const GO_MOD: &str = "module servers\n\ngo 1.22\n\nexclude (\n\tgithub.com/hashicorp/go-msgpack v1.1.5\n\tgithub.com/hashicorp/go-msgpack v1.1.6\n)\n";

/// An agent that is its own cluster.
pub struct Consul {
    running: Option<Running>,
    /// Where its HTTP interface is.
    pub http: u16,
    folder: TempDir,
    config: Value,
}

impl Consul {
    /// One with these settings beside the usual ones.
    pub fn with(more: &Value) -> Consul {
        let folder = data_folder();
        let http = free_port();
        let mut config = json!({
            "server": true, "bootstrap_expect": 1, "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1",
            "data_dir": folder.path().join("data"),
            "ports": {"http": http, "dns": -1, "grpc": -1, "grpc_tls": -1, "serf_wan": -1,
                      "serf_lan": free_port(), "server": free_port()},
            "performance": {"raft_multiplier": 1}, "disable_update_check": true, "log_level": "error"
        });
        lay_over(&mut config, more);
        let running = launch(&folder, &config);
        let consul = Consul { running: Some(running), http, folder, config };
        if more.get("retry_join").is_none() {
            consul.await_leader();
        }
        consul
    }

    /// Servers of one cluster, so many that one may be missing.
    pub fn cluster() -> Vec<Consul> {
        let lan: Vec<u16> = (0..3).map(|_| free_port()).collect();
        let all: Vec<String> = lan.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let member = |(n, port): (usize, &u16)| {
            Consul::with(&json!({"node_name": format!("n{n}"), "bootstrap_expect": 3, "retry_join": all,
                                 "retry_interval": "1s", "ports": {"serf_lan": port}}))
        };
        let members: Vec<Consul> = lan.iter().enumerate().map(member).collect();
        members.iter().for_each(Consul::await_leader);
        members
    }

    /// Whether it leads its cluster.
    pub fn leads(&self) -> bool {
        let own = &self.get("/v1/agent/self")["Member"];
        let address = format!("{}:{}", own["Addr"].as_str().unwrap(), own["Tags"]["port"].as_str().unwrap());
        self.get("/v1/status/leader") == address.as_str()
    }

    fn await_leader(&self) {
        let is_led = || ask_maybe(self.place(), "/v1/status/leader").is_some_and(|leader| leader.len() > 2);
        until("Consul has a leader", Duration::from_secs(20), is_led);
    }

    fn place(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.http).into()
    }

    fn get(&self, path: &str) -> Value {
        let (status, body) = ask(self.place(), "GET", path, "");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// A write to it: status and answer.
    pub fn put(&self, path: &str, body: &Value) -> (u16, String) {
        ask(self.place(), "PUT", path, &body.to_string())
    }

    fn rows(&self, service: &str) -> Vec<Value> {
        self.get(&format!("/v1/health/service/{service}?passing=1")).as_array().cloned().unwrap()
    }
}

/// Sections are laid over sections.
fn lay_over(config: &mut Value, more: &Value) {
    for (key, value) in more.as_object().unwrap() {
        if value.is_object() && config[key].is_object() {
            lay_over(&mut config[key], value);
        } else {
            config[key] = value.clone();
        }
    }
}

/// The program, had if need be.
pub fn consul() -> PathBuf {
    program(&format!("consul-{VERSION}"), "consul", |folder| {
        std::fs::write(folder.join("go.mod"), GO_MOD).unwrap();
        let mut go = Command::new("go");
        run(go.current_dir(folder).args([
            "get",
            "-tool",
            &format!("github.com/hashicorp/consul@v{VERSION}"),
        ]));
        let mut go = Command::new("go");
        run(go.current_dir(folder).args(["build", "-o", "consul", "github.com/hashicorp/consul"]));
    })
}

fn launch(folder: &TempDir, config: &Value) -> Running {
    let file = folder.path().join("consul.json");
    std::fs::write(&file, config.to_string()).unwrap();
    let mut command = Command::new(consul());
    command.arg("agent").arg("-config-file").arg(file).stdout(Stdio::null()).stderr(Stdio::null());
    Running(command.spawn().unwrap())
}

/// As [`ask`], where nobody may be listening yet: the body of a 200.
fn ask_maybe(place: SocketAddr, path: &str) -> Option<String> {
    std::net::TcpStream::connect(place).ok()?;
    let (status, body) = ask(place, "GET", path, "");
    (status == 200).then(|| body.trim().to_owned())
}

fn port_of(row: &Value) -> u16 {
    row["Service"]["Port"].as_u64().and_then(|port| port.try_into().ok()).unwrap()
}

impl Server for Consul {
    fn start() -> Consul {
        Consul::with(&json!({}))
    }

    fn shared() -> Consul {
        let Some(http) = shared_port("consul") else { return Consul::start() };
        Consul { running: None, http, folder: data_folder(), config: Value::Null }
    }

    fn address(&self) -> String {
        format!("consul://127.0.0.1:{}", self.http)
    }

    fn kill(&mut self) {
        self.running.as_mut().expect(NOT_OURS).kill();
    }

    fn revive(&mut self) {
        self.running = Some(launch(&self.folder, &self.config));
        self.await_leader();
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
        let service = &rows.iter().find(|row| port_of(row) == port).expect("it is listed")["Service"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let meta = &service["Meta"];
        let weight = service["Weights"]["Passing"].as_u64().unwrap();
        assert_eq!(meta["weight"], weight.to_string());
        Record {
            host: text(&service["Address"]),
            version: text(&meta["version"]),
            weight: u32::try_from(weight).unwrap(),
            env: text(&meta["env"]),
        }
    }

    fn write_by_hand(&self, endpoint: &Endpoint, tags: &[&str]) {
        let mut meta = json!(endpoint.labels);
        meta["weight"] = endpoint.weight.to_string().into();
        let body = json!({"ID": endpoint.instance_id, "Name": endpoint.service, "Address": endpoint.host,
                          "Port": endpoint.port, "Tags": tags, "Meta": meta});
        let aside = json!({"version": endpoint.version, "protocol": endpoint.protocol, "health": "healthy",
                           "created_at": "0001-01-01T00:00:00Z", "ttl": "30s"});
        let key =
            format!("/v1/kv/laravel-go/services/{}/{}/metadata", endpoint.service, endpoint.instance_id);
        assert_eq!(self.put(&key, &aside).0, 200);
        assert_eq!(self.put("/v1/agent/service/register", &body).0, 200);
    }

    /// Consul itself keeps rubbish out of its catalog; beside it, it does not.
    fn write_rubbish(&self, service: &str) {
        let key = format!("/v1/kv/laravel-go/services/{service}/other-1/metadata");
        let (status, _) = ask(self.place(), "PUT", &key, "{no json");
        assert_eq!(status, 200);
        let (status, _) =
            ask(self.place(), "PUT", &format!("/v1/kv/laravel-go/services/{service}/"), "\u{1}");
        assert_eq!(status, 200);
    }

    fn delete_by_hand(&self, service: &str, port: u16) {
        let path = format!("/v1/agent/service/deregister/{service}-127.0.0.1-{port}");
        // Without a body: one that is not read turns Consul's farewell into a reset.
        assert_eq!(ask(self.place(), "PUT", &path, "").0, 200);
    }
}
