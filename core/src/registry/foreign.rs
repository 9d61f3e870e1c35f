//! What listens where a registry should: its first words, for the message that says so.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// As much of a first answer as is kept where it is not the right one.
pub(super) const SHOWN: usize = 60;
/// How long is waited for what a server says that did not say it was the right one.
const LISTEN: Duration = Duration::from_millis(300);

/// Some servers hang up on a foreign protocol without a word, or wait for more of it. Asked in HTTP/1.1 they say what
/// they are; those that do not are not told from one that is ill.
pub(super) async fn introduction(address: SocketAddr) -> Option<Vec<u8>> {
    let word = async {
        let mut socket = TcpStream::connect(address).await.ok()?;
        socket.write_all(b"HEAD / HTTP/1.1\r\nHost: registry\r\nConnection: close\r\n\r\n").await.ok()?;
        let mut word = [0; SHOWN];
        let length = socket.read(&mut word).await.ok()?;
        Some(word[..length].to_vec())
    };
    timeout(LISTEN, word).await.ok().flatten().filter(|word| !word.is_empty())
}

/// Whether this is how HTTP/2 begins: with a frame of settings.
pub(super) fn is_http2(said: &[u8]) -> bool {
    const SETTINGS: u8 = 4;
    said.get(3) == Some(&SETTINGS)
}

/// The first words as messages show them: one line, quoted.
pub(super) fn shown(said: &[u8]) -> String {
    if is_http2(said) {
        return "it speaks HTTP/2".into();
    }
    let text = String::from_utf8_lossy(&said[..said.len().min(SHOWN)]);
    format!("it said {:?}", text.lines().next().unwrap_or_default().trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_shown_in_one_line() {
        for (said, says) in [
            (&b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n"[..], "it said \"HTTP/1.1 400 Bad Request\""),
            (b"\x00\x00\x12\x04\x00\x00", "it speaks HTTP/2"),
            (b"SSH-2.0\"\n", "it said \"SSH-2.0\\\"\""),
            (&[b'x'; 1000], &format!("it said {:?}", "x".repeat(SHOWN))),
        ] {
            assert_eq!(shown(said), says);
        }
    }
}
