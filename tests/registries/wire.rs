//! A wire to a server that can be cut, or fall silent.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Passes on what comes to one port to another, both ways.
pub struct Wire(Arc<Shared>);

struct Shared {
    server: u16,
    /// Whether what comes in is swallowed.
    silent: AtomicBool,
    /// Whether nobody is let in.
    shut: AtomicBool,
    ends: Mutex<Vec<TcpStream>>,
}

impl Wire {
    /// From this port of the loopback to that one.
    pub fn new(port: u16, server: u16) -> Wire {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let (silent, shut) = (AtomicBool::new(false), AtomicBool::new(false));
        let shared = Arc::new(Shared { server, silent, shut, ends: Mutex::default() });
        let weak = Arc::downgrade(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Some(shared) = weak.upgrade() else { return };
                if !shared.shut.load(Ordering::SeqCst) {
                    shared.pass(&client);
                }
            }
        });
        Wire(shared)
    }

    /// Closes every connection.
    pub fn cut(&self) {
        for end in self.0.ends.lock().unwrap().drain(..) {
            // It may be closed already.
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    /// Closes every connection, and lets nobody in until [`Wire::mend`].
    pub fn shut(&self) {
        self.0.shut.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// Swallows everything, without a word, until [`Wire::mend`].
    pub fn hush(&self) {
        self.0.silent.store(true, Ordering::SeqCst);
    }

    /// As it was.
    pub fn mend(&self) {
        self.0.silent.store(false, Ordering::SeqCst);
        self.0.shut.store(false, Ordering::SeqCst);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.cut();
    }
}

impl Shared {
    fn pass(self: Arc<Shared>, client: &TcpStream) {
        let Ok(server) = TcpStream::connect(("127.0.0.1", self.server)) else { return };
        for (from, to) in [(client, &server), (&server, client)] {
            let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            let shared = self.clone();
            self.ends.lock().unwrap().push(from.try_clone().unwrap());
            thread::spawn(move || {
                let mut buffer = [0; 16 << 10];
                while let Ok(count @ 1..) = from.read(&mut buffer) {
                    if !shared.silent.load(Ordering::SeqCst) && to.write_all(&buffer[..count]).is_err() {
                        break;
                    }
                }
                // The other end may be gone already.
                let _ = to.shutdown(Shutdown::Both);
            });
        }
    }
}
