//! One connection: a plain or TLS socket whose every wait is cut into slices.
//!
//! The kernel wakes a blocked read or write at least each [`SLICE`], so that the thread can ask its
//! [`Interrupt`] and its deadline; no call sets a socket option unless its deadline is nearer than that.
//! Writes go through `send` with `MSG_NOSIGNAL`, also under TLS: SIGPIPE never reaches the program.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::net::{RecvFlags, recv};
use rustls::{ClientConnection, StreamOwned};

use super::tls;
use super::{Failure, Target};
use crate::clock::{self, Deadline, Tick};
use crate::interrupt::{Interrupt, SLICE};

/// How long an exchange may last, and who may end it.
pub(super) struct Wait<'a> {
    pub(super) deadline: Deadline,
    pub(super) interrupt: &'a dyn Interrupt,
}

/// Received at a time: a usual answer in one read, and no more than a connection may cost.
const INBOX: usize = 16 << 10;

/// An open connection to one target.
pub(super) struct Connection {
    stream: Stream,
    /// Buffers live as long as the connection: clearing 16 KiB for each call would show.
    inbox: Box<[u8]>,
    outbox: Vec<u8>,
    /// The read and write timeout the socket has now.
    slice: Duration,
    /// When it last finished an exchange.
    pub(super) idle_since: Tick,
    /// When the server will close it for idleness.
    pub(super) idle_until: Tick,
}

enum Stream {
    Plain(Quiet),
    Tls(Box<StreamOwned<ClientConnection, Quiet>>),
}

impl Connection {
    /// Connects, and agrees on TLS where the target wants it.
    pub(super) fn open(
        target: &Target,
        connect_timeout: Duration,
        wait: &Wait<'_>,
    ) -> Result<Connection, Failure> {
        let socket = connect(target.address, connect_timeout, wait)?;
        let refused = |error: io::Error| Failure::Refused(error.to_string());
        socket.set_nodelay(true).map_err(refused)?;
        set_timeouts(&socket, SLICE).map_err(refused)?;
        let mut connection = Connection {
            stream: Stream::Plain(Quiet(socket)),
            inbox: vec![0; INBOX].into(),
            outbox: Vec::with_capacity(512),
            slice: SLICE,
            idle_since: Tick::ZERO,
            idle_until: Tick::NEVER,
        };
        if let Some(name) = &target.tls {
            connection = connection.secure(name, wait)?;
        }
        Ok(connection)
    }

    fn secure(mut self, name: &tls::Name, wait: &Wait<'_>) -> Result<Connection, Failure> {
        let session = ClientConnection::new(name.config.clone(), name.server_name.clone())
            .map_err(|error| Failure::Tls(error.to_string()))?;
        let Stream::Plain(socket) = self.stream else { return Ok(self) };
        self.stream = Stream::Tls(Box::new(StreamOwned::new(session, socket)));
        self.sliced(wait, |stream| match stream {
            Stream::Tls(tls) if tls.conn.is_handshaking() => {
                tls.conn.complete_io(&mut tls.sock).map(|_| ()).map_err(no_tls)
            }
            _ => Ok(()),
        })
        .map_err(|failure| match failure {
            // Not TLS failed but the connection, and the request has not left: as if refused.
            Failure::Reset(what) => Failure::Refused(format!("TLS handshake: {what}")),
            other => other,
        })?;
        Ok(self)
    }

    /// Where the head of the next request is put together; empty.
    pub(super) fn outbox(&mut self) -> &mut Vec<u8> {
        self.outbox.clear();
        &mut self.outbox
    }

    /// Sends what the outbox holds.
    pub(super) fn send_outbox(&mut self, wait: &Wait<'_>) -> Result<(), Failure> {
        let outbox = std::mem::take(&mut self.outbox);
        let sent = self.send(&outbox, wait);
        self.outbox = outbox;
        sent
    }

    /// Sends all of these bytes.
    pub(super) fn send(&mut self, mut bytes: &[u8], wait: &Wait<'_>) -> Result<(), Failure> {
        if bytes.is_empty() {
            return Ok(());
        }
        while !bytes.is_empty() {
            let sent = self.sliced(wait, |stream| stream.write(bytes))?;
            bytes = &bytes[sent..];
        }
        if matches!(self.stream, Stream::Tls(_)) {
            self.sliced(wait, Stream::flush)?;
        }
        Ok(())
    }

    /// Receives what there is, at least a byte; nothing at the end.
    pub(super) fn receive(&mut self, wait: &Wait<'_>) -> Result<&[u8], Failure> {
        let mut inbox = std::mem::take(&mut self.inbox);
        let received = self.sliced(wait, |stream| stream.read(&mut inbox));
        self.inbox = inbox;
        received.map(|length| &self.inbox[..length])
    }

