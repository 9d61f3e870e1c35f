//! Tests with a scripted ZooKeeper server, for behavior that a real one does not show on demand.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::jute::{Body, Bytes};
use super::*;
use crate::interrupt::Never;
use crate::model::Instance;
use crate::registry::setup::test_setup;
use crate::registry::types::ReportedHealth;

const SOON: Duration = Duration::from_secs(10);

/// A connection, from the perspective of the server.
struct Guest {
    socket: TcpStream,
}

impl Guest {
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
        let mut bytes = Bytes(&frame);
        Some((bytes.int().unwrap(), bytes.int().unwrap(), bytes.0.to_owned()))
    }

    /// Sends a frame, one byte at a time.
    fn say(&mut self, body: &Body) {
        let mut out = Vec::new();
        body.frame(&mut out);
        out.iter().for_each(|byte| self.socket.write_all(&[*byte]).unwrap());
    }

    /// Returns the requested session, and opens this one.
    fn welcome(&mut self, session: i64) -> i64 {
        let frame = self.frame().unwrap();
        let mut bytes = Bytes(&frame);
        let (_version, _zxid, _timeout) = (bytes.int(), bytes.long(), bytes.int());
        let asked = bytes.long().unwrap();
        let timeout = if session == 0 { 0 } else { 1200 };
        self.say(&Body::default().int(0).int(timeout).long(session).bytes(&[7; 16]).flag(false));
        asked
    }

    fn answer(&mut self, xid: i32, code: i32) {
        self.say(&Body::default().int(xid).long(1).int(code));
    }
}

/// A server that handles every connection with `handle`, and a registry that uses it.
fn server(user: &str, mut treat: impl FnMut(usize, Guest) + Send + 'static) -> ZooKeeper {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("zookeeper://{user}{}/p?session_timeout=1200ms", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for (n, socket) in listener.incoming().flatten().enumerate() {
            treat(n, Guest { socket });
        }
    });
    ZooKeeper::new(&Address::parse(&address).unwrap(), &test_setup()).unwrap()
}

fn wait() -> WaitLimit<'static> {
    WaitLimit::new(SOON, &Never)
}

fn telling<T>() -> (Sender<T>, Receiver<T>) {
    channel()
}

#[test]
fn resumes_a_session_and_replaces_an_expired_one() {
    let (tell, hear) = telling();
    let zoo = server("", move |n, mut guest| {
        // Closes the first connection after one request, reports its session as expired, then opens another one.
        let asked = guest.welcome([5, 0, 6][n.min(2)]);
        tell.send(asked).unwrap();
        while let Some((xid, op, _)) = guest.request().filter(|_| n != 1) {
            if n == 0 {
                return;
            }
            guest.answer(xid, if op == 8 { -101 } else { 0 });
        }
    });
    let error = zoo.services(&wait()).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert!(zoo.services(&wait()).unwrap().is_empty());
    let asked: Vec<i64> = (0..3).map(|_| hear.recv_timeout(SOON).unwrap()).collect();
    assert_eq!(asked, [0, 5, 0]);
}

#[test]
fn sends_credentials_first_and_errors_show_no_secret() {
    let (tell, hear) = telling();
    let zoo = server("me:hush@", move |_, mut guest| {
        guest.welcome(5);
        let (xid, op, body) = guest.request().unwrap();
        tell.send((op, String::from_utf8_lossy(&body).into_owned())).unwrap();
        guest.answer(xid, -115);
    });
    let error = zoo.services(&wait()).unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthenticated, "{error}");
    assert!(!error.to_string().contains("hush"), "{error}");
    let (op, body) = hear.recv_timeout(SOON).unwrap();
    assert!(op == 100 && body.contains("digest") && body.contains("me:hush"));
}

#[test]
fn dropping_the_registry_closes_the_session() {
    let (tell, hear) = telling();
    let zoo = server("", move |_, mut guest| {
        guest.welcome(5);
        while let Some((xid, op, _)) = guest.request() {
            tell.send(op).unwrap();
            guest.answer(xid, if op == 8 { -101 } else { 0 });
        }
    });
    assert!(zoo.services(&wait()).unwrap().is_empty());
    drop(zoo);
    let last = std::iter::from_fn(|| hear.recv_timeout(SOON).ok()).find(|op| *op == -11);
    assert_eq!(last, Some(-11));
}

