//! What a real Consul does seldom: agents that fail at the wrong moment, played by a script.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use plumline::registration::RegistrationState;
use plumline::sync::Mutex;
use plumline::{Instance, Kind};
use plumline_tests::{client, stays, until};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(5);

/// An agent: what it holds, and how it fails.
#[derive(Default)]
struct Agent {
    index: AtomicUsize,
    /// Instances by service: their rows.
    services: Mutex<HashMap<String, Vec<Value>>>,
    refuses_to_register: AtomicBool,
    has_no_leader_for_keys: AtomicBool,
    /// Services whose next reading fails.
    fails_once: Mutex<Vec<String>>,
    /// The service that nobody may read.
    secret: Mutex<String>,
    asked: AtomicUsize,
}

impl Agent {
    /// Begins to answer; its `host:port`.
    fn start(self: &Arc<Self>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let agent = self.clone();
        // Ends with the process: it holds nothing but its port.
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let agent = agent.clone();
                std::thread::spawn(move || agent.serve(&connection));
            }
        });
        address
    }

    fn put(&self, service: &str, port: u16, status: &str) {
        let id = format!("{service}-1");
        let row = json!({
            "Node": {"Node": "n", "Address": "127.0.0.1"},
            "Service": {"ID": id, "Service": service, "Address": "127.0.0.1", "Port": port},
            "Checks": [{"ServiceID": id, "ServiceName": service, "Status": status, "Output": "as scripted",
                        "ModifyIndex": self.index.load(Relaxed) + 1}]
        });
        self.services.lock().insert(service.into(), vec![row]);
        self.index.fetch_add(1, Relaxed);
    }

    fn serve(&self, mut connection: &TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(connection);
        loop {
            let (mut line, mut length) = (String::new(), 0);
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
            let mut header = String::new();
            while reader.read_line(&mut header)? > 2 {
                if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap_or(0);
                }
                header.clear();
            }
            std::io::copy(&mut (&mut reader).take(length), &mut std::io::sink())?;
            self.await_change(&target);
            let (status, body) = self.answer(&target);
            let index = self.index.load(Relaxed) + 1;
            // In one piece, so that nobody waits for an acknowledgement.
            let answer = format!(
                "HTTP/1.1 {status} Scripted\r\nX-Consul-Index: {index}\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            connection.write_all(answer.as_bytes())?;
        }
    }

    /// A query with an index waits until there is a larger one.
    fn await_change(&self, target: &str) {
        let Some(index) = target.split("index=").nth(1).and_then(|rest| rest.split('&').next()) else {
            return;
        };
        let index: usize = index.parse().unwrap();
        for _ in 0..1_000 {
            if self.index.load(Relaxed) + 1 != index {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    fn answer(&self, target: &str) -> (u16, String) {
        self.asked.fetch_add(1, Relaxed);
        let path = target.split('?').next().unwrap_or_default();
        if path.starts_with("/v1/agent/service/register") && self.refuses_to_register.load(Relaxed) {
            return (400, "Invalid check: this agent takes no such thing".into());
        }
        if path.starts_with("/v1/kv/") && self.has_no_leader_for_keys.load(Relaxed) {
            return (500, "No cluster leader".into());
        }
        let services = self.services.lock();
        let body = match path.strip_prefix("/v1/health/service/") {
            Some(name) => {
                if *self.secret.lock() == name {
                    return (403, "Permission denied".into());
                }
                let mut failing = self.fails_once.lock();
                if let Some(at) = failing.iter().position(|fails| fails == name) {
                    failing.remove(at);
                    return (500, "scripted".into());
                }
                json!(services.get(name).cloned().unwrap_or_default())
            }
            None if path == "/v1/health/state/any" => {
                json!(services.values().flatten().map(|row| row["Checks"][0].clone()).collect::<Vec<_>>())
            }
            None if path == "/v1/catalog/services" => {
                json!(services.keys().map(|name| (name.clone(), json!([]))).collect::<HashMap<_, _>>())
            }
            None if path.starts_with("/v1/kv/") => {
                use base64::Engine;
                let aside = base64::prelude::BASE64_STANDARD.encode(r#"{"version":"1.0","protocol":"grpc"}"#);
                json!([{"Key": "laravel-go/services/orders/orders-1/metadata", "Value": aside}])
            }
            None => Value::Null,
        };
        (200, body.to_string())
    }
}

#[test]
fn kv_without_leader_keeps_versions() {
    let agent = Arc::new(Agent::default());
    agent.put("orders", 80, "passing");
    let plum = client(&format!("consul://{}", agent.start()), json!({}));
    let version = || plum.discover("orders").unwrap().first().map(|found| found.version.clone());
    assert_eq!(version().as_deref(), Some("1.0"));
    agent.has_no_leader_for_keys.store(true, Relaxed);
    agent.put("orders", 80, "passing");
    stays("the version is known", Duration::from_millis(500), || version().as_deref() == Some("1.0"));
    assert_eq!(plum.discover("orders").unwrap()[0].protocol, "grpc");
}

#[test]
fn refused_registration_does_not_switch_agents() {
    let (first, second) = (Arc::new(Agent::default()), Arc::new(Agent::default()));
    first.refuses_to_register.store(true, Relaxed);
    second.refuses_to_register.store(true, Relaxed);
    let both = format!("consul://{},{}", first.start(), second.start());
    let plum = client(&both, json!({"registration": {"wait_listening": "0s"}}));
    let me = plum.register(Instance::new("orders", 80).host("127.0.0.1")).unwrap();
    until("the refusal is heard", SOON, || me.state() == RegistrationState::Refused);
    let error = me.last_error().unwrap();
    assert_eq!(error.kind(), Kind::InvalidArgument);
    assert!(error.message().contains("takes no such thing"), "{error}");
    assert_eq!(second.asked.load(Relaxed), 0);
}

#[test]
fn failed_read_among_many_services_is_retried() {
    let agent = Arc::new(Agent::default());
    let names: Vec<String> = (0..120).map(|n| format!("s{n:03}")).collect();
    names.iter().for_each(|name| agent.put(name, 80, "passing"));
    let plum = client(&format!("consul://{}", agent.start()), json!({}));
    let watches: Vec<_> = names.iter().map(|name| plum.watch(name).unwrap()).collect();
    let is_well = |name: &String| plum.discover(name.as_str()).is_ok_and(|found| found.len() == 1);
    until("all are seen", SOON, || names.iter().all(is_well));
    agent.fails_once.lock().push(names[60].clone());
    agent.put(&names[60], 80, "critical");
    agent.put(&names[110], 80, "critical");
    until("the one whose reading failed", 2 * SOON, || !is_well(&names[60]));
    until("the one behind it", 2 * SOON, || !is_well(&names[110]));
    drop(watches);
}

#[test]
fn unreadable_service_does_not_affect_others() {
    let agent = Arc::new(Agent::default());
    agent.put("orders", 80, "passing");
    "secret".clone_into(&mut agent.secret.lock());
    let address = format!("consul://{}", agent.start());
    let losses = |plum: &plumline::Client| plum.stats().unwrap().cache.registries[0].losses;
    let plum = client(&address, json!({}));
    let watch = plum.watch("orders").unwrap();
    until("it is read", SOON, || plum.discover("orders").is_ok_and(|found| found.len() == 1));
    let asked = agent.asked.load(Relaxed);
    let secret = plum.watch("secret").unwrap();
    until("the other one is asked for", SOON, || agent.asked.load(Relaxed) > asked + 1);
    stays("the registry is up", Duration::from_secs(2), || losses(&plum) == 0);
    let poor = client(&address, json!({}));
    let only = poor.watch("secret").unwrap();
    until("whoever may read nothing hears of it", SOON, || losses(&poor) == 1);
    drop((watch, secret, only));
}
