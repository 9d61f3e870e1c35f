//! One connection: requests in, answers out, or what is played instead.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::http::{Request, Stream};
use super::{Shared, reset};
use crate::scenario::{Broken, Reply};

/// Answers until somebody ends it.
pub(super) fn answer_all(mut stream: impl Stream, socket: &TcpStream, shared: &Shared) {
    while let Some(request) = Request::read(&mut stream) {
        let reply = shared.take();
        let is_head = request.is_head();
        shared.seen.lock().push(request);
        if !answer(&mut stream, socket, &reply, is_head) {
            return;
        }
    }
    close(&mut stream, socket);
}

/// Does with one request what the script says; whether the connection goes on.
fn answer(stream: &mut dyn Stream, socket: &TcpStream, reply: &Reply, is_head: bool) -> bool {
    std::thread::sleep(Duration::from_millis(reply.delay));
    if reply.reset == Some(Broken::After) {
        reset(socket);
        return false;
    }
    if reply.close {
        return close(stream, socket);
    }
    if reply.hang {
        // Until the other side gives up.
        let _ = stream.read(&mut [0]);
        return false;
    }
    let bytes = reply.raw.as_ref().map_or_else(|| written(reply, is_head), |raw| raw.clone().into_bytes());
    if stream.write_all(&bytes).and_then(|()| stream.flush()).is_err() {
        return false;
    }
    if reply.raw.is_some() || reply.cut || reply.then_close {
        return close(stream, socket);
    }
    true
}

/// Closes in good order: with unread input it would be a reset.
fn close(stream: &mut dyn Stream, socket: &TcpStream) -> bool {
    // The other side may have closed first.
    let _ = socket.shutdown(Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
    false
}

fn written(reply: &Reply, is_head: bool) -> Vec<u8> {
    let status = reply.status.unwrap_or(200);
    let mut body = body(reply);
    let mut head = format!("HTTP/1.1 {status} Played\r\n");
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if reply.gzip {
        head.push_str("Content-Encoding: gzip\r\n");
    }
    if status != 204 && status != 304 {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    if is_head || status == 204 || status == 304 {
        body.clear();
    }
    if reply.cut {
        body.truncate(body.len() / 2);
    }
    [head.as_bytes(), b"\r\n", &body].concat()
}

fn body(reply: &Reply) -> Vec<u8> {
    let big = reply.body.strip_prefix("${big:").and_then(|rest| rest.strip_suffix('}'));
    let plain = match (big.and_then(|size| size.parse().ok()), &reply.bytes) {
        (Some(size), _) => vec![b'x'; size],
        (None, Some(bytes)) => bytes.clone(),
        (None, None) => reply.body.clone().into_bytes(),
    };
    if !reply.gzip {
        return plain;
    }
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory does not fail.
    packer.write_all(&plain).and_then(|()| packer.finish()).unwrap_or_default()
}
