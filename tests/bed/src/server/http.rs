//! Just enough HTTP/1.1 to be told what to do with it.

use std::io::{Read, Write};

use serde_json::{Value, json};

/// How a TLS handshake begins, and no HTTP request does.
const TLS: u8 = 0x16;

/// A connection, encrypted or not.
pub trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

/// A request as it was read.
#[derive(Clone, Debug, Default)]
pub struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// Reads one; `None` once the connection has ended, or where it speaks something else.
    pub fn read(stream: &mut dyn Stream) -> Option<Request> {
        let (head, rest) = read_head(stream)?;
        let mut lines = head.split("\r\n");
        let mut line = lines.next()?.split(' ');
        let mut request = Request {
            method: line.next()?.to_owned(),
            path: line.next()?.to_owned(),
            headers: fields(lines),
            body: rest,
        };
        let length = length(&request.headers).unwrap_or(0);
        read_up_to(stream, &mut request.body, length)?;
        Some(request)
    }

    /// Whether its answer has no body.
    pub fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// As a scenario compares it.
    pub fn shown(&self) -> Value {
        let body = String::from_utf8_lossy(&self.body);
        json!({"method": self.method, "path": self.path, "headers": self.headers, "body": body})
    }
}

/// Reads an answer: status and body.
pub fn read_answer(stream: &mut dyn Stream) -> Option<(u16, Vec<u8>)> {
    let (head, mut body) = read_head(stream)?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let headers = fields(head.split("\r\n").skip(1));
    match length(&headers) {
        Some(length) => read_up_to(stream, &mut body, length)?,
        // A peer that ends TLS without saying so has still ended.
        None => drop(stream.read_to_end(&mut body)),
    }
    Some((status, body))
}

/// Everything up to the empty line, and what was read beyond it.
fn read_head(stream: &mut dyn Stream) -> Option<(String, Vec<u8>)> {
    let mut text = Vec::new();
    loop {
        if let Some(end) = text.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = text.split_off(end + 4);
            text.truncate(end);
            return Some((String::from_utf8_lossy(&text).into_owned(), rest));
        }
        read_some(stream, &mut text)?;
        if text.first() == Some(&TLS) {
            return None;
        }
    }
}

fn read_up_to(stream: &mut dyn Stream, bytes: &mut Vec<u8>, length: usize) -> Option<()> {
    while bytes.len() < length {
        read_some(stream, bytes)?;
    }
    Some(())
}

fn read_some(stream: &mut dyn Stream, bytes: &mut Vec<u8>) -> Option<()> {
    let mut buffer = [0; 16 * 1024];
    match stream.read(&mut buffer).ok()? {
        0 => None,
        count => {
            bytes.extend_from_slice(&buffer[..count]);
            Some(())
        }
    }
}

fn fields<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    let pair = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    lines.filter_map(pair).collect()
}

fn length(headers: &[(String, String)]) -> Option<usize> {
    headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok())
}
