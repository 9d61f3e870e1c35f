//! A stand-in for Nacos itself, as far as its clients notice: what one connection registers of a service is one set.
//! It does what it is told to, and keeps what it heard.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use bytes::{Bytes, BytesMut};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Response};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// A server.
pub struct Server {
    http: u16,
    state: Arc<Mutex<State>>,
    _ends: tokio::sync::oneshot::Sender<()>,
}

/// What it knows.
#[derive(Default)]
pub struct State {
    connections: u64,
    /// Everything that was said to it: by which connection, what, and the body.
    pub heard: Vec<(u64, String, Value)>,
    /// What each connection has registered of a service.
    pub sets: BTreeMap<(u64, String), Vec<Value>>,
    subscribed: BTreeSet<(u64, String)>,
    streams: BTreeMap<u64, UnboundedSender<(String, Value)>>,
    /// Connections that it does not know any more.
    forgotten: BTreeSet<u64>,
    /// Ports that somebody has switched off.
    pub switched_off: BTreeSet<u64>,
    /// What is answered with a failure, and how often: by the message or its `type`, and by the service or "".
    pub refusals: Vec<Refusal>,
    /// Each page of names is full, and none is the last.
    pub lists_without_end: bool,
    /// Whether it takes 1024 characters of metadata only.
    pub checks_metadata: bool,
    clock: i64,
}

fn length_of(metadata: &Value) -> usize {
    let rows = metadata.as_object().into_iter().flatten();
    rows.map(|(name, value)| name.len() + value.as_str().map_or(0, str::len)).sum()
}

/// Something that it does not do.
pub struct Refusal {
    /// The message's type, or what its body says for one.
    pub what: &'static str,
    /// The only service that it is about; empty: any.
    pub service: &'static str,
    /// What it answers: `errorCode`.
    pub code: u16,
    /// So many times.
    pub times: usize,
}

impl Server {
    /// Starts one, on a port whose companion is free.
    pub fn start() -> Server {
        let (http, listener) = loop {
            let http = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let companion = http.checked_add(1000).map(|port| TcpListener::bind(("127.0.0.1", port)));
            if let Some(Ok(listener)) = companion {
                break (http, listener);
            }
        };
        let state = Arc::new(Mutex::new(State { clock: 1_000, ..State::default() }));
        let (ends, ended) = tokio::sync::oneshot::channel();
        let shared = state.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                listener.set_nonblocking(true).unwrap();
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                tokio::select! { () = serve(listener, shared) => {} _ = ended => {} }
            });
        });
        Server { http, state, _ends: ends }
    }

    pub fn address(&self) -> String {
        format!("nacos://127.0.0.1:{}", self.http)
    }

    pub fn port(&self) -> u16 {
        self.http
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The sorted ports of a service, all connections together.
    pub fn listed(&self, service: &str) -> Vec<u64> {
        let state = self.state();
        let mut ports: Vec<u64> =
            state.hosts(service).iter().map(|host| host["port"].as_u64().unwrap()).collect();
        ports.sort_unstable();
        ports
    }

    /// How often something was said since then.
    pub fn count(&self, kind: &str, since: usize) -> usize {
        self.state().heard[since..].iter().filter(|(_, said, _)| said == kind).count()
    }

    /// Asks every client something.
    pub fn ask_all(&self, kind: &str, body: &Value) {
        for stream in self.state().streams.values() {
            stream.send((kind.to_owned(), body.clone())).unwrap();
        }
    }

    /// Tells everybody something of a service, as of a time.
    pub fn push(&self, service: &str, hosts: &Value, at: i64) {
        let info = json!({"name": service, "groupName": "DEFAULT_GROUP", "hosts": hosts, "lastRefTime": at});
        self.ask_all("NotifySubscriberRequest", &json!({"requestId": "p", "serviceInfo": info}));
    }

    /// Knows nobody any more.
    pub fn forget_all(&self) {
        let mut state = self.state();
        state.sets.clear();
        state.forgotten = (0..=state.connections).collect();
    }
}

impl State {
    fn hosts(&self, service: &str) -> Vec<Value> {
        let of = self.sets.iter().filter(|((_, name), _)| name == service);
        let hosts = of.flat_map(|(_, hosts)| hosts.clone());
        hosts.filter(|host| !self.switched_off.contains(&host["port"].as_u64().unwrap())).collect()
    }

