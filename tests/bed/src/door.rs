//! A door to a server that can be shut: an outage that the server itself does not notice.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use plumline::sync::Mutex;

/// Passes on what comes, or holds it.
pub struct Door {
    listener: Arc<TcpListener>,
    stopped: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Door {
    /// Passes on what comes to this listener, or holds it where there is nowhere to pass it to.
    pub fn open(listener: TcpListener, to: Option<SocketAddr>) -> Door {
        let (listener, open) = (Arc::new(listener), Arc::<Mutex<Vec<TcpStream>>>::default());
        let stopped = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (listener, stopped, open) = (listener.clone(), stopped.clone(), open.clone());
            move || {
                while let Ok((connection, _)) = listener.accept() {
                    if stopped.load(Ordering::Acquire) {
                        return;
                    }
                    let passed = to.map_or(Ok(()), |to| pass(&connection, to, &open));
                    if passed.is_ok() {
                        open.lock().push(connection);
                    }
                }
            }
        });
        Door { listener, stopped, thread, open }
    }

    /// Breaks what is open, and refuses what comes.
    pub fn shut(self) {
        self.stopped.store(true, Ordering::Release);
        // It may not be accepting any more; the connections may have ended.
        let _ = rustix::net::shutdown(&*self.listener, rustix::net::Shutdown::Both);
        let _ = self.thread.join();
        for connection in self.open.lock().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

/// Both directions, until one of them ends.
fn pass(from: &TcpStream, to: SocketAddr, open: &Mutex<Vec<TcpStream>>) -> std::io::Result<()> {
    let upstream = TcpStream::connect(to)?;
    from.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    for (mut source, mut target) in
        [(from.try_clone()?, upstream.try_clone()?), (upstream.try_clone()?, from.try_clone()?)]
    {
        std::thread::spawn(move || {
            // How it ended is for the two sides to see.
            let _ = std::io::copy(&mut source, &mut target);
            let _ = source.shutdown(Shutdown::Both);
            let _ = target.shutdown(Shutdown::Both);
        });
    }
    open.lock().push(upstream);
    Ok(())
}
