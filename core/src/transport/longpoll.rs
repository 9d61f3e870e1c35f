//! An exchange that waits without a thread: for the answer of a waiting watch, which may take its time.
//!
//! ```text
//!  open ──► ask ──► step ──► Waits(read | write) ── parked with the runtime ──► step ──► … ──► Answered
//! ```
//!
//! The socket never blocks. Whoever is told that it is ready calls [`LongPoll::step`], which does what can be
//! done now. TLS is agreed on in the same way, within the first steps. The connection carries one exchange
//! after the other.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConnection;

use super::connection::{Wait, connect};
use super::http1::{self, Progress, Reader};
use super::{Answer, Exchange, Failure, Limits, Target};
use crate::runtime::Interest;

const INBOX: usize = 16 << 10;

/// A connection for exchanges that wait.
pub struct LongPoll {
    socket: Arc<TcpStream>,
    host: String,
    tls: Option<Box<ClientConnection>>,
    /// What is still to be sent.
    outbox: Vec<u8>,
    reader: Option<Reader>,
}

/// How far an exchange has come.
#[derive(Debug)]
pub enum Step {
    /// Nothing can be done until the socket is ready for this.
    Waits(Interest),
    /// The answer is there.
    Answered(Answer),
}

impl LongPoll {
    /// Connects; the only part that blocks, and no longer than `connect_timeout`.
    pub fn open(
        target: &Target,
        connect_timeout: Duration,
        limits: &Limits<'_>,
    ) -> Result<LongPoll, Failure> {
        let wait = Wait { deadline: limits.deadline, interrupt: limits.interrupt };
        let socket = connect(target.address, connect_timeout, &wait)?;
        let refused = |error: io::Error| Failure::Refused(error.to_string());
        socket.set_nodelay(true).map_err(refused)?;
        socket.set_nonblocking(true).map_err(refused)?;
        let session = |name: &super::tls::Name| {
            ClientConnection::new(name.config.clone(), name.server_name.clone())
                .map(Box::new)
                .map_err(|error| Failure::Tls(error.to_string()))
        };
        let tls = target.tls.as_ref().map(session).transpose()?;
        let host = target.host.clone();
        Ok(LongPoll { socket: Arc::new(socket), host, tls, outbox: Vec::new(), reader: None })
    }

    /// The socket, to be parked.
    pub fn socket(&self) -> &Arc<TcpStream> {
        &self.socket
    }

    /// Begins an exchange; [`LongPoll::step`] carries it out.
    pub fn ask(&mut self, request: &Exchange<'_>, max_body: u64) {
        let body = request.body.unwrap_or_default();
        let host = request.host.unwrap_or(&self.host);
        self.outbox.clear();
        http1::write_head(
            &mut self.outbox,
            request.method,
            request.path,
            host,
            request.headers,
            request.body.map(<[u8]>::len),
        );
        self.outbox.extend_from_slice(body);
        self.reader = Some(Reader::new(request.method, max_body));
    }

    /// Does what can be done now.
    pub fn step(&mut self) -> Result<Step, Failure> {
        if !self.send()? {
            return Ok(Step::Waits(Interest::Write));
        }
        if !self.receive()? {
            let interest = if self.wants_write() { Interest::Write } else { Interest::Read };
            return Ok(Step::Waits(interest));
        }
        let reader = self.reader.take().ok_or_else(|| Failure::BadAnswer("nothing was asked".into()))?;
        self.reader = None;
        let reusable = reader.reuse().is_some();
        let answer = reader.finish()?;
        if !reusable {
            // The next exchange finds a closed connection, and opens another one.
            let _ = self.socket.shutdown(std::net::Shutdown::Both);
        }
        Ok(Step::Answered(answer))
    }

