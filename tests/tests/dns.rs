//! What a real name server does not do: one that lies, stammers or says nothing, played by a script.

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use plumline::sync::Mutex;
use plumline::{Client, Kind};
use plumline_tests::{client, stays, until, within};
use serde_json::json;

const SOON: Duration = Duration::from_secs(5);

/// What the server sends, one datagram after the other, for a question.
type Script = Box<dyn Fn(&Question<'_>) -> Vec<Vec<u8>> + Send>;

/// A question as it came.
struct Question<'a> {
    bytes: &'a [u8],
    /// Where the question ends and what belongs to EDNS begins.
    end: usize,
}

impl Question<'_> {
    fn name(&self) -> String {
        let mut labels = Vec::new();
        let mut at = 12;
        while self.bytes[at] > 0 {
            let next = at + 1 + usize::from(self.bytes[at]);
            labels.push(String::from_utf8_lossy(&self.bytes[at + 1..next]).into_owned());
            at = next;
        }
        labels.join(".")
    }

    fn is_about_ipv4(&self) -> bool {
        self.bytes[self.end - 3] == 1
    }

    /// An answer with these flags and records; each record without its name, which is the question's.
    fn answer(&self, flags: u16, records: &[Vec<u8>]) -> Vec<u8> {
        let count = u16::try_from(records.len()).unwrap();
        let mut answer = self.bytes[..2].to_vec();
        for number in [flags, 1, count, 0, 0] {
            answer.extend(number.to_be_bytes());
        }
        answer.extend(&self.bytes[12..self.end]);
        for record in records {
            answer.extend([0xc0, 12]);
            answer.extend(record);
        }
        answer
    }

    /// One address for IPv4, nothing for IPv6, both for a second.
    fn well(&self, last: u8) -> Vec<u8> {
        let records = if self.is_about_ipv4() { vec![a(last)] } else { Vec::new() };
        self.answer(ANSWER, &records)
    }
}

const ANSWER: u16 = 0x8580;
const TRUNCATED: u16 = ANSWER | 0x0200;
const SERVFAIL: u16 = ANSWER | 2;
const REFUSED: u16 = ANSWER | 5;

/// `10.0.0.{last}` for a second.
fn a(last: u8) -> Vec<u8> {
    vec![0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 10, 0, 0, last]
}

/// A name server that follows a script, and can be given another one.
struct Liar {
    port: u16,
    script: Arc<Mutex<Script>>,
    asked: Arc<AtomicUsize>,
}

impl Liar {
    fn start(script: impl Fn(&Question<'_>) -> Vec<Vec<u8>> + Send + 'static) -> Liar {
        Liar::at(UdpSocket::bind("127.0.0.1:0").unwrap(), script)
    }

    fn at(socket: UdpSocket, script: impl Fn(&Question<'_>) -> Vec<Vec<u8>> + Send + 'static) -> Liar {
        let port = socket.local_addr().unwrap().port();
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Box::new(script)));
        let asked = Arc::new(AtomicUsize::new(0));
        let liar = Liar { port, script: script.clone(), asked: asked.clone() };
        // Ends with the process: it holds nothing but its port.
        std::thread::spawn(move || {
            let mut bytes = [0; 2_048];
            while let Ok((length, from)) = socket.recv_from(&mut bytes) {
                asked.fetch_add(1, Relaxed);
                let script = script.lock();
                for datagram in script(&read(&bytes[..length])) {
                    // Whoever asked may have gone.
                    let _ = socket.send_to(&datagram, from);
                }
            }
        });
        liar
    }

    fn now(&self, script: impl Fn(&Question<'_>) -> Vec<Vec<u8>> + Send + 'static) {
        *self.script.lock() = Box::new(script);
    }

    fn client(&self) -> Client {
        client(&format!("dns://127.0.0.1:{}/{{service}}.test.:80", self.port), json!({}))
    }
}

fn read(bytes: &[u8]) -> Question<'_> {
    let mut end = 12;
    while bytes[end] > 0 {
        end += 1 + usize::from(bytes[end]);
    }
    Question { bytes, end: end + 5 }
}

