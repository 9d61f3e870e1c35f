//! Helpers of the tests: a small blocking HTTP client that shows the raw response, and controllers to send requests to.
//! The tests of the `plumline` command (`cli/tests`) include this file too.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

#[path = "../../../tests/src/patience.rs"]
mod patience;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use patience::patience;
use plumline_controller::{Config, Controller};
use serde_json::Value;

/// A response as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpResponse {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl HttpResponse {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a text")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }
}

/// One connection, kept alive between requests.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a read timeout");
        stream.set_nodelay(true).expect("no delay");
        Self { stream: BufReader::new(stream) }
    }

    pub fn send(&mut self, method: &str, path: &str, body: &[u8], headers: &str) {
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: controller\r\nContent-Length: {length}\r\n{headers}\r\n"
        );
        let stream = self.stream.get_mut();
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).expect("a request sent");
    }

    pub fn receive(&mut self) -> HttpResponse {
        let head = self.receive_head();
        let length = head.header("content-length").map_or(0, |length| length.parse().expect("a length"));
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("a body");
        HttpResponse { body, ..head }
    }

    pub fn receive_head(&mut self) -> HttpResponse {
        let status_line = self.receive_line();
        let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut headers = Vec::new();
        loop {
            let line = self.receive_line();
            let Some((name, value)) = line.split_once(": ") else { break };
            headers.push((name.to_owned(), value.to_owned()));
        }
        let status = status.unwrap_or_else(|| panic!("no status in {status_line:?}"));
        HttpResponse { status, headers, body: Vec::new() }
    }

    pub fn receive_line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    pub fn request(&mut self, method: &str, path: &str, body: &[u8]) -> HttpResponse {
        self.send(method, path, body, "");
        self.receive()
    }

    pub fn get(&mut self, path: &str) -> HttpResponse {
        self.request("GET", path, b"")
    }

    pub fn delete(&mut self, path: &str) -> HttpResponse {
        self.request("DELETE", path, b"")
    }

    pub fn post(&mut self, path: &str, body: &Value) -> HttpResponse {
        self.request("POST", path, body.to_string().as_bytes())
    }

    /// The endpoints that discovery lists.
    pub fn discover(&mut self, service: &str) -> Vec<Value> {
        let response = self.get(&format!("/v1/discovery?service={service}"));
        response.json().as_array().expect("a list").clone()
    }

    /// Registers one endpoint without a probe.
    pub fn register(&mut self, service: &str, instance: &str, port: u16) {
        let response =
            self.post("/v1/services/register?replace=true", &registration(service, instance, port));
        assert_eq!(response.status, 204);
    }

    /// Whether the controller closes the connection within this time, whatever it sends before.
    pub fn closes_within(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut rest = [0; 1024];
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.stream.get_ref().set_read_timeout(Some(left)).expect("a read timeout");
            match self.stream.read(&mut rest) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return true,
                Err(_) => return false,
            }
        }
        false
    }

    pub fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }
}

/// A register body with one endpoint.
pub fn registration(service: &str, instance: &str, port: u16) -> Value {
    serde_json::json!({
        "instanceId": instance, "nodeId": "n1", "ip": "127.0.0.1",
        "endpoints": [{ "serviceName": service, "port": port, "protocol": "http", "version": "v1", "labels": null }],
    })
}

/// A controller on a free port.
pub fn controller(config: Config) -> Controller {
    Controller::start(config.listen(([127, 0, 0, 1], 0).into())).expect("a controller")
}

/// Waits until the condition holds; fails after 5 s times [`patience()`].
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let limit = Duration::from_secs(5) * patience();
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
