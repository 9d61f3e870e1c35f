//! Tests with a scripted ZooKeeper server, for behavior that a real one does not show on demand.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::jute::{JuteReader, RequestBody};
use super::session::ZooKeeperSession;
use super::*;
use crate::interrupt::Never;
use crate::model::Instance;
use crate::registry::setup::test_setup;
use crate::registry::types::ReportedHealth;

const SOON: Duration = Duration::from_secs(10);

/// A connection, from the perspective of the server.
struct ScriptedConnection {
    socket: TcpStream,
}

impl ScriptedConnection {
    fn frame(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 4];
        self.socket.read_exact(&mut length).ok()?;
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.socket.read_exact(&mut frame).ok()?;
        Some(frame)
    }

    /// The xid, the operation and the body of a request.
    fn request(&mut self) -> Option<(i32, i32, Vec<u8>)> {
        let frame = self.frame()?;
        let mut bytes = JuteReader(&frame);
        Some((bytes.int().unwrap(), bytes.int().unwrap(), bytes.0.to_owned()))
    }

    /// Sends a frame, one byte at a time.
    fn send(&mut self, body: &RequestBody) {
        let mut out = Vec::new();
        body.frame(&mut out);
        out.iter().for_each(|byte| self.socket.write_all(&[*byte]).unwrap());
    }

    /// Returns the requested session, and opens this one.
    fn open_session(&mut self, session: i64) -> i64 {
        let frame = self.frame().unwrap();
        let mut bytes = JuteReader(&frame);
        let (_version, _zxid, _timeout) = (bytes.int(), bytes.long(), bytes.int());
        let asked = bytes.long().unwrap();
        let timeout = if session == 0 { 0 } else { 1200 };
        self.send(&RequestBody::default().int(0).int(timeout).long(session).bytes(&[7; 16]).flag(false));
        asked
    }

    fn answer(&mut self, xid: i32, code: i32) {
        self.send(&RequestBody::default().int(xid).long(1).int(code));
    }
}

/// A server that handles every connection with `handle`, and a registry that uses it.
fn server(
    user: &str,
    mut handle: impl FnMut(usize, ScriptedConnection) + Send + 'static,
) -> ZooKeeperRegistry {
    let sender = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("zookeeper://{user}{}/p?session_timeout=1200ms", sender.local_addr().unwrap());
    std::thread::spawn(move || {
        for (n, socket) in sender.incoming().flatten().enumerate() {
            handle(n, ScriptedConnection { socket });
        }
    });
    ZooKeeperRegistry::new(&Address::parse(&address).unwrap(), &test_setup()).unwrap()
}

fn wait() -> WaitLimit<'static> {
    WaitLimit::new(SOON, &Never)
}

fn new_channel<T>() -> (Sender<T>, Receiver<T>) {
    channel()
}

#[test]
fn resumes_a_session_and_replaces_an_expired_one() {
    let (sender, receiver) = new_channel();
    let registry = server("", move |n, mut connection| {
        // Closes the first connection after one request, reports its session as expired, then opens another one.
        let asked = connection.open_session([5, 0, 6][n.min(2)]);
        sender.send(asked).unwrap();
        while let Some((xid, op, _)) = connection.request().filter(|_| n != 1) {
            if n == 0 {
                return;
            }
            connection.answer(xid, if op == 8 { -101 } else { 0 });
        }
    });
    let error = registry.services(&wait()).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert!(registry.services(&wait()).unwrap().is_empty());
    let asked: Vec<i64> = (0..3).map(|_| receiver.recv_timeout(SOON).unwrap()).collect();
    assert_eq!(asked, [0, 5, 0]);
}

#[test]
fn sends_credentials_first_and_errors_show_no_secret() {
    let (sender, receiver) = new_channel();
    let registry = server("me:hush@", move |_, mut connection| {
        connection.open_session(5);
        let (xid, op, body) = connection.request().unwrap();
        sender.send((op, String::from_utf8_lossy(&body).into_owned())).unwrap();
        connection.answer(xid, -115);
    });
    let error = registry.services(&wait()).unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthenticated, "{error}");
    assert!(!error.to_string().contains("hush"), "{error}");
    let (op, body) = receiver.recv_timeout(SOON).unwrap();
    assert!(op == 100 && body.contains("digest") && body.contains("me:hush"));
}

