//! Puts a running controller under pressure.
//!
//! One thread drives 50 connections: it writes one request on each, then collects the answers. The latency
//! of a request is thus the time from its writing to the reading of its answer, with 50 under way. The watch row
//! opens 1,000 long polls on one service, changes it, and waits for all of them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use plumline_wire::digest::{DigestRow, digest, to_hex};

const CONNECTIONS: usize = 50;
const INSTANCES: usize = 10_000;
const PER_SERVICE: usize = 50;
const WATCHERS: usize = 1_000;
const BATCH: usize = 100;

/// What one kind of request came to.
pub struct Borne {
    /// What was asked.
    pub name: &'static str,
    /// How often in a second; 0 where that is not what was measured.
    pub rate: f64,
    /// How long each took.
    pub latencies: Vec<Duration>,
}

/// Puts the controller at this address under pressure, each kind of request for so long.
pub fn press(address: SocketAddr, time: Duration) -> std::io::Result<Vec<Borne>> {
    let mut load = Load::open(address)?;
    let registrations =
        requests(INSTANCES, |number| post("/v1/services/register?replace=true", &register(number)));
    load.once(&registrations)?;
    let beats = requests(INSTANCES, |number| post("/v1/services/heartbeat", &heartbeat(number)));
    let looks = requests(INSTANCES / PER_SERVICE, |number| {
        get(&format!("/v1/discovery?service={}", service(number)))
    });
    let batches = requests(INSTANCES / BATCH, |number| post("/v1/services/heartbeats", &batch(number)));
    let moves: Vec<_> =
        (0..10).flat_map(|round| requests(INSTANCES, move |number| changed(number, round))).collect();
    Ok(vec![
        load.run("heartbeats", &beats, time, 1)?,
        load.run("discoveries of 50", &looks, time, 1)?,
        load.run("registrations", &registrations, time, 1)?,
        load.run("registrations that change something", &moves, time, 1)?,
        load.run("instances beaten, by 100", &batches, time, BATCH)?,
        Borne { name: "one change, 1,000 watchers", rate: 0.0, latencies: watch(address)? },
    ])
}

fn requests(count: usize, make: impl Fn(usize) -> Vec<u8>) -> Vec<Vec<u8>> {
    (0..count).map(make).collect()
}

struct Load {
    streams: Vec<TcpStream>,
    buffer: Vec<u8>,
}

impl Load {
    fn open(address: SocketAddr) -> std::io::Result<Self> {
        let open =
            |_| TcpStream::connect(address).and_then(|stream| stream.set_nodelay(true).map(|()| stream));
        let streams = (0..CONNECTIONS).map(open).collect::<Result<_, _>>()?;
        Ok(Self { streams, buffer: vec![0; 1 << 20] })
    }

    fn once(&mut self, requests: &[Vec<u8>]) -> std::io::Result<()> {
        requests.chunks(CONNECTIONS).try_for_each(|round| self.round(round.iter(), &mut Vec::new()))
    }

    fn run(
        &mut self,
        name: &'static str,
        requests: &[Vec<u8>],
        time: Duration,
        each: usize,
    ) -> std::io::Result<Borne> {
        let (begin, mut latencies, mut next) = (Instant::now(), Vec::new(), requests.iter().cycle());
        while begin.elapsed() < time {
            self.round(next.by_ref().take(CONNECTIONS), &mut latencies)?;
        }
        let rate = (latencies.len() * each) as f64 / begin.elapsed().as_secs_f64();
        Ok(Borne { name, rate, latencies })
    }

    fn round<'a>(
        &mut self,
        requests: impl Iterator<Item = &'a Vec<u8>>,
        latencies: &mut Vec<Duration>,
    ) -> std::io::Result<()> {
        let mut sent = Vec::with_capacity(CONNECTIONS);
        for (stream, request) in self.streams.iter_mut().zip(requests) {
            sent.push(Instant::now());
            stream.write_all(request)?;
        }
        for (stream, sent) in self.streams.iter_mut().zip(sent) {
            read_answer(stream, &mut self.buffer)?;
            latencies.push(sent.elapsed());
        }
        Ok(())
    }
}