    fn info(&self, service: &str) -> Value {
        json!({"name": service, "groupName": "DEFAULT_GROUP", "clusters": "", "hosts": self.hosts(service),
               "lastRefTime": self.clock, "allIps": false, "valid": true})
    }

    /// The service is another one: whoever has subscribed is told.
    fn changed(&mut self, service: &str) {
        self.clock += 1;
        let body = json!({"requestId": "n", "module": "naming", "serviceInfo": self.info(service)});
        for (connection, _) in self.subscribed.iter().filter(|(_, name)| name == service) {
            if let Some(stream) = self.streams.get(connection) {
                // It may have gone.
                let _ = stream.send(("NotifySubscriberRequest".into(), body.clone()));
            }
        }
    }

    fn ended(&mut self, connection: u64) {
        self.streams.remove(&connection);
        self.subscribed.retain(|(by, _)| *by != connection);
        let gone: Vec<_> = self.sets.keys().filter(|(by, _)| *by == connection).cloned().collect();
        for key in gone {
            self.sets.remove(&key);
            self.changed(&key.1);
        }
    }

    fn answer(&mut self, connection: u64, kind: &str, body: &Value) -> (String, Value) {
        let mut answer = json!({"resultCode": 200, "errorCode": 0, "success": true});
        let is_known = self.streams.contains_key(&connection) && !self.forgotten.contains(&connection);
        if kind != "ServerCheckRequest" && !is_known {
            let refusal = json!({"resultCode": 500, "errorCode": 301, "success": false,
                                 "message": "Connection is unregistered."});
            return ("ErrorResponse".into(), refusal);
        }
        let service = body["serviceName"].as_str().unwrap_or_default().to_owned();
        let kind_of_it = body["type"].as_str().unwrap_or_default();
        let is_meant = |refusal: &&mut Refusal| {
            refusal.times > 0
                && (refusal.what == kind || refusal.what == kind_of_it)
                && (refusal.service.is_empty() || refusal.service == service)
        };
        if let Some(refusal) = self.refusals.iter_mut().find(is_meant) {
            refusal.times -= 1;
            let refused = json!({"resultCode": 500, "errorCode": refusal.code, "success": false,
                                 "message": "as scripted"});
            return ("ErrorResponse".into(), refused);
        }
        let rows = body["instances"].as_array().cloned().unwrap_or_else(|| vec![body["instance"].clone()]);
        if self.checks_metadata && rows.iter().any(|row| length_of(&row["metadata"]) > 1024) {
            let refused = json!({"resultCode": 500, "errorCode": 400, "success": false,
                                 "message": "Param 'Metadata' is illegal"});
            return ("ErrorResponse".into(), refused);
        }
        let key = (connection, service.clone());
        match (kind, kind_of_it) {
            ("ServerCheckRequest", _) => answer["connectionId"] = connection.to_string().into(),
            ("InstanceRequest", "registerInstance") => {
                self.sets.insert(key, vec![body["instance"].clone()]);
                self.changed(&service);
            }
            ("InstanceRequest", _) => {
                self.sets.remove(&key);
                self.changed(&service);
            }
            ("BatchInstanceRequest", _) => {
                self.sets.insert(key, body["instances"].as_array().unwrap().clone());
                self.changed(&service);
            }
            ("SubscribeServiceRequest", _) => {
                if body["subscribe"] == true {
                    self.subscribed.insert(key);
                } else {
                    self.subscribed.remove(&key);
                }
                answer["serviceInfo"] = self.info(&service);
            }
            ("ServiceQueryRequest", _) => answer["serviceInfo"] = self.info(&service),
            ("ServiceListRequest", _) => {
                if self.lists_without_end {
                    answer["count"] = i64::MAX.into();
                    answer["serviceNames"] = json!(vec!["again"; 500]);
                    return ("ServiceListResponse".into(), answer);
                }
                let names: BTreeSet<&String> = self.sets.keys().map(|(_, name)| name).collect();
                answer["count"] = names.len().into();
                answer["serviceNames"] = json!(names);
            }
            _ => {}
        }
        (kind.replace("ServiceQueryRequest", "QueryServiceRequest").replace("Request", "Response"), answer)
    }
}

// === gRPC, as little of it as there is ===