#[test]
fn dropping_the_registry_closes_the_session() {
    let (sender, receiver) = new_channel();
    let registry = server("", move |_, mut connection| {
        connection.open_session(5);
        while let Some((xid, op, _)) = connection.request() {
            sender.send(op).unwrap();
            connection.answer(xid, if op == 8 { -101 } else { 0 });
        }
    });
    assert!(registry.services(&wait()).unwrap().is_empty());
    drop(registry);
    let last = std::iter::from_fn(|| receiver.recv_timeout(SOON).ok()).find(|op| *op == -11);
    assert_eq!(last, Some(-11));
}

#[test]
fn rejects_servers_that_do_not_speak_zookeeper() {
    // The length of an HTTP/2 frame is valid for a frame, but too long for a connect response.
    for bytes in [&[0, 0, 18, 4, 0, 0, 0, 0][..], b"SSH-2.0-OpenSSH\r\n"] {
        let registry = server("", move |_, mut connection| {
            connection.frame();
            connection.socket.write_all(bytes).unwrap();
            connection.frame();
        });
        assert_eq!(registry.services(&wait()).unwrap_err().kind(), Kind::Protocol);
    }
    let registry = server("", |_, mut connection| {
        connection.open_session(5);
        connection.request();
        connection.answer(4711, 0);
    });
    assert_eq!(registry.services(&wait()).unwrap_err().kind(), Kind::Protocol);
}

#[test]
fn leaves_a_silent_server_with_an_open_connection() {
    let (sender, receiver) = new_channel();
    let mut kept = Vec::new();
    let registry = server("", move |n, mut connection| {
        sender.send(connection.open_session(5)).unwrap();
        match n {
            0 => kept.push(connection),
            _ => {
                while connection.request().is_some_and(|(xid, _, _)| {
                    connection.answer(xid, -101);
                    true
                }) {}
            }
        }
    });
    assert_eq!(registry.services(&wait()).unwrap_err().kind(), Kind::Timeout);
    // The session is resumed without a request.
    assert_eq!((receiver.recv_timeout(SOON), receiver.recv_timeout(SOON)), (Ok(0), Ok(5)));
    assert!(registry.services(&wait()).unwrap().is_empty());
}

#[test]
fn deregistered_instance_is_not_created_by_a_late_retry() {
    let (sender, receiver) = new_channel();
    let (go, gate) = channel::<()>();
    let registry = server("", move |_, mut connection| {
        connection.open_session(5);
        let mut nodes = 0;
        while let Some((xid, op, body)) = connection.request() {
            let is_node = op == 1 && String::from_utf8_lossy(&body).contains("/p/orders/one");
            if is_node {
                nodes += 1;
                sender.send(nodes).unwrap();
                // Waits for the test. The error says that the parent is missing, so the client would retry.
                gate.recv_timeout(SOON).unwrap();
                connection.answer(xid, -101);
            } else {
                connection.answer(xid, if op == 3 { -101 } else { 0 });
            }
        }
    });
    let registry = Arc::new(registry);
    let instance = Instance::new("orders", 1).host("h").instance_id("one");
    let entry = RegistryEntry { instance, generation: "g".into(), health: ReportedHealth::Unspecified };
    // Opens the session first, so that it does not delay the registration.
    assert!(registry.services(&wait()).is_err());
    let registering = std::thread::spawn({
        let (registry, entry) = (registry.clone(), entry.clone());
        move || registry.register(&[entry], &wait())
    });
    assert_eq!(receiver.recv_timeout(SOON), Ok(1));
    let path = registry.client.remove_registration(&entry, true);
    go.send(()).unwrap();
    let outcome = registering.join().unwrap().remove(0);
    assert_eq!(outcome.unwrap_err().kind(), Kind::Closed);
    assert!(receiver.try_recv().is_err(), "{path:?} was not created again");
}

#[test]
fn session_task_restarts_after_a_panic() {
    let registry = server("", |_, _| {});
    let known = &registry.client.config;
    // Without servers, the task panics.
    let config = session::SessionConfig {
        servers: Vec::new(),
        user: None,
        session_timeout: Duration::from_millis(60),
        connect_timeout: known.connect_timeout,
        request_timeout: known.request_timeout,
        resolver: known.resolver.clone(),
    };
    let session = ZooKeeperSession::start(Arc::new(config), &registry.client.runtime).unwrap();
    let mut state = session.state();
    let seen = run(&registry.client.runtime, &wait(), async move {
        let mut seen = Vec::new();
        for _ in 0..3 {
            state.changed().await.unwrap();
            if let SessionState::Failed(error) = &*state.borrow_and_update() {
                seen.push(error.kind());
            }
        }
        Ok(seen)
    });
    assert_eq!(seen.unwrap(), [Kind::Internal; 3]);
}
