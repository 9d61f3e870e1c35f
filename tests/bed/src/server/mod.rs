//! A server that does to its callers what a scenario tells it to, on a port that stays its own.

mod exchange;
mod http;

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use plumline::sync::Mutex;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::port::Port;
use crate::scenario::{Broken, Reply, ServerScript};

pub use http::{Request, Stream, read_answer};

/// One endpoint of a scenario.
pub struct Server {
    port: Port,
    shared: Arc<Shared>,
    listening: Option<Listening>,
    /// Connections that fill the queue of a black hole.
    queued: Vec<TcpStream>,
}

struct Listening {
    stopped: Arc<AtomicBool>,
    listener: Arc<TcpListener>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
pub(crate) struct Shared {
    script: Mutex<Script>,
    seen: Mutex<Vec<Request>>,
    connections: AtomicUsize,
    live: Mutex<Vec<TcpStream>>,
    tls: Option<Arc<ServerConfig>>,
}

#[derive(Default)]
struct Script {
    answers: Vec<Reply>,
    given: usize,
}

impl Shared {
    /// The answer whose turn it is.
    fn take(&self) -> Reply {
        let mut script = self.script.lock();
        let reply = script.now();
        script.given += 1;
        reply
    }

    /// Whether the next connection is to be reset before a request is read; then that was its turn.
    fn take_reset(&self) -> bool {
        let mut script = self.script.lock();
        let is_reset = script.now().reset == Some(Broken::Before);
        script.given += usize::from(is_reset);
        is_reset
    }
}

impl Script {
    fn now(&self) -> Reply {
        self.answers.get(self.given).or(self.answers.last()).cloned().unwrap_or_default()
    }
}

impl Server {
    /// Takes a port and does as the script says.
    pub fn start(script: &ServerScript, tls: Option<Arc<ServerConfig>>) -> Result<Server, String> {
        let in_words = |error: std::io::Error| format!("an endpoint did not start: {error}");
        let port = Port::take().map_err(in_words)?;
        let answers = Script { answers: script.answers.clone(), given: 0 };
        let shared = Arc::new(Shared { script: Mutex::new(answers), tls, ..Shared::default() });
        let mut server = Server { port, shared, listening: None, queued: Vec::new() };
        if script.black_hole {
            server.swallow().map_err(in_words)?;
        } else if !script.down {
            server.up().map_err(in_words)?;
        }
        Ok(server)
    }

    /// Where it is, or would be.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Listens.
    pub fn up(&mut self) -> std::io::Result<()> {
        if self.listening.is_some() {
            return Ok(());
        }
        let listener = Arc::new(self.port.listen()?);
        let stopped = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (shared, stopped, listener) = (self.shared.clone(), stopped.clone(), listener.clone());
            move || accept(&listener, &stopped, &shared)
        });
        self.listening = Some(Listening { stopped, listener, thread });
        Ok(())
    }

    /// Nobody listens any more, and every connection breaks.
    pub fn down(&mut self) {
        if let Some(Listening { stopped, listener, thread }) = self.listening.take() {
            stopped.store(true, Ordering::Release);
            // Wakes `accept`; a socket that does not listen any more has been woken already.
            let _ = rustix::net::shutdown(&*listener, rustix::net::Shutdown::Both);
            let _ = thread.join();
        }
        self.cut();
    }

    /// Closes every open connection and goes on listening.
    pub fn cut(&self) {
        for connection in self.shared.live.lock().drain(..) {
            // It may have ended by itself.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// From now on it answers so.
    pub fn answer(&self, answers: Vec<Reply>) {
        *self.shared.script.lock() = Script { answers, given: 0 };
    }

    /// What it has seen so far.
    pub fn saw(&self) -> Value {
        let list: Vec<Value> = self.shared.seen.lock().iter().map(Request::shown).collect();
        json!({
            "requests": list.len(),
            "connections": self.shared.connections.load(Ordering::Acquire),
            "list": list,
        })
    }

    /// Listens with a queue that is full: the kernel drops what else wants to connect.
    fn swallow(&mut self) -> std::io::Result<()> {
        let listener = Arc::new(self.port.listen_with(0)?);
        while let Ok(connection) = TcpStream::connect_timeout(&self.address(), Duration::from_millis(30)) {
            self.queued.push(connection);
        }
        let stopped = Arc::new(AtomicBool::new(true));
        self.listening = Some(Listening { stopped, listener, thread: std::thread::spawn(|| {}) });
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.down();
    }
}

fn accept(listener: &TcpListener, stopped: &AtomicBool, shared: &Arc<Shared>) {
    while let Ok((connection, _)) = listener.accept() {
        if stopped.load(Ordering::Acquire) {
            return;
        }
        shared.connections.fetch_add(1, Ordering::AcqRel);
        if shared.take_reset() {
            reset(&connection);
            continue;
        }
        // Without it delayed acknowledgements would cost 40 ms here and there.
        let _ = connection.set_nodelay(true);
        let Ok(copy) = connection.try_clone() else { continue };
        shared.live.lock().push(copy);
        let shared = shared.clone();
        std::thread::spawn(move || serve(connection, &shared));
    }
}

/// Closing it will be a reset.
fn reset(connection: &TcpStream) {
    // What is reset already needs no more.
    let _ = rustix::net::sockopt::set_socket_linger(connection, Some(Duration::ZERO));
}

fn serve(connection: TcpStream, shared: &Shared) {
    let Ok(socket) = connection.try_clone() else { return };
    match &shared.tls {
        None => exchange::answer_all(connection, &socket, shared),
        Some(config) => match ServerConnection::new(config.clone()) {
            Ok(session) => exchange::answer_all(StreamOwned::new(session, connection), &socket, shared),
            Err(error) => eprintln!("TLS: {error}"),
        },
    }
    forget(shared, &socket);
}

/// The copy kept for `cut` would keep the connection open.
fn forget(shared: &Shared, socket: &TcpStream) {
    let peer = socket.peer_addr().ok();
    shared.live.lock().retain(|live| live.peer_addr().ok().is_some_and(|known| Some(known) != peer));
}