/// Reads one answer and checks that it is a success.
fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> std::io::Result<()> {
    let mut filled = 0;
    loop {
        filled += stream.read(&mut buffer[filled..])?;
        let head = buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n");
        let Some(head) = head else { continue };
        let text = std::str::from_utf8(&buffer[..head]).map_err(std::io::Error::other)?;
        if !text.starts_with("HTTP/1.1 20") {
            return Err(std::io::Error::other(text.to_owned()));
        }
        let length = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
        let whole = head + 4 + length;
        if filled < whole {
            stream.read_exact(&mut buffer[filled..whole])?;
        }
        return Ok(());
    }
}

fn watch(address: SocketAddr) -> std::io::Result<Vec<Duration>> {
    let mut buffer = vec![0; 1 << 20];
    let body = format!(r#"{{"services":["{}"],"wait":"30s","since":"{}"}}"#, service(0), since(address)?);
    let mut all = Vec::new();
    for round in 0..5 {
        let body = if round == 0 { body.clone() } else { body.replace(&since_of(&body), &since(address)?) };
        let mut streams = Vec::new();
        for _ in 0..WATCHERS {
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(&post("/v1/watch", &body))?;
            streams.push(stream);
        }
        std::thread::sleep(Duration::from_millis(500));
        let mut changer = TcpStream::connect(address)?;
        let begin = Instant::now();
        changer.write_all(&changed(0, 100 + round))?;
        for stream in &mut streams {
            read_answer(stream, &mut buffer)?;
            all.push(begin.elapsed());
        }
    }
    Ok(all)
}

fn since_of(body: &str) -> String {
    body.split(r#""since":""#).nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned()
}

/// The present revision.
fn since(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(&post("/v1/watch", r#"{"services":["none"]}"#))?;
    let mut buffer = vec![0; 4096];
    let read = stream.read(&mut buffer)?;
    Ok(since_of(&String::from_utf8_lossy(&buffer[..read])))
}

fn post(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: controller\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: controller\r\n\r\n").into_bytes()
}

fn service(number: usize) -> String {
    format!("service-{number}")
}

fn register(number: usize) -> String {
    format!(
        r#"{{"instanceId":"instance-{number}","nodeId":"n1","ip":"10.0.0.7","endpoints":[{{"serviceName":"{}","port":{},"protocol":"http","version":"v1","labels":{{"env":"production"}}}}]}}"#,
        service(number / PER_SERVICE),
        10_000 + number
    )
}

fn changed(number: usize, round: usize) -> Vec<u8> {
    post("/v1/services/register?replace=true", &register(number).replace("\"v1\"", &format!("\"v{round}\"")))
}

fn heartbeat(number: usize) -> String {
    format!(
        r#"{{"instanceId":"instance-{number}","health":[{{"serviceName":"{}","ip":"10.0.0.7","port":{},"protocol":"http","healthy":true}}]}}"#,
        service(number / PER_SERVICE),
        10_000 + number
    )
}

fn batch(number: usize) -> String {
    let beat = |number: usize| {
        let labels = [("env".to_owned(), "production".to_owned())].into();
        let row = DigestRow {
            service: &service(number / PER_SERVICE),
            ip: "10.0.0.7",
            port: 10_000 + number as i64,
            protocol: "http",
            version: "v1",
            node: "n1",
            labels: Some(&labels),
        };
        format!(r#"{{"instanceId":"instance-{number}","digest":"{}"}}"#, to_hex(digest([row])))
    };
    let beats: Vec<_> = (number * BATCH..(number + 1) * BATCH).map(beat).collect();
    format!(r#"{{"instances":[{}]}}"#, beats.join(","))
}
