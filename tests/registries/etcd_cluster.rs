//! etcd 3.6 over TLS, and three members of a cluster.

use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use plumline::{Client, Config, Kind};
use plumline_tests::{ask, client, ports, stays, until};
use serde_json::{Value, json};
use tempfile::TempDir;

use plumline_servers::certificates::{Authority, Signed};
use plumline_servers::etcd::{New, Version};
use plumline_servers::{Running, free_port};

use crate::promises::{TTL, at, registering};

const SOON: Duration = Duration::from_secs(5);

struct Member {
    running: Running,
    port: u16,
    _folder: TempDir,
}

/// A member that listens for clients at `scheme://127.0.0.1:port`, and says how it is in plain HTTP.
fn member(scheme: &str, cluster: &str, name: &str, peer: u16, more: &[String]) -> Member {
    let (folder, port, health) = (tempfile::tempdir().unwrap(), free_port(), free_port());
    let (clients, peers) = (format!("{scheme}://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer}"));
    let mut command = Command::new(New::program());
    command.arg("--data-dir").arg(folder.path()).args(["--name", name, "--initial-cluster", cluster]);
    command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
    command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
    command.args(["--listen-metrics-urls", &format!("http://127.0.0.1:{health}")]);
    command.args(["--log-level", "fatal", "--unsafe-no-fsync"]).args(more);
    let running = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let place = ([127, 0, 0, 1], health).into();
    let is_well = || TcpStream::connect(place).is_ok() && ask(place, "GET", "/readyz", "").0 == 200;
    if cluster.matches("://").count() == 1 {
        until("etcd is well", Duration::from_secs(20), is_well);
    }
    Member { running, port, _folder: folder }
}

fn alone_in_its_cluster(scheme: &str, more: &[String]) -> Member {
    let peer = free_port();
    member(scheme, &format!("one=http://127.0.0.1:{peer}"), "one", peer, more)
}

fn secured(server: &Signed, more: &[String]) -> Member {
    let files = ["--cert-file".to_owned(), text(&server.cert), "--key-file".to_owned(), text(&server.key)];
    alone_in_its_cluster("https", &[&files[..], more].concat())
}

fn text(path: &std::path::Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn over_tls(port: u16, tls: &Value) -> Client {
    client(
        &format!("etcd+tls://127.0.0.1:{port}"),
        json!({"tls": tls, "registration": {"wait_listening": "0s"}}),
    )
}

#[test]
fn tls_verifies_authority_and_name() {
    let authority = Authority::found();
    let server = secured(&authority.sign("127.0.0.1"), &[]);
    let plum = over_tls(server.port, &json!({"ca": authority.ca()}));
    let me = plum.register(at("orders", 1)).unwrap();
    until("it is seen", SOON, || ports(&plum, "orders") == [1]);
    drop(me);

    let error = over_tls(server.port, &json!({})).discover("orders").unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol, "{error}");
    assert!(error.message().contains("TLS failed"), "{error}");
    let other = json!({"ca": authority.ca(), "server_name": "etcd.example"});
    let error = over_tls(server.port, &other).discover("orders").unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol, "{error}");
    assert!(error.message().contains("etcd.example") || error.message().contains("name"), "{error}");
}

#[test]
fn client_certificate_is_sent_when_requested() {
    let authority = Authority::found();
    let wants = ["--client-cert-auth".to_owned(), "--trusted-ca-file".to_owned(), text(&authority.ca())];
    let server = secured(&authority.sign("127.0.0.1"), &wants);
    let ours = authority.sign("billing");
    let plum = over_tls(server.port, &json!({"ca": authority.ca(), "cert": ours.cert, "key": ours.key}));
    let me = plum.register(at("orders", 1)).unwrap();
    until("it is seen", SOON, || ports(&plum, "orders") == [1]);
    drop(me);
    let error = over_tls(server.port, &json!({"ca": authority.ca()})).discover("orders").unwrap_err();
    assert!(matches!(error.kind(), Kind::Protocol | Kind::Unavailable), "{error}");
    let config = json!({"registry": {"addresses": ["etcd+tls://127.0.0.1:1"]}, "tls": {"cert": ours.cert}});
    let error = Client::with_config(Config::from_value(config).unwrap()).unwrap_err();
    assert!(error.message().contains("tls.cert needs tls.key"), "{error}");
}

fn cluster() -> Vec<Member> {
    let peers: Vec<u16> = (0..3).map(|_| free_port()).collect();
    let all: Vec<String> =
        peers.iter().enumerate().map(|(n, peer)| format!("m{n}=http://127.0.0.1:{peer}")).collect();
    let all = all.join(",");
    let fast = ["--heartbeat-interval", "50", "--election-timeout", "500"].map(str::to_owned);
    let members: Vec<Member> = peers
        .iter()
        .enumerate()
        .map(|(n, peer)| member("http", &all, &format!("m{n}"), *peer, &fast))
        .collect();
    for member in &members {
        until("there is a leader", Duration::from_secs(20), || leader(member.port).is_some());
    }
    members
}

/// Whether a member says it is the leader; none while there is no answer or no leader.
fn leader(port: u16) -> Option<bool> {
    let place = ([127, 0, 0, 1], port).into();
    TcpStream::connect(place).ok()?;
    let (status, answer) = ask(place, "POST", "/v3/maintenance/status", "{}");
    let answer: Value = serde_json::from_str(&answer).ok().filter(|_| status == 200)?;
    let leader = answer["leader"].as_str().filter(|leader| *leader != "0")?;
    Some(answer["header"]["member_id"] == *leader)
}

#[test]
fn killed_leader_loses_no_instance() {
    let mut members = cluster();
    let hosts: Vec<String> = members.iter().map(|member| format!("127.0.0.1:{}", member.port)).collect();
    let address = format!("etcd://{}", hosts.join(","));
    let plum = registering(&address);
    let all: Vec<_> = (1..=50).map(|port| plum.register(at("orders", port)).unwrap()).collect();
    let other = client(&address, json!({}));
    let watch = other.watch("orders").unwrap();
    until("all are seen", SOON, || ports(&other, "orders").len() == 50);
    let leads = |member: &Member| leader(member.port) == Some(true);
    let victim = members.iter().position(leads).expect("somebody leads");
    members[victim].running.kill();
    stays("nobody is lost", 2 * TTL, || ports(&other, "orders").len() == 50);
    while watch.next_within(Duration::ZERO).unwrap().is_some() {}
    all[6].update(at("orders", 7).version("v2")).unwrap();
    until("news is told by those that are left", SOON, || {
        watch
            .next_within(SOON)
            .unwrap()
            .is_some_and(|change| change.endpoints.iter().any(|endpoint| endpoint.version == "v2"))
    });
}
