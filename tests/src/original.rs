//! A stand-in for the original controller: its contract for registrations and discovery, and nothing of ours.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use percent_encoding::percent_decode_str;
use plumline::sync::Mutex;
use serde_json::{Value, json};

/// A running stand-in.
pub struct Original {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    ttl: Duration,
    rows: Mutex<BTreeMap<Identity, Row>>,
    log: Mutex<Vec<String>>,
    ended: AtomicBool,
    /// How long each answer to a registration is held back.
    hold: Mutex<Duration>,
}

type Identity = (String, String, String, u64, String);

struct Row {
    version: String,
    labels: Value,
    healthy: bool,
    seen: Instant,
}

impl Original {
    /// Starts one on a free port.
    pub fn start(ttl: Duration) -> Original {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            ttl,
            rows: Mutex::default(),
            log: Mutex::default(),
            ended: AtomicBool::new(false),
            hold: Mutex::default(),
        });
        let served = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if served.ended.load(Ordering::Relaxed) {
                    return;
                }
                let state = served.clone();
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        Original { address, state }
    }

    /// `plum://…`
    pub fn plum(&self) -> String {
        format!("plum://{}", self.address)
    }

    /// Forgets everything, as a restart does.
    pub fn forget_everything(&self) {
        self.state.rows.lock().clear();
    }

    /// Holds back every answer to a registration this long.
    pub fn hold(&self, hold: Duration) {
        *self.state.hold.lock() = hold;
    }

    /// The ports it would hand out for a service.
    pub fn listed(&self, service: &str) -> Vec<u16> {
        let rows = self.state.rows.lock();
        let listed = rows.iter().filter(|((name, ..), row)| name == service && self.state.usable(row));
        listed.map(|((_, _, _, port, _), _)| u16::try_from(*port).unwrap()).collect()
    }

    /// Every row of a service, the unhealthy ones included: port and version.
    pub fn rows(&self, service: &str) -> Vec<(u64, String, bool)> {
        let rows = self.state.rows.lock();
        let of_it = rows.iter().filter(|((name, ..), _)| name == service);
        of_it.map(|((_, _, _, port, _), row)| (*port, row.version.clone(), row.healthy)).collect()
    }

    /// The requests it has seen, such as `GET /healthz`.
    pub fn log(&self) -> Vec<String> {
        self.state.log.lock().clone()
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut stream: TcpStream, state: &State) {
    let mut text = Vec::new();
    while let Some((method, target, body)) = read(&mut stream, &mut text) {
        if state.ended.load(Ordering::Relaxed) {
            return;
        }
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        state.log.lock().push(format!("{method} {target}"));
        let (status, answer) = state.answer(&method, path, &pairs(query), &body);
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", answer.len());
        if stream.write_all(format!("{head}{answer}").as_bytes()).is_err() {
            return;
        }
    }
}

fn read(stream: &mut TcpStream, text: &mut Vec<u8>) -> Option<(String, String, Value)> {
    loop {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut fields);
        if let Ok(httparse::Status::Complete(head)) = request.parse(text) {
            let length =
                request.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
            let length = length.map_or(0, |field| std::str::from_utf8(field.value).unwrap().parse().unwrap());
            if text.len() >= head + length {
                let (method, path) = (request.method.unwrap().to_owned(), request.path.unwrap().to_owned());
                let body = serde_json::from_slice(&text[head..head + length]).unwrap_or(Value::Null);
                text.drain(..head + length);
                return Some((method, path, body));
            }
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece) {
            Ok(length) if length > 0 => text.extend_from_slice(&piece[..length]),
            _ => return None,
        }
    }
}

fn pairs(query: &str) -> BTreeMap<String, String> {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let pair = |pair: &str| pair.split_once('=').map(|(name, value)| (decode(name), decode(value)));
    query.split('&').filter_map(pair).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl State {
    fn usable(&self, row: &Row) -> bool {
        row.healthy && row.seen.elapsed() <= self.ttl
    }

    fn answer(
        &self,
        method: &str,
        path: &str,
        query: &BTreeMap<String, String>,
        body: &Value,
    ) -> (u16, String) {
        match (method, path) {
            ("GET", "/healthz") => (200, "ok".into()),
            ("GET", "/v1/services/list") => (200, json!(self.names()).to_string()),
            ("GET", "/v1/discovery") => (200, self.discover(query).to_string()),
            ("POST", "/v1/services/register") => {
                std::thread::sleep(*self.hold.lock());
                self.register(body);
                (204, String::new())
            }
            ("POST", "/v1/services/heartbeat") => {
                self.heartbeat(body);
                (204, String::new())
            }
            ("DELETE", "/v1/services/endpoint") => {
                let of = |name: &str| query.get(name).cloned().unwrap_or_default();
                let port = of("port").parse().unwrap_or_default();
                let identity = (of("serviceName"), of("instanceId"), of("ip"), port, of("protocol"));
                self.rows.lock().remove(&identity);
                (204, String::new())
            }
            _ => (404, "404 page not found\n".into()),
        }
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.rows.lock().keys().map(|(name, ..)| name.clone()).collect();
        names.dedup();
        names
    }

    fn discover(&self, query: &BTreeMap<String, String>) -> Value {
        let (service, all) = (&query["service"], query.contains_key("all"));
        let rows = self.rows.lock();
        let wanted = rows.iter().filter(|((name, ..), row)| name == service && (all || self.usable(row)));
        let shown = wanted.map(|((service, instance, ip, port, protocol), row)| {
            json!({ "serviceName": service, "instanceId": instance, "nodeId": "manual", "ip": ip, "port": port,
                "protocol": protocol, "version": row.version, "labels": row.labels, "healthy": row.healthy,
                "lastSeen": 1 })
        });
        shown.collect()
    }

    fn register(&self, body: &Value) {
        for endpoint in body["endpoints"].as_array().into_iter().flatten() {
            let identity = (
                text(&endpoint["serviceName"]),
                text(&body["instanceId"]),
                text(&body["ip"]),
                endpoint["port"].as_u64().unwrap_or_default(),
                text(&endpoint["protocol"]),
            );
            let row = Row {
                version: text(&endpoint["version"]),
                labels: endpoint["labels"].clone(),
                healthy: true,
                seen: Instant::now(),
            };
            self.rows.lock().insert(identity, row);
        }
    }

    fn heartbeat(&self, body: &Value) {
        for health in body["health"].as_array().into_iter().flatten() {
            let identity = (
                text(&health["serviceName"]),
                text(&body["instanceId"]),
                text(&health["ip"]),
                health["port"].as_u64().unwrap_or_default(),
                text(&health["protocol"]),
            );
            if let Some(row) = self.rows.lock().get_mut(&identity) {
                row.healthy = health["healthy"].as_bool().unwrap_or_default();
                row.seen = Instant::now();
            }
        }
    }
}