    fn wants_write(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Whether all that is to be sent has been sent.
    fn send(&mut self) -> Result<bool, Failure> {
        let socket = &*self.socket;
        let Some(tls) = &mut self.tls else {
            while !self.outbox.is_empty() {
                match unblocked((&mut &*socket).write(&self.outbox)).map_err(reset)? {
                    Some(sent) => drop(self.outbox.drain(..sent)),
                    None => return Ok(false),
                }
            }
            return Ok(true);
        };
        loop {
            if !tls.is_handshaking() && !self.outbox.is_empty() {
                let taken = tls.writer().write(&self.outbox).map_err(reset)?;
                self.outbox.drain(..taken);
            }
            if !tls.wants_write() {
                return Ok(true);
            }
            if unblocked(tls.write_tls(&mut Unvectored(socket))).map_err(reset)?.is_none() {
                return Ok(false);
            }
        }
    }

    /// Whether the answer is complete.
    fn receive(&mut self) -> Result<bool, Failure> {
        let mut inbox = [0; INBOX];
        loop {
            let Some(length) = self.read(&mut inbox)? else { return Ok(false) };
            let reader =
                self.reader.as_mut().ok_or_else(|| Failure::BadAnswer("nothing was asked".into()))?;
            if length == 0 {
                reader.eof()?;
                return Ok(true);
            }
            if reader.feed(&inbox[..length])? == Progress::Done {
                return Ok(true);
            }
        }
    }

    /// Bytes of the answer; `None` if there are none yet, 0 at the end.
    fn read(&mut self, inbox: &mut [u8]) -> Result<Option<usize>, Failure> {
        let socket = self.socket.clone();
        if self.tls.is_none() {
            return unblocked((&*socket).read(inbox)).map_err(reset);
        }
        loop {
            let Some(tls) = &mut self.tls else { return Ok(None) };
            match tls.reader().read(inbox) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // Closed without close_notify: whether the answer was complete, its framing says.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(Some(0)),
                other => return other.map(Some).map_err(reset),
            }
            match unblocked(tls.read_tls(&mut &*socket)).map_err(reset)? {
                None => return Ok(None),
                Some(0) => return Ok(Some(0)),
                Some(_) => {}
            }
            let was_handshaking = tls.is_handshaking();
            tls.process_new_packets().map_err(|error| Failure::Tls(error.to_string()))?;
            if (was_handshaking || tls.wants_write()) && !self.send()? {
                return Ok(None);
            }
        }
    }
}

/// `None` where the socket has nothing to give or take at present.
fn unblocked(done: io::Result<usize>) -> io::Result<Option<usize>> {
    match done {
        Ok(length) => Ok(Some(length)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(error),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "handed to map_err")]
fn reset(error: io::Error) -> Failure {
    Failure::Reset(error.to_string())
}

/// std sends single buffers without raising SIGPIPE, but not several at once.
struct Unvectored<'a>(&'a TcpStream);

impl Write for Unvectored<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&mut &*self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::clock::{self, Deadline};
    use crate::interrupt::Never;

    fn open(listener: &TcpListener) -> (LongPoll, TcpStream) {
        let address = listener.local_addr().unwrap();
        let target = Target { address, host: "registry".into(), tls: None };
        let deadline = Deadline::new(clock::now(), Duration::from_secs(5));
        let limits = Limits { deadline, max_body: 1000, interrupt: &Never };
        let poll = LongPoll::open(&target, Duration::from_secs(1), &limits).unwrap();
        (poll, listener.accept().unwrap().0)
    }

    fn ask(poll: &mut LongPoll) {
        let request = Exchange {
            method: "POST",
            path: "/v1/watch",
            host: None,
            headers: &[],
            body: Some(b"{}"),
            repeatable: true,
        };
        poll.ask(&request, 1000);
    }

    /// Steps until the exchange is over; the kernel decides when bytes arrive.
    fn finish(poll: &mut LongPoll) -> Result<Answer, Failure> {
        loop {
            if let Step::Answered(answer) = poll.step()? {
                return Ok(answer);
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn waits_without_blocking_and_reads_in_pieces() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut poll, mut server) = open(&listener);
        ask(&mut poll);
        assert!(matches!(poll.step(), Ok(Step::Waits(Interest::Read))));
        server.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab").unwrap();
        assert!(matches!(poll.step(), Ok(Step::Waits(Interest::Read))));
        server.write_all(b"c\r\n0\r\n\r\n").unwrap();
        assert_eq!(finish(&mut poll).unwrap().body, b"abc");
        ask(&mut poll);
        server.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        assert_eq!(finish(&mut poll).unwrap().status, 204);
    }

    #[test]
    fn broken_connection_is_a_reset() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut poll, server) = open(&listener);
        ask(&mut poll);
        drop(server);
        assert!(matches!(finish(&mut poll), Err(Failure::Reset(_))));
    }
}
