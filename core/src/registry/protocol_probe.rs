//! Finds out what listens at an address where a registry was expected: the first bytes that it sends, for error messages.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How many bytes of an unexpected first response are kept.
pub(super) const MAX_SHOWN: usize = 60;
/// How long to wait for the response to the probe.
const PROBE_TIMEOUT: Duration = Duration::from_millis(300);

/// Sends an HTTP/1.1 request and returns the first bytes of the response. Some servers close a connection of an unknown
/// protocol without a response, or wait for more data; most of them answer HTTP/1.1. A server that does not answer
/// cannot be told apart from one that has failed.
pub(super) async fn probe_http(address: SocketAddr) -> Option<Vec<u8>> {
    let probe = async {
        let mut socket = TcpStream::connect(address).await.ok()?;
        socket.write_all(b"HEAD / HTTP/1.1\r\nHost: registry\r\nConnection: close\r\n\r\n").await.ok()?;
        let mut bytes = [0; MAX_SHOWN];
        let length = socket.read(&mut bytes).await.ok()?;
        Some(bytes[..length].to_vec())
    };
    timeout(PROBE_TIMEOUT, probe).await.ok().flatten().filter(|bytes| !bytes.is_empty())
}

/// Whether these bytes are the start of an HTTP/2 connection: a SETTINGS frame.
pub(super) fn is_http2(bytes: &[u8]) -> bool {
    const SETTINGS: u8 = 4;
    bytes.get(3) == Some(&SETTINGS)
}

/// The first bytes in the form that messages show: their first line, quoted.
pub(super) fn describe(bytes: &[u8]) -> String {
    if is_http2(bytes) {
        return "it speaks HTTP/2".into();
    }
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_SHOWN)]);
    format!("it sent {:?}", text.lines().next().unwrap_or_default().trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn describes_the_first_bytes_in_one_line() {
        for (bytes, expected) in [
            (&b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n"[..], "it sent \"HTTP/1.1 400 Bad Request\""),
            (b"\x00\x00\x12\x04\x00\x00", "it speaks HTTP/2"),
            (b"SSH-2.0\"\n", "it sent \"SSH-2.0\\\"\""),
            (&[b'x'; 1000], &format!("it sent {:?}", "x".repeat(MAX_SHOWN))),
        ] {
            assert_eq!(describe(bytes), expected);
        }
    }
}
