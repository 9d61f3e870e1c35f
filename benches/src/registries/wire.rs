//! A path to a registry's server on which the messages that we send are counted.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How messages follow each other on a connection.
#[derive(Clone, Copy)]
pub enum Framing {
    /// HTTP/1.1: each begins with a line that names its version.
    Http1,
    /// gRPC: each is a frame of data of HTTP/2.
    Grpc,
    /// Each behind its length, in four bytes.
    Length,
}

/// Counts messages.
#[derive(Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// How many there have been.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Passes on what comes at `port` to `target`, in the background, for as long as this program runs.
    pub fn between(&self, port: u16, target: u16, framing: Framing) {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
        let counter = self.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                let (up, down) = (connection.try_clone(), server.try_clone());
                let (Ok(up), Ok(down)) = (up, down) else { continue };
                let counter = counter.clone();
                std::thread::spawn(move || pass(connection, server, |bytes| counter.note(framing, bytes)));
                std::thread::spawn(move || pass(down, up, |_| {}));
            }
        });
    }

    /// As many as the bytes of one read hold. Messages of ours are short, and each is written at once.
    fn note(&self, framing: Framing, bytes: &[u8]) {
        let count = match framing {
            Framing::Http1 => bytes.windows(10).filter(|window| *window == b" HTTP/1.1\r").count(),
            Framing::Grpc => {
                frames(bytes, 9, |head| (length(&head[..3]), head[3] == 0 && length(&head[..3]) > 0))
            }
            Framing::Length => frames(bytes, 4, |head| (length(head), true)),
        };
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// How many frames with a head of this size count.
fn frames(mut bytes: &[u8], head: usize, read: impl Fn(&[u8]) -> (usize, bool)) -> usize {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    bytes = bytes.strip_prefix(PREFACE).unwrap_or(bytes);
    let mut count = 0;
    while bytes.len() >= head {
        let (body, is_one) = read(&bytes[..head]);
        count += usize::from(is_one);
        bytes = bytes.get(head + body..).unwrap_or_default();
    }
    count
}

fn length(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
}

fn pass(mut from: TcpStream, mut to: TcpStream, note: impl Fn(&[u8])) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read) = from.read(&mut buffer) {
        note(&buffer[..read]);
        if read == 0 || to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // The other direction ends with it.
    let _ = to.shutdown(std::net::Shutdown::Both);
}