fn found(plum: &Client, service: &str) -> Vec<String> {
    plum.discover(service).unwrap().iter().map(|endpoint| endpoint.ip.to_string()).collect()
}

#[test]
fn ignores_responses_to_other_questions() {
    let liar = Liar::start(|question| {
        let right = question.well(1);
        let mut other_id = question.well(6);
        other_id[1] ^= 1;
        let mut other_name = question.well(7);
        other_name[13] ^= 1;
        let mut other_kind = question.well(8);
        other_kind[question.end - 3] = 16;
        let mut no_answer = question.well(9);
        no_answer[2] &= 0x7f;
        let cut = right[..right.len() - 2].to_vec();
        let cut = if question.is_about_ipv4() { cut } else { Vec::new() };
        let garbage = vec![0xff; 700];
        vec![Vec::new(), garbage, other_id, other_name, other_kind, no_answer, cut, right.clone(), right]
    });
    let plum = liar.client();
    assert_eq!(found(&plum, "orders"), ["10.0.0.1"]);
    let asked = liar.asked.load(Relaxed);
    until("it is asked anew", SOON, || liar.asked.load(Relaxed) >= asked + 6);
    assert_eq!(found(&plum, "orders"), ["10.0.0.1"]);
}

#[test]
fn rejects_circular_name_compression() {
    let circle = |at: usize| [0xc0 | (at >> 8) as u8, at as u8];
    let liar = Liar::start(move |question| {
        let mut datagram = question.answer(ANSWER, &[a(1)]);
        // The record's name points to itself.
        datagram.splice(question.end..question.end + 2, circle(question.end));
        vec![datagram]
    });
    let error = liar.client().discover("orders").unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout, "{error}");
    assert!(error.message().contains("did not answer the query for orders.test. A in time"), "{error}");
}

#[test]
fn silent_server_times_out_within_one_lookup() {
    let liar = Liar::start(|_| Vec::new());
    let limit = Duration::from_secs(3);
    let error = within("one lookup ends", limit, || liar.client().discover("orders").unwrap_err());
    assert_eq!(error.kind(), Kind::Timeout, "{error}");
    assert!(liar.asked.load(Relaxed) >= 4, "both kinds, twice");
}

#[test]
fn lost_datagram_is_resent() {
    let liar = Liar::start(|_| Vec::new());
    let count = Arc::new(AtomicUsize::new(0));
    liar.now(move |question| {
        let is_first = count.fetch_add(1, Relaxed) < 2;
        if is_first { Vec::new() } else { vec![question.well(1)] }
    });
    assert_eq!(found(&liar.client(), "orders"), ["10.0.0.1"]);
}

#[test]
fn failure_of_one_name_keeps_all_lists() {
    let liar = Liar::start(|question| vec![question.well(1)]);
    let plum = liar.client();
    let watches = ["orders", "billing"].map(|name| plum.watch(name).unwrap());
    for watch in &watches {
        assert_eq!(watch.next_within(SOON).unwrap().unwrap().endpoints.len(), 1);
    }
    for refusal in [SERVFAIL, REFUSED] {
        liar.now(move |question| {
            let is_broken = question.name() == "orders.test";
            vec![if is_broken { question.answer(refusal, &[]) } else { question.well(refusal as u8) }]
        });
        let change = watches[1].next_within(SOON).unwrap().expect("the other one changes");
        assert_eq!(change.endpoints[0].ip.to_string(), format!("10.0.0.{}", refusal as u8));
        let is_up = || plum.stats().unwrap().cache.registries[0].up;
        stays("the list stays, the server is well", Duration::from_secs(3), || {
            found(&plum, "orders") == ["10.0.0.1"] && is_up()
        });
    }
    liar.now(|question| vec![question.well(3)]);
    until("it is seen again", SOON, || found(&plum, "orders") == ["10.0.0.3"]);
}

