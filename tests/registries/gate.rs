//! A way to a server that can be shut, and turned into a black hole.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

const OPEN: u8 = 0;
const SHUT: u8 = 1;
const SWALLOWING: u8 = 2;

/// Passes connections on, while it is open.
pub struct Gate {
    port: u16,
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    state: AtomicU8,
    through: Mutex<Vec<TcpStream>>,
}

impl Gate {
    pub fn towards(port: u16) -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let gate = Gate { port: listener.local_addr().unwrap().port(), inner: Arc::default() };
        let inner = gate.inner.clone();
        // It ends with the process: whoever connects last is not known.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if inner.state.load(Ordering::SeqCst) != SHUT {
                    inner.pass(client, port);
                }
            }
        });
        gate
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Everything is passed on again; what was swallowed is gone, and so are its connections.
    pub fn open(&self) {
        self.inner.hang_up();
        self.inner.state.store(OPEN, Ordering::SeqCst);
    }

    /// Connections are cut, and new ones too.
    pub fn shut(&self) {
        self.inner.state.store(SHUT, Ordering::SeqCst);
        self.inner.hang_up();
    }

    /// Connections stay, and nothing passes any more.
    pub fn swallow(&self) {
        self.inner.state.store(SWALLOWING, Ordering::SeqCst);
    }
}

impl Inner {
    fn pass(self: &Arc<Self>, client: TcpStream, port: u16) {
        let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { return };
        self.through.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
        for (mut from, mut to) in
            [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)]
        {
            let inner = self.clone();
            thread::spawn(move || {
                let mut piece = [0; 16 << 10];
                while let Ok(count @ 1..) = from.read(&mut piece) {
                    let is_open = inner.state.load(Ordering::SeqCst) == OPEN;
                    if is_open && to.write_all(&piece[..count]).is_err() {
                        break;
                    }
                }
                // The other end may be gone already.
                let _ = to.shutdown(Shutdown::Both);
            });
        }
    }

    fn hang_up(&self) {
        for end in self.through.lock().unwrap().drain(..) {
            // It may be gone already.
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}
