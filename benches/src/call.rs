//! A whole call against everything a Rust program could make it with instead.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use plumline::{Client, Config};

use crate::table::{Contender, Round, Row, compare, round_of};
use crate::{Server, cpu_time, pin_to};

const WARM_UP: usize = 2_000;
const CALLS: usize = 20_000;
const PATH: &str = "/items/7";

/// Client and server on one core, then once without pinning.
pub fn call_rust() -> Vec<Row> {
    let server = Server::start(Some(0));
    pin_to(0).expect("pinning to the first core");
    let mut rows = compare("call-rust", "µs", 3, contenders(server.port));
    let free = Server::start(None);
    crate::unpin();
    rows.extend(compare("call-rust-unpinned", "µs", 3, contenders(free.port)));
    rows
}

/// A call where the service has 1, 100 and 1,000 endpoints: all of them the same server, by different addresses.
pub fn many_endpoints() -> Vec<Row> {
    let server = Server::at(Some(0), 1_000);
    pin_to(0).expect("pinning to the first core");
    let port = server.port;
    let contender = |count: u32| -> Contender<'static> {
        (format!("plumline, {count} endpoints"), Box::new(move || time(&mut among(port, count))))
    };
    let rows = compare("many endpoints", "µs", 3, [1, 100, 1_000].map(contender).into());
    crate::unpin();
    rows
}

/// 127.0.0.1, 127.0.0.2, … are all this machine.
fn among(port: u16, count: u32) -> impl FnMut() {
    let hosts: Vec<String> =
        (1..=count).map(|n| format!("{}:{port}", std::net::Ipv4Addr::from(0x7f00_0000 + n))).collect();
    let config = serde_json::json!({ "registry": format!("static://{}", hosts.join(",")) });
    let plum = Client::with_config(Config::from_value(config).expect("a configuration")).expect("a client");
    let orders = plum.service("orders").expect("a handle");
    // Every connection is opened before the measurement.
    (0..count * 8).for_each(|_| drop(orders.get(PATH).expect("an answer")));
    move || assert_eq!(orders.get(PATH).expect("an answer").body().len(), crate::server::BODY.len())
}

fn contenders(port: u16) -> Vec<Contender<'static>> {
    vec![
        ("raw socket exchange (the floor)".into(), Box::new(move || time(&mut raw(port)))),
        ("plumline, bound handle".into(), Box::new(move || time(&mut bound(port)))),
        ("plumline, by name".into(), Box::new(move || time(&mut by_name(port)))),
        ("ureq tuned alike".into(), Box::new(move || time(&mut ureq_tuned(port)))),
        ("ureq as documented, with timeouts".into(), Box::new(move || time(&mut ureq_plain(port)))),
        ("reqwest blocking".into(), Box::new(move || time(&mut reqwest(port)))),
    ]
}

/// The call that those of other languages are held against.
pub fn plumline(port: u16) -> Contender<'static> {
    ("plumline from Rust, by name".into(), Box::new(move || time(&mut by_name(port))))
}

/// Calls, warm-up first; what each took.
fn time(call: &mut dyn FnMut()) -> Round {
    (0..WARM_UP).for_each(|_| call());
    let before = cpu_time();
    let samples = (0..CALLS)
        .map(|_| {
            let began = Instant::now();
            call();
            began.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    let cpu = cpu_time().checked_sub(before).unwrap().as_secs_f64() * 1e6 / CALLS as f64;
    round_of(samples, Some(cpu))
}

/// The same bytes as a client sends, and nothing looked at that comes back.
fn raw(port: u16) -> impl FnMut() {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("the bench server listens");
    socket.set_nodelay(true).expect("a socket option");
    let request = format!(
        "GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: raw/1.0\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n\r\n"
    );
    let mut answer = [0u8; 4096];
    move || {
        socket.write_all(request.as_bytes()).expect("a write");
        assert!(socket.read(&mut answer).expect("a read") > 100);
    }
}

fn client(port: u16) -> Client {
    let config = serde_json::json!({ "registry": format!("static://127.0.0.1:{port}") });
    Client::with_config(Config::from_value(config).expect("a configuration")).expect("a client")
}

fn bound(port: u16) -> impl FnMut() {
    let orders = client(port).service("orders").expect("a handle");
    move || assert_eq!(orders.get(PATH).expect("an answer").body().len(), crate::server::BODY.len())
}

fn by_name(port: u16) -> impl FnMut() {
    let plum = client(port);
    move || assert_eq!(plum.get("orders", PATH).expect("an answer").body().len(), crate::server::BODY.len())
}

/// One agent per endpoint, small buffers, no resolver thread: what Plumline asks of its own transport.
fn ureq_tuned(port: u16) -> impl FnMut() {
    #[derive(Debug)]
    struct Known(std::net::SocketAddr);
    impl ureq::unversioned::resolver::Resolver for Known {
        fn resolve(
            &self,
            _: &ureq::http::Uri,
            _: &ureq::config::Config,
            _: ureq::unversioned::transport::NextTimeout,
        ) -> Result<ureq::unversioned::resolver::ResolvedSocketAddrs, ureq::Error> {
            let mut found = self.empty();
            found.push(self.0);
            Ok(found)
        }
    }
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(10)))
        .timeout_connect(Some(Duration::from_secs(1)))
        .max_redirects(0)
        .proxy(None)
        .http_status_as_error(false)
        .input_buffer_size(16 << 10)
        .output_buffer_size(16 << 10)
        .build();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let connector = ureq::unversioned::transport::DefaultConnector::default();
    let agent = ureq::Agent::with_parts(config, connector, Known(address));
    ureq_get(agent, port)
}

fn ureq_plain(port: u16) -> impl FnMut() {
    let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(10))).build();
    ureq_get(config.into(), port)
}

fn ureq_get(agent: ureq::Agent, port: u16) -> impl FnMut() {
    let url = format!("http://127.0.0.1:{port}{PATH}");
    move || {
        let body = agent.get(&url).call().expect("an answer").body_mut().read_to_vec().expect("a body");
        assert_eq!(body.len(), crate::server::BODY.len());
    }
}

fn reqwest(port: u16) -> impl FnMut() {
    let client = reqwest::blocking::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build();
    let client = client.expect("a client");
    let url = format!("http://127.0.0.1:{port}{PATH}");
    move || {
        let body = client.get(&url).send().expect("an answer").bytes().expect("a body");
        assert_eq!(body.len(), crate::server::BODY.len());
    }
}
