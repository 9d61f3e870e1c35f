//! The thread that waits for all parked sockets.

use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use crate::sync::MutexGuard;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};

use super::queues::{Queues, Shared, start};
use super::{Interest, Woken};
use crate::clock::{self, Tick};

impl Shared {
    pub(super) fn wake_poller(self: &Arc<Self>, queues: &mut Queues) {
        if queues.polling {
            queues.ring();
            return;
        }
        match rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK) {
            Ok(bell) => queues.bell = Some(Arc::new(bell)),
            Err(error) => {
                tracing::error!(%error, "no descriptor for the poller: parked sockets are only looked at when late");
            }
        }
        let shared = self.clone();
        queues.polling = start("plumline-poller", move || shared.poll());
    }

    /// The main loop of the poller.
    pub(super) fn poll(self: &Arc<Self>) {
        let mut queues = self.queues.lock();
        while !queues.stopped {
            let waiting: Vec<(u64, Arc<TcpStream>, Interest)> = queues
                .parked
                .iter()
                .map(|(id, parked)| (*id, parked.socket.clone(), parked.interest))
                .collect();
            let until = queues.parked.values().map(|parked| parked.deadline).min();
            let bell = queues.bell.clone();
            let ready = MutexGuard::unlocked(&mut queues, || wait_for_any(bell.as_deref(), &waiting, until));
            let now = clock::now();
            let late = queues.parked.iter().filter(|(_, parked)| parked.deadline <= now).map(|(id, _)| *id);
            let late: Vec<u64> = late.collect();
            for (id, woken) in ready
                .into_iter()
                .map(|id| (id, Woken::Ready))
                .chain(late.into_iter().map(|id| (id, Woken::Late)))
            {
                if let Some(parked) = queues.parked.remove(&id) {
                    queues.wake(parked, woken);
                    self.see_to(&mut queues);
                }
            }
        }
        queues.polling = false;
        self.ended.notify_all();
    }
}

/// Waits for the sockets, the bell or the deadline. Returns the ready sockets.
fn wait_for_any(
    bell: Option<&OwnedFd>,
    waiting: &[(u64, Arc<TcpStream>, Interest)],
    until: Option<Tick>,
) -> Vec<u64> {
    // Without the bell nothing wakes this thread: poll every 100 ms.
    let longest = bell.is_none().then(|| Duration::from_millis(100));
    let wait = until.map(|until| until.remaining(clock::now())).into_iter().chain(longest).min();
    let wait = wait.and_then(|wait| Timespec::try_from(wait).ok());
    let flags = |interest: &Interest| match interest {
        Interest::Read => PollFlags::IN,
        Interest::Write => PollFlags::OUT,
    };
    let sockets =
        waiting.iter().map(|(_, socket, interest)| PollFd::from_borrowed_fd(socket.as_fd(), flags(interest)));
    let bells = bell.iter().map(|bell| PollFd::from_borrowed_fd(bell.as_fd(), PollFlags::IN));
    let mut fds: Vec<PollFd<'_>> = sockets.chain(bells).collect();
    if let Err(error) = rustix::event::poll(&mut fds, wait.as_ref()) {
        if error != rustix::io::Errno::INTR {
            tracing::error!(%error, "poll failed; retrying");
            std::thread::sleep(Duration::from_millis(100)); // a permanent error must not spin
        }
        return Vec::new();
    }
    if let Some(bell) = bell {
        let _ = rustix::io::read(bell, &mut [0u8; 8]);
    }
    waiting.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty()).map(|((id, ..), _)| *id).collect()
}
