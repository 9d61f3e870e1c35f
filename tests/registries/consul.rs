//! Consul 1.14, built from its Go module.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use plumline::{Endpoint, Instance, Kind};
use plumline_tests::{ask, client, until};
use rustix::process::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::promises::{at, promises, registering};
use crate::server::{Record, Running, Server, among_others, free_port, program, run};

const VERSION: &str = "1.14.5";
const GO_MOD: &str = "module servers\n\ngo 1.22\n\nexclude (\n\tgithub.com/hashicorp/go-msgpack v1.1.5\n\tgithub.com/hashicorp/go-msgpack v1.1.6\n)\n";

promises!(Consul, seen within 200 ms);

pub struct Consul {
    running: Running,
    http: u16,
    folder: TempDir,
    config: Value,
}

impl Consul {
    fn with(more: &Value) -> Consul {
        let folder = tempfile::tempdir().unwrap();
        let http = free_port();
        let mut config = json!({
            "server": true, "bootstrap_expect": 1, "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1",
            "data_dir": folder.path().join("data"),
            "ports": {"http": http, "dns": -1, "grpc": -1, "grpc_tls": -1, "serf_wan": -1,
                      "serf_lan": free_port(), "server": free_port()},
            "performance": {"raft_multiplier": 1}, "disable_update_check": true, "log_level": "error"
        });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let running = launch(&folder, &config);
        let consul = Consul { running, http, folder, config };
        consul.await_leader();
        consul
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

    fn put(&self, path: &str, body: &Value) -> (u16, String) {
        ask(self.place(), "PUT", path, &body.to_string())
    }

    fn rows(&self, service: &str) -> Vec<Value> {
        self.get(&format!("/v1/health/service/{service}?passing=1")).as_array().cloned().unwrap()
    }
}

fn launch(folder: &TempDir, config: &Value) -> Running {
    let consul = program(&format!("consul-{VERSION}"), "consul", |folder| {
        std::fs::write(folder.join("go.mod"), GO_MOD).unwrap();
        let mut go = Command::new("go");
        run(go.current_dir(folder).args([
            "get",
            "-tool",
            &format!("github.com/hashicorp/consul@v{VERSION}"),
        ]));
        let mut go = Command::new("go");
        run(go.current_dir(folder).args(["build", "-o", "consul", "github.com/hashicorp/consul"]));
    });
    let file = folder.path().join("consul.json");
    std::fs::write(&file, config.to_string()).unwrap();
    let mut command = Command::new(consul);
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

    fn address(&self) -> String {
        format!("consul://127.0.0.1:{}", self.http)
    }

    fn kill(&mut self) {
        self.running.kill();
    }

    fn revive(&mut self) {
        self.running = launch(&self.folder, &self.config);
        self.await_leader();
    }

    fn empty(&self) {
        std::fs::remove_dir_all(self.folder.path().join("data")).unwrap();
    }

    fn pid(&self) -> Pid {
        self.running.pid()
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
        assert_eq!(self.put("/v1/agent/service/register", &body).0, 200);
        let aside = json!({"version": endpoint.version, "protocol": endpoint.protocol, "health": "healthy",
                           "created_at": "0001-01-01T00:00:00Z", "ttl": "30s"});
        let key =
            format!("/v1/kv/laravel-go/services/{}/{}/metadata", endpoint.service, endpoint.instance_id);
        assert_eq!(self.put(&key, &aside).0, 200);
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

#[test]
fn an_index_that_goes_backwards_begins_from_0() {
    let _turn = among_others();
    let mut server = Consul::start();
    let one = registering(&server.address());
    // Many changes, so that the index is far ahead of what an empty server begins with.
    let me = one.register(at("orders", 1)).unwrap();
    (2..200).for_each(|n| me.update(at("orders", 1).version(format!("v{n}"))).unwrap());
    let other = client(&server.address(), json!({}));
    until("the last update is seen", Duration::from_secs(5), || {
        other.discover("orders").unwrap().first().is_some_and(|found| found.version == "v199")
    });
    server.kill();
    server.empty();
    server.revive();
    until("it is registered again", Duration::from_secs(5), || server.listed("orders") == [1]);
    me.update(at("orders", 1).version("after")).unwrap();
    until("changes are seen again", Duration::from_secs(2), || {
        other.discover("orders").unwrap().first().is_some_and(|found| found.version == "after")
    });
}

#[test]
fn unhealthy_is_what_the_program_says_and_callers_are_spared() {
    let _turn = among_others();
    let server = Consul::start();
    let one = registering(&server.address());
    let me = one.register(at("orders", 1)).unwrap();
    let other = client(&server.address(), json!({}));
    until("it is seen", Duration::from_secs(5), || other.discover("orders").unwrap().len() == 1);
    me.update(at("orders", 1).healthy(false)).unwrap();
    until("it is no longer called", Duration::from_secs(2), || other.discover("orders").unwrap().is_empty());
    me.update(at("orders", 1).healthy(true)).unwrap();
    until("it is called again", Duration::from_secs(2), || other.discover("orders").unwrap().len() == 1);
}

#[test]
fn a_token_is_asked_for_known_and_obeyed() {
    let _turn = among_others();
    let acl =
        json!({"enabled": true, "default_policy": "deny", "tokens": {"initial_management": "root-secret-1"}});
    let server = Consul::with(&json!({ "acl": acl }));
    let with = |token: &str| format!("{}?token={token}", server.address());
    let right = registering(&with("root-secret-1"));
    let ready = || {
        right.register(at("orders", 1)).is_ok_and(|me| {
            drop(me.detach());
            true
        })
    };
    until("the token is known", Duration::from_secs(5), ready);
    until("it is read", Duration::from_secs(5), || {
        right.discover("orders").is_ok_and(|found| found.len() == 1)
    });

    let wrong = registering(&with("wrong-secret-2"));
    let error = wrong.discover("orders").unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthenticated, "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");

    let nobody = registering(&server.address());
    let (_listener, port) = plumline_tests::listener();
    let error = nobody.register(Instance::new("orders", port).host("127.0.0.1")).unwrap_err();
    assert_eq!(error.kind(), Kind::PermissionDenied, "{error}");
}

#[test]
fn whatever_else_answers_at_the_port_is_named() {
    let _turn = among_others();
    let controller = plumline_controller::Controller::start(
        plumline_controller::Config::new().listen("127.0.0.1:0".parse().unwrap()),
    );
    let controller = controller.unwrap();
    let plum = client(&format!("consul://{}", controller.address()), json!({}));
    let error = plum.discover("orders").unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol, "{error}");
    assert!(error.message().contains("does not answer as Consul does"), "{error}");
}

#[test]
fn more_services_than_connections_are_followed_by_two_queries() {
    let _turn = among_others();
    let server = Consul::start();
    let one = registering(&server.address());
    let names: Vec<String> = (0..150).map(|n| format!("many-{n:03}")).collect();
    let all: Vec<_> = names.iter().map(|name| one.register(at(name, 1)).unwrap()).collect();
    let other = client(&server.address(), json!({}));
    let watches: Vec<_> = names.iter().map(|name| other.watch(name).unwrap()).collect();
    for (name, watch) in names.iter().zip(&watches) {
        let wait = Duration::from_secs(5);
        let mut change = watch.next_within(wait).unwrap().unwrap_or_else(|| panic!("{name} is not told of"));
        while change.endpoints.is_empty() {
            change = watch.next_within(wait).unwrap().unwrap_or_else(|| panic!("{name} has no endpoint"));
        }
    }
    all[149].update(at(&names[149], 1).version("v2")).unwrap();
    let change = watches[149].next_within(Duration::from_secs(2)).unwrap().expect("a change");
    assert_eq!(change.updated[0].version, "v2");
}

#[test]
fn the_next_agent_is_used_when_one_dies() {
    let _turn = among_others();
    let mut first = Consul::start();
    let second = Consul::start();
    let both = format!("consul://127.0.0.1:{},127.0.0.1:{}", first.http, second.http);
    let plum = registering(&both);
    let me = plum.register(at("orders", 1)).unwrap();
    until("it is registered at the first", Duration::from_secs(5), || first.listed("orders") == [1]);
    assert_eq!(plum.discover("orders").unwrap().len(), 1);
    first.kill();
    until("it is registered at the second", Duration::from_secs(5), || second.listed("orders") == [1]);
    assert_eq!(plum.discover("orders").unwrap().len(), 1);
    drop(me);
}