#[test]
fn rejects_servers_that_do_not_speak_zookeeper() {
    // The length of an HTTP/2 frame is valid for a frame, but too long for a connect response.
    for said in [&[0, 0, 18, 4, 0, 0, 0, 0][..], b"SSH-2.0-OpenSSH\r\n"] {
        let zoo = server("", move |_, mut guest| {
            guest.frame();
            guest.socket.write_all(said).unwrap();
            guest.frame();
        });
        assert_eq!(zoo.services(&wait()).unwrap_err().kind(), Kind::Protocol);
    }
    let zoo = server("", |_, mut guest| {
        guest.welcome(5);
        guest.request();
        guest.answer(4711, 0);
    });
    assert_eq!(zoo.services(&wait()).unwrap_err().kind(), Kind::Protocol);
}

#[test]
fn leaves_a_silent_server_with_an_open_connection() {
    let (tell, hear) = telling();
    let mut kept = Vec::new();
    let zoo = server("", move |n, mut guest| {
        tell.send(guest.welcome(5)).unwrap();
        match n {
            0 => kept.push(guest),
            _ => {
                while guest.request().is_some_and(|(xid, _, _)| {
                    guest.answer(xid, -101);
                    true
                }) {}
            }
        }
    });
    assert_eq!(zoo.services(&wait()).unwrap_err().kind(), Kind::Timeout);
    // The session is resumed without a request.
    assert_eq!((hear.recv_timeout(SOON), hear.recv_timeout(SOON)), (Ok(0), Ok(5)));
    assert!(zoo.services(&wait()).unwrap().is_empty());
}

#[test]
fn deregistered_instance_is_not_created_by_a_late_retry() {
    let (tell, hear) = telling();
    let (go, gate) = channel::<()>();
    let zoo = server("", move |_, mut guest| {
        guest.welcome(5);
        let mut nodes = 0;
        while let Some((xid, op, body)) = guest.request() {
            let is_node = op == 1 && String::from_utf8_lossy(&body).contains("/p/orders/one");
            if is_node {
                nodes += 1;
                tell.send(nodes).unwrap();
                // Waits for the test. The error says that the parent is missing, so the client would retry.
                gate.recv_timeout(SOON).unwrap();
                guest.answer(xid, -101);
            } else {
                guest.answer(xid, if op == 3 { -101 } else { 0 });
            }
        }
    });
    let zoo = Arc::new(zoo);
    let instance = Instance::new("orders", 1).host("h").instance_id("one");
    let entry = RegistryEntry { instance, generation: "g".into(), health: ReportedHealth::Unspecified };
    // Opens the session first, so that it does not delay the registration.
    assert!(zoo.services(&wait()).is_err());
    let registering = std::thread::spawn({
        let (zoo, entry) = (zoo.clone(), entry.clone());
        move || zoo.register(&[entry], &wait())
    });
    assert_eq!(hear.recv_timeout(SOON), Ok(1));
    let path = zoo.core.forget(&entry, true);
    go.send(()).unwrap();
    let outcome = registering.join().unwrap().remove(0);
    assert_eq!(outcome.unwrap_err().kind(), Kind::Closed);
    assert!(hear.try_recv().is_err(), "{path:?} was not created again");
}

#[test]
fn session_task_restarts_after_a_panic() {
    let zoo = server("", |_, _| {});
    let known = &zoo.core.terms;
    // Without servers, the task panics.
    let terms = session::Terms {
        servers: Vec::new(),
        user: None,
        session_timeout: Duration::from_millis(60),
        connect_timeout: known.connect_timeout,
        request_timeout: known.request_timeout,
        names: known.names.clone(),
    };
    let session = Session::begin(Arc::new(terms), &zoo.core.runtime).unwrap();
    let mut state = session.state();
    let seen = run(&zoo.core.runtime, &wait(), async move {
        let mut seen = Vec::new();
        for _ in 0..3 {
            state.changed().await.unwrap();
            if let State::Away(error) = &*state.borrow_and_update() {
                seen.push(error.kind());
            }
        }
        Ok(seen)
    });
    assert_eq!(seen.unwrap(), [Kind::Internal; 3]);
}