    /// Whether it is still open and quiet: anything to read now is an end, or an answer nobody asked for.
    pub(super) fn is_alive(&self) -> bool {
        let mut byte = [0u8];
        let socket = &self.socket().0;
        matches!(
            recv(socket, &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT),
            Err(rustix::io::Errno::AGAIN)
        )
    }

    fn socket(&self) -> &Quiet {
        match &self.stream {
            Stream::Plain(socket) => socket,
            Stream::Tls(tls) => &tls.sock,
        }
    }

    /// Repeats `io` until it is done, the deadline has passed, or the caller gives up.
    fn sliced<T>(
        &mut self,
        wait: &Wait<'_>,
        mut io: impl FnMut(&mut Stream) -> io::Result<T>,
    ) -> Result<T, Failure> {
        loop {
            self.fit_slice(wait)?;
            match io(&mut self.stream) {
                Ok(done) => return Ok(done),
                Err(error) if is_slice_end(&error) => wait.check()?,
                Err(error) if error.kind() == ErrorKind::InvalidData => {
                    return Err(Failure::Tls(error.to_string()));
                }
                Err(error) => return Err(Failure::Reset(error.to_string())),
            }
        }
    }

    /// Makes the socket wake up by the deadline where that is nearer than a slice.
    fn fit_slice(&mut self, wait: &Wait<'_>) -> Result<(), Failure> {
        let left = wait.deadline.left(clock::now());
        if left.is_zero() {
            return Err(Failure::Timeout);
        }
        // A millisecond's grain keeps a deadline's last moments from setting the option over and over.
        let slice = left.min(SLICE).max(Duration::from_millis(1));
        if slice < self.slice || (slice == SLICE && self.slice != SLICE) {
            set_timeouts(&self.socket().0, slice).map_err(|error| Failure::Reset(error.to_string()))?;
            self.slice = slice;
        }
        Ok(())
    }
}

impl Wait<'_> {
    /// Ends the wait if its time is up or the caller wants it to end.
    pub(super) fn check(&self) -> Result<(), Failure> {
        self.interrupt.check().map_err(Failure::Interrupted)?;
        if self.deadline.passed(clock::now()) { Err(Failure::Timeout) } else { Ok(()) }
    }
}

/// Whoever closes in good order in the middle of a handshake speaks no TLS; who dies resets.
fn no_tls(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::UnexpectedEof {
        io::Error::new(ErrorKind::InvalidData, error)
    } else {
        error
    }
}

fn is_slice_end(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn set_timeouts(socket: &TcpStream, slice: Duration) -> io::Result<()> {
    socket.set_read_timeout(Some(slice))?;
    socket.set_write_timeout(Some(slice))
}

/// Connects in slices: started without blocking, then polled until it is done.
pub(super) fn connect(
    address: SocketAddr,
    connect_timeout: Duration,
    wait: &Wait<'_>,
) -> Result<TcpStream, Failure> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let refused = |error: rustix::io::Errno| Failure::Refused(io::Error::from(error).to_string());
    let socket = start_connecting(address).map_err(refused)?;
    let limit = wait.deadline.tightened(clock::now().after(connect_timeout));
    loop {
        let left = limit.left(clock::now());
        if left.is_zero() {
            // Whoever gave less time than a connection may take is told that the time is up, not that nobody is there.
            wait.check()?;
            return Err(Failure::Refused(format!("no connection within {connect_timeout:?}")));
        }
        let slice = Timespec::try_from(left.min(SLICE)).ok();
        let ready = match poll(&mut [PollFd::new(&socket, PollFlags::OUT)], slice.as_ref()) {
            Err(rustix::io::Errno::INTR) => 0,
            other => other.map_err(refused)?,
        };
        if ready > 0 {
            rustix::net::sockopt::socket_error(&socket).map_err(refused)?.map_err(refused)?;
            rustix::io::ioctl_fionbio(&socket, false).map_err(refused)?;
            return Ok(TcpStream::from(socket));
        }
        wait.interrupt.check().map_err(Failure::Interrupted)?;
    }
}

fn start_connecting(address: SocketAddr) -> rustix::io::Result<rustix::fd::OwnedFd> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    match connect(&socket, &address) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}

/// A socket that is only ever written with `send`: std's vectored write would raise SIGPIPE.
pub(super) struct Quiet(pub(super) TcpStream);

impl Read for Quiet {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Quiet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(buffer),
            Stream::Tls(tls) => match tls.read(buffer) {
                // Closed without close_notify: whether the answer was complete, its framing says.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(0),
                other => other,
            },
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            Stream::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.flush(),
            Stream::Tls(tls) => tls.flush(),
        }
    }
}