async fn serve(listener: tokio::net::TcpListener, state: Arc<Mutex<State>>) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let state = state.clone();
        tokio::spawn(async move {
            let Ok(mut peer) = h2::server::handshake(socket).await else { return };
            let connection = {
                let mut state = state.lock().unwrap();
                state.connections += 1;
                state.connections
            };
            while let Some(Ok((request, respond))) = peer.accept().await {
                let (is_stream, body) =
                    (request.uri().path().ends_with("requestBiStream"), request.into_body());
                let state = state.clone();
                if is_stream {
                    tokio::spawn(follow(state, connection, body, respond));
                } else {
                    tokio::spawn(answer(state, connection, body, respond));
                }
            }
            state.lock().unwrap().ended(connection);
        });
    }
}

type Respond = h2::server::SendResponse<Bytes>;

fn begin(respond: &mut Respond) -> Option<SendStream<Bytes>> {
    let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    respond.send_response(head, false).ok()
}

async fn answer(state: Arc<Mutex<State>>, connection: u64, body: RecvStream, mut respond: Respond) {
    let mut inbox = Inbox { body, rest: BytesMut::new() };
    let Some((kind, body)) = inbox.next().await else { return };
    let (kind, body) = {
        let mut state = state.lock().unwrap();
        state.heard.push((connection, kind.clone(), body.clone()));
        state.answer(connection, &kind, &body)
    };
    // Whoever asked may have gone.
    if let Some(mut stream) = begin(&mut respond) {
        let _ = stream.send_data(frame(&kind, &body), false);
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let _ = stream.send_trailers(trailers);
    }
}

async fn follow(state: Arc<Mutex<State>>, connection: u64, body: RecvStream, mut respond: Respond) {
    let mut inbox = Inbox { body, rest: BytesMut::new() };
    let (tell, mut told) = unbounded_channel::<(String, Value)>();
    let mut stream = None;
    loop {
        tokio::select! {
            heard = inbox.next() => {
                let Some((kind, body)) = heard else { return };
                let mut state = state.lock().unwrap();
                if kind == "ConnectionSetupRequest" {
                    state.streams.insert(connection, tell.clone());
                }
                state.heard.push((connection, kind, body));
            }
            Some((kind, body)) = told.recv() => {
                // As Nacos does: not even the head before there is something to say.
                if stream.is_none() {
                    stream = begin(&mut respond);
                }
                let Some(stream) = &mut stream else { return };
                if stream.send_data(frame(&kind, &body), false).is_err() {
                    return;
                }
            }
        }
    }
}

/// Messages as they come in.
struct Inbox {
    body: RecvStream,
    rest: BytesMut,
}

impl Inbox {
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some(length) = self.rest.get(1..5) {
                let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
                if self.rest.len() >= 5 + length {
                    let message = self.rest.split_to(5 + length);
                    let payload = fields(&message[5..]);
                    let kind = fields(&payload[&2])[&3].clone();
                    let body = fields(&payload[&3])[&2].clone();
                    return Some((String::from_utf8(kind).unwrap(), serde_json::from_slice(&body).unwrap()));
                }
            }
            let data = self.body.data().await?.ok()?;
            self.body.flow_control().release_capacity(data.len()).unwrap();
            self.rest.extend_from_slice(&data);
        }
    }
}

fn frame(kind: &str, body: &Value) -> Bytes {
    let metadata = field(3, kind.as_bytes());
    let body = field(2, body.to_string().as_bytes());
    let payload = [field(2, &metadata), field(3, &body)].concat();
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[0], &length[..], &payload].concat().into()
}

/// A field of bytes, as protocol buffers write it.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut written = vec![number << 3 | 2];
    let mut left = bytes.len();
    while left >= 0x80 {
        written.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    written.push(left as u8);
    written.extend_from_slice(bytes);
    written
}

/// The fields of a message, all of which are bytes.
fn fields(mut bytes: &[u8]) -> BTreeMap<u8, Vec<u8>> {
    let mut fields = BTreeMap::new();
    while let [tag, after @ ..] = bytes {
        let end = after.iter().position(|byte| byte & 0x80 == 0).unwrap();
        let length =
            after[..=end].iter().rev().fold(0, |length, byte| length << 7 | usize::from(byte & 0x7f));
        let (value, rest) = after[end + 1..].split_at(length);
        fields.insert(tag >> 3, value.to_vec());
        bytes = rest;
    }
    fields
}