#[test]
fn failed_aaaa_lookup_keeps_a_records() {
    let liar = Liar::start(|question| vec![question.well(1)]);
    let plum = liar.client();
    let _watch = plum.watch("orders").unwrap();
    until("it is seen", SOON, || found(&plum, "orders") == ["10.0.0.1"]);
    liar.now(|question| {
        let flags = if question.is_about_ipv4() { SERVFAIL } else { ANSWER };
        vec![question.answer(flags, &[])]
    });
    stays("the list stays", Duration::from_secs(3), || found(&plum, "orders") == ["10.0.0.1"]);
}

/// For datagrams and for connections: what is free for the one may be another test's for the other.
fn same_port() -> (UdpSocket, TcpListener) {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        if let Ok(socket) = UdpSocket::bind(listener.local_addr().unwrap()) {
            return (socket, listener);
        }
    }
}

/// A server whose datagrams all say "ask over TCP", and what it says there.
fn over_tcp(script: impl Fn(&Question<'_>) -> Vec<u8> + Send + 'static) -> (Client, Liar) {
    let (socket, listener) = same_port();
    let liar = Liar::at(socket, |question| vec![question.answer(TRUNCATED, &[])]);
    // Ends with the process: it holds nothing but its port.
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut length = [0; 2];
            if connection.read_exact(&mut length).is_err() {
                continue;
            }
            let mut bytes = vec![0; u16::from_be_bytes(length).into()];
            if connection.read_exact(&mut bytes).is_err() {
                continue;
            }
            // Whoever asked may have gone.
            let _ = connection.write_all(&script(&read(&bytes)));
        }
    });
    (liar.client(), liar)
}

/// What is sent instead of an answer.
type Nonsense = fn(&Question<'_>) -> Vec<u8>;

fn framed(message: Vec<u8>) -> Vec<u8> {
    [u16::try_from(message.len()).unwrap().to_be_bytes().to_vec(), message].concat()
}

#[test]
fn truncated_response_is_fetched_over_tcp() {
    let (plum, _liar) = over_tcp(|question| {
        let records: Vec<Vec<u8>> =
            if question.is_about_ipv4() { (1..=200).map(a).collect() } else { Vec::new() };
        framed(question.answer(ANSWER, &records))
    });
    assert_eq!(plum.discover("orders").unwrap().len(), 200);
}

#[test]
fn malformed_tcp_response_is_an_error() {
    let cases: [(Nonsense, &str); 5] = [
        (|question| framed(question.answer(TRUNCATED, &[])), "truncated even over TCP"),
        (|question| framed(question.answer(ANSWER, &[])[2..].to_vec()), "does not match the question"),
        (|_| b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "name server 127.0.0.1:"),
        (|question| framed(question.well(1))[..9].to_vec(), "name server 127.0.0.1:"),
        (|_| Vec::new(), "name server 127.0.0.1:"),
    ];
    for (script, says) in cases {
        let (plum, _liar) = over_tcp(script);
        let error = plum.discover("orders").unwrap_err();
        assert!(error.message().contains(says), "{error}");
    }
}

#[test]
fn unused_name_is_no_longer_resolved() {
    let liar = Liar::start(|question| vec![question.well(1)]);
    let plum = liar.client();
    assert_eq!(found(&plum, "orders"), ["10.0.0.1"]);
    let asked = || liar.asked.load(Relaxed);
    let mut quiet_since = (asked(), Instant::now());
    until("it is left alone", Duration::from_secs(20), || {
        if asked() != quiet_since.0 {
            quiet_since = (asked(), Instant::now());
        }
        quiet_since.1.elapsed() > Duration::from_secs(3)
    });
    liar.now(|question| vec![question.well(2)]);
    until("its next use looks again", SOON, || found(&plum, "orders") == ["10.0.0.2"]);
}
