//! A scripted HTTP server for tests.
#![allow(dead_code, reason = "every test file uses its own part of this")]

#[path = "../../../tests/src/patience.rs"]
mod patience;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use patience::patience;
use plumline::sync::Mutex;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

/// A request as the server received it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub head: String,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let value = |line: &'_ str| -> Option<usize> {
            let (known, _) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then_some(known.len() + 1)
        };
        self.head.lines().skip(1).find_map(|line| value(line).map(|from| line[from..].trim()))
    }
}

/// The reaction to a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Sends these bytes and keeps the connection.
    Send(Vec<u8>),
    /// Sends these bytes and closes.
    Last(Vec<u8>),
    /// Resets the connection.
    Reset,
    /// Does not answer until the test ends.
    Hang,
}

impl Reply {
    pub fn status(status: u16) -> Reply {
        Reply::with(status, &[], "")
    }

    pub fn ok(body: &str) -> Reply {
        Reply::with(200, &[], body)
    }

    pub fn with(status: u16, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", body.len());
        headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        Reply::Send(format!("{head}\r\n{body}").into_bytes())
    }
}

type Script = dyn Fn(&Seen, usize) -> Reply + Send + Sync;

/// A server that listens until it is dropped.
pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<Mutex<Vec<Weak<TcpStream>>>>,
    stopped: Arc<AtomicBool>,
}

impl Server {
    /// Answers every request with the reply of `script`, given the request and the number of earlier ones.
    pub fn start(script: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static) -> Server {
        Server::on("127.0.0.1:0", script)
    }

    pub fn on(address: &str, script: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind(address).unwrap();
        let server = Server {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
            connections: Arc::default(),
            stopped: Arc::default(),
        };
        let (seen, connections) = (server.seen.clone(), server.connections.clone());
        let (stopped, script): (_, Arc<Script>) = (server.stopped.clone(), Arc::new(script));
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                let connection = Arc::new(connection);
                connections.lock().push(Arc::downgrade(&connection));
                let (seen, script) = (seen.clone(), script.clone());
                std::thread::spawn(move || serve(&connection, &seen, &*script));
            }
        });
        server
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    pub fn connections(&self) -> usize {
        self.connections.lock().len()
    }

    /// Resets all connections, like a killed process, and keeps listening.
    pub fn cut(&self) {
        self.connections.lock().drain(..).filter_map(|connection| connection.upgrade()).for_each(
            |connection| {
                let _ = connection.shutdown(std::net::Shutdown::Both);
            },
        );
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address); // wakes the listener, so that it sees the flag
        self.cut();
    }
}

fn serve(mut connection: &TcpStream, seen: &Mutex<Vec<Seen>>, script: &Script) {
    while let Some(request) = read_request(connection) {
        let number = {
            let mut seen = seen.lock();
            seen.push(request.clone());
            seen.len() - 1
        };
        let sent = match script(&request, number) {
            Reply::Send(bytes) => connection.write_all(&bytes).is_ok(),
            Reply::Last(bytes) => {
                let _ = connection.write_all(&bytes);
                let _ = connection.shutdown(std::net::Shutdown::Write);
                // Until the client has closed too: closing with unread input would send a reset.
                let _ = connection.read_to_end(&mut Vec::new());
                false
            }
            Reply::Reset => {
                let _ = rustix::net::sockopt::set_socket_linger(connection, Some(Duration::ZERO));
                false
            }
            Reply::Hang => {
                let _ = connection.read(&mut [0]);
                false
            }
        };
        if !sent {
            return;
        }
    }
}

fn read_request(mut connection: &TcpStream) -> Option<Seen> {
    let (mut text, mut buffer) = (Vec::new(), [0u8; 4096]);
    let end = loop {
        if let Some(end) = text.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        match connection.read(&mut buffer).ok()? {
            0 => return None,
            count => text.extend_from_slice(&buffer[..count]),
        }
    };
    let mut seen =
        Seen { head: String::from_utf8_lossy(&text[..end]).into_owned(), body: text[end..].to_vec() };
    let length = seen.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while seen.body.len() < length {
        match connection.read(&mut buffer).ok()? {
            0 => return None,
            count => seen.body.extend_from_slice(&buffer[..count]),
        }
    }
    Some(seen)
}

/// A reserved port without a listener.
pub struct DeadPort(OwnedFd);

impl DeadPort {
    pub fn take() -> DeadPort {
        let socket =
            socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        rustix::net::bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        DeadPort(socket)
    }

    pub fn number(&self) -> u16 {
        SocketAddr::try_from(rustix::net::getsockname(&self.0).unwrap()).unwrap().port()
    }

    /// Starts listening on the port.
    pub fn listen(self) -> TcpListener {
        rustix::net::listen(&self.0, 16).unwrap();
        TcpListener::from(self.0)
    }
}

/// Waits for a condition. Panics with its description once the limit times [`patience()`] has passed.
pub fn wait_until(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) {
    let (began, limit) = (Instant::now(), limit * patience());
    while !is_so() {
        assert!(began.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
