//! HTTP/1.1 without sockets: a request becomes bytes, bytes become an answer.
//!
//! [`Reader`] is fed whatever arrived and says whether it needs more. It takes what RFC 9112 allows a
//! server to send, and refuses the rest: a length that contradicts another, a chunk that is no chunk, a
//! body cut short, one that is longer than the caller wants.
//!
//! ```text
//!  Head ──► Length(n) ──────────────► Done
//!    │  └─► Chunk size/data/trailers ─► Done        1xx: Head again (101 is refused)
//!    └────► UntilClose ── eof ───────► Done        HEAD, 204, 304: Done at the head
//! ```

use super::{Answer, Failure, Headers};

/// Heads larger than this are refused.
const MAX_HEAD: usize = 256 << 10;
const MAX_FIELDS: usize = 128;
/// A chunk's size line, extensions included.
const MAX_CHUNK_LINE: usize = 4096;

/// Room for one byte behind a body: a window that ends strings with a NUL puts it there without moving the body.
const BEHIND: usize = 1;

/// Writes the head of a request. `path` and `headers` must hold no CR, LF or NUL; callers have checked.
pub fn write_head(
    out: &mut Vec<u8>,
    method: &str,
    path: &str,
    host: &str,
    headers: &[(&str, &str)],
    content_length: Option<usize>,
) {
    let mut push = |parts: &[&str]| parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
    push(&[method, " ", path, " HTTP/1.1\r\nHost: ", host, "\r\n"]);
    headers.iter().for_each(|(name, value)| push(&[name, ": ", value, "\r\n"]));
    if let Some(length) = content_length {
        push(&["Content-Length: ", itoa::Buffer::new().format(length), "\r\n"]);
    }
    push(&["\r\n"]);
}

/// Whether an answer is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More bytes are needed.
    NeedMore,
    /// The answer is complete; [`Reader::finish`] has it.
    Done,
}

/// Reads one answer.
#[derive(Debug)]
pub struct Reader {
    stage: Stage,
    answer: Answer,
    /// Bytes of a head or a chunk line that is not complete yet.
    partial: Vec<u8>,
    head_only: bool,
    max_body: u64,
    keep_alive: bool,
    /// Seconds the server said it keeps the connection.
    keep_alive_timeout: Option<u64>,
    started: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Head,
    Length(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
    UntilClose,
    Done,
}

impl Reader {
    /// A reader for the answer to a request of this method; a body over `max_body` bytes is refused.
    pub fn new(method: &str, max_body: u64) -> Reader {
        Reader {
            stage: Stage::Head,
            answer: Answer::default(),
            partial: Vec::new(),
            head_only: method == "HEAD",
            max_body,
            keep_alive: true,
            keep_alive_timeout: None,
            started: false,
        }
    }

    /// Whether any byte of the answer has arrived.
    pub fn has_started(&self) -> bool {
        self.started
    }

    /// Takes what arrived. Bytes after the end of the answer make the connection unfit for another.
    pub fn feed(&mut self, mut input: &[u8]) -> Result<Progress, Failure> {
        self.started |= !input.is_empty();
        loop {
            match self.stage {
                Stage::Done => {
                    self.keep_alive &= input.is_empty();
                    return Ok(Progress::Done);
                }
                _ if input.is_empty() => return Ok(Progress::NeedMore),
                Stage::Head => input = self.head(input)?,
                Stage::Length(left) => {
                    let taken = self.body(input, left)?;
                    input = &input[taken..];
                    self.stage = after(Stage::Length(left - taken as u64));
                }
                Stage::UntilClose => {
                    let taken = self.body(input, u64::MAX)?;
                    input = &input[taken..];
                }
                Stage::ChunkSize => input = self.line(input, Reader::chunk_size)?,
                Stage::ChunkData(left) => {
                    let taken = self.body(input, left)?;
                    input = &input[taken..];
                    self.stage = after(Stage::ChunkData(left - taken as u64));
                }
                Stage::ChunkEnd => input = self.line(input, Reader::chunk_end)?,
                Stage::Trailers => input = self.line(input, Reader::trailer)?,
            }
        }
    }

    /// The other side closed: complete only if the body was to last until then.
    pub fn eof(&mut self) -> Result<(), Failure> {
        self.keep_alive = false;
        match self.stage {
            Stage::Done => Ok(()),
            Stage::UntilClose => {
                self.stage = Stage::Done;
                Ok(())
            }
            Stage::Head if !self.started => Err(Failure::Reset("closed without an answer".into())),
            _ => Err(Failure::Reset("closed in the middle of an answer".into())),
        }
    }

    /// Whether the connection may carry another exchange, and how long the server keeps it, if it said.
    pub fn reuse(&self) -> Option<Option<u64>> {
        (self.stage == Stage::Done && self.keep_alive).then_some(self.keep_alive_timeout)
    }

    /// The complete answer, its body decompressed.
    pub fn finish(self) -> Result<Answer, Failure> {
        let mut answer = self.answer;
        let encoded = answer
            .headers
            .get("content-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("gzip") || value.eq_ignore_ascii_case("x-gzip"));
        if encoded && !answer.body.is_empty() {
            answer.body = gunzip(&answer.body, self.max_body)?;
        }
        Ok(answer)
    }

    fn head<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8], Failure> {
        if self.partial.is_empty() {
            // The common case: the whole head in one read, parsed where it lies.
            if let Some(length) = self.parse_head(input)? {
                return Ok(&input[length..]);
            }
        }
        let before = self.partial.len();
        let mut text = std::mem::take(&mut self.partial);
        text.extend_from_slice(input);
        if let Some(length) = self.parse_head(&text)? {
            return Ok(&input[length - before..]);
        }
        if text.len() > MAX_HEAD {
            return Err(bad(format!("its head is longer than {MAX_HEAD} bytes")));
        }
        self.partial = text;
        Ok(&[])
    }

    /// Parses a head; the number of bytes it took, or `None` while it is incomplete.
    fn parse_head(&mut self, text: &[u8]) -> Result<Option<usize>, Failure> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut head = httparse::Response::new(&mut fields);
        let length = match head.parse(text) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => return Err(bad(error.to_string())),
        };
        let status = head.code.unwrap_or_default();
        if (100..200).contains(&status) {
            if status == 101 {
                return Err(bad("101 to a request that asked for no upgrade".into()));
            }
            return Ok(Some(length)); // an interim answer: the real one follows
        }
        if !(200..600).contains(&status) {
            return Err(bad(format!("status {status}")));
        }
        self.keep_alive = head.version == Some(1);
        self.stage = self.accept(status, head.headers)?;
        Ok(Some(length))
    }

    fn accept(&mut self, status: u16, fields: &[httparse::Header<'_>]) -> Result<Stage, Failure> {
        let text = fields.iter().map(|field| field.name.len() + field.value.len()).sum();
        let mut headers = Headers::with_capacity(fields.len(), text);
        let mut framing = Framing::default();
        for field in fields {
            framing.look_at(field, &mut self.keep_alive, &mut self.keep_alive_timeout)?;
            headers.push(field.name, field.value);
        }
        self.answer = Answer { status, headers, body: Vec::new() };
        if self.head_only || status == 204 || status == 304 {
            return Ok(Stage::Done);
        }
        match framing {
            Framing { chunked: true, length: None } => Ok(Stage::ChunkSize),
            Framing { chunked: true, length: Some(_) } => {
                Err(bad("both Content-Length and Transfer-Encoding".into()))
            }
            Framing { length: Some(length), .. } if length > self.max_body => {
                Err(Failure::TooLarge(self.max_body))
            }
            Framing { length: Some(length), .. } => {
                // A length is only a promise: reserve no more than a peer can make us believe cheaply.
                if length > 0 {
                    self.answer.body.reserve(length.min(1 << 20) as usize + BEHIND);
                }
                Ok(after(Stage::Length(length)))
            }
            Framing { .. } => {
                self.keep_alive = false;
                Ok(Stage::UntilClose)
            }
        }
    }

    /// Takes up to `left` bytes of body; how many.
    fn body(&mut self, input: &[u8], left: u64) -> Result<usize, Failure> {
        let taken = left.min(input.len() as u64) as usize;
        if self.answer.body.len() as u64 + taken as u64 > self.max_body {
            return Err(Failure::TooLarge(self.max_body));
        }
        self.answer.body.reserve(taken + BEHIND);
        self.answer.body.extend_from_slice(&input[..taken]);
        Ok(taken)
    }

    /// Takes one line, and once it is complete, hands it to `then` without its end.
    fn line<'a>(
        &mut self,
        input: &'a [u8],
        then: impl FnOnce(&mut Reader, &[u8]) -> Result<Stage, Failure>,
    ) -> Result<&'a [u8], Failure> {
        let end = input.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(input.len(), |end| end + 1);
        self.partial.extend_from_slice(&input[..taken]);
        if self.partial.len() > MAX_CHUNK_LINE {
            return Err(bad("a chunk line without end".into()));
        }
        if end.is_some() {
            let line = std::mem::take(&mut self.partial);
            let line = line.strip_suffix(b"\r\n").ok_or_else(|| bad("a chunk line without CR".into()))?;
            self.stage = then(self, line)?;
        }
        Ok(&input[taken..])
    }

    fn chunk_size(&mut self, line: &[u8]) -> Result<Stage, Failure> {
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let plain = !digits.is_empty() && digits.len() <= 16 && digits.iter().all(u8::is_ascii_hexdigit);
        let size = plain
            .then(|| u64::from_str_radix(std::str::from_utf8(digits).unwrap_or_default(), 16).ok())
            .flatten()
            .ok_or_else(|| bad(format!("chunk size {:?}", String::from_utf8_lossy(digits))))?;
        if size > self.max_body {
            return Err(Failure::TooLarge(self.max_body));
        }
        Ok(if size == 0 { Stage::Trailers } else { Stage::ChunkData(size) })
    }

    #[allow(clippy::unused_self, reason = "one of the steps that `line` hands a line to")]
    fn chunk_end(&mut self, line: &[u8]) -> Result<Stage, Failure> {
        if line.is_empty() { Ok(Stage::ChunkSize) } else { Err(bad("a chunk longer than it said".into())) }
    }

    #[allow(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "one of the steps that `line` hands a line to"
    )]
    fn trailer(&mut self, line: &[u8]) -> Result<Stage, Failure> {
        Ok(if line.is_empty() { Stage::Done } else { Stage::Trailers })
    }
}

/// The stage that follows once nothing is left of this one.
fn after(stage: Stage) -> Stage {
    match stage {
        Stage::Length(0) => Stage::Done,
        Stage::ChunkData(0) => Stage::ChunkEnd,
        going => going,
    }
}

/// How the head says the body ends.
#[derive(Default)]
struct Framing {
    length: Option<u64>,
    chunked: bool,
}

impl Framing {
    fn look_at(
        &mut self,
        field: &httparse::Header<'_>,
        keep_alive: &mut bool,
        keep_alive_timeout: &mut Option<u64>,
    ) -> Result<(), Failure> {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        match field.name.len() {
            14 if is("content-length") => {
                let length = parse_length(field.value)?;
                if self.length.is_some_and(|other| other != length) {
                    return Err(bad("two lengths that differ".into()));
                }
                self.length = Some(length);
            }
            17 if is("transfer-encoding") => {
                if !field.value.trim_ascii().eq_ignore_ascii_case(b"chunked") || self.chunked {
                    let coding = String::from_utf8_lossy(field.value).into_owned();
                    return Err(bad(format!("transfer coding {coding:?}")));
                }
                self.chunked = true;
            }
            10 if is("connection") => {
                for token in field.value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    if token.eq_ignore_ascii_case(b"close") {
                        *keep_alive = false;
                    } else if token.eq_ignore_ascii_case(b"keep-alive") {
                        *keep_alive = true;
                    }
                }
            }
            10 if is("keep-alive") => *keep_alive_timeout = parse_keep_alive(field.value),
            _ => {}
        }
        Ok(())
    }
}

fn parse_length(value: &[u8]) -> Result<u64, Failure> {
    let refuse = || bad(format!("Content-Length {:?}", String::from_utf8_lossy(value)));
    let digits = value.trim_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(refuse());
    }
    std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).ok_or_else(refuse)
}

fn parse_keep_alive(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    text.split(',').find_map(|part| part.trim().strip_prefix("timeout=")?.trim().parse().ok())
}

fn gunzip(body: &[u8], max_body: u64) -> Result<Vec<u8>, Failure> {
    use std::io::Read;
    let mut plain = Vec::new();
    flate2::read::MultiGzDecoder::new(body)
        .take(max_body.saturating_add(1))
        .read_to_end(&mut plain)
        .map_err(|error| bad(format!("gzip: {error}")))?;
    if plain.len() as u64 > max_body { Err(Failure::TooLarge(max_body)) } else { Ok(plain) }
}

fn bad(what: String) -> Failure {
    Failure::BadAnswer(what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    fn read(method: &str, pieces: &[&[u8]]) -> Result<(Answer, bool), Failure> {
        let mut reader = Reader::new(method, 1000);
        for piece in pieces {
            reader.feed(piece)?;
        }
        if reader.stage != Stage::Done {
            reader.eof()?;
        }
        let reuse = reader.reuse().is_some();
        Ok((reader.finish()?, reuse))
    }

    fn body(text: &str) -> Result<(String, bool), Failure> {
        read("GET", &[text.as_bytes()])
            .map(|(answer, reuse)| (String::from_utf8(answer.body).unwrap(), reuse))
    }

    #[test]
    fn response_ends_where_its_head_says() {
        let ok = |text: &str| Some((text.to_owned(), true));
        assert_eq!(body("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").ok(), ok("hello"));
        assert_eq!(body("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nT: 1\r\n\r\n").ok(), ok("hello"));
        assert_eq!(body("HTTP/1.1 200 OK\r\n\r\nhello").ok(), Some(("hello".into(), false)));
        assert_eq!(body("HTTP/1.1 204 No Content\r\n\r\n").ok(), ok(""));
        assert_eq!(
            body("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx").ok(),
            ok("x")
        );
    }

    #[test]
    fn body_has_room_for_a_trailing_nul() {
        let pieces: [&[&[u8]]; 3] = [
            &[b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n01234567", b"89abcdef"],
            &[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"],
            &[b"HTTP/1.1 200 OK\r\n\r\n0123456789abcdef"],
        ];
        for pieces in pieces {
            let body = read("GET", pieces).unwrap().0.body;
            assert!(body.len() == 16 && body.capacity() > 16, "{pieces:?}");
        }
    }

    #[test]
    fn head_response_has_no_body() {
        let (answer, reuse) = read("HEAD", &[b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"]).unwrap();
        assert_eq!((answer.status, answer.body.len(), reuse), (200, 0, true));
    }

    #[test]
    fn body_after_204_ends_the_connection() {
        let (answer, reuse) =
            read("GET", &[b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nhi"]).unwrap();
        assert_eq!((answer.status, answer.body.len(), reuse), (204, 0, false));
    }

    #[test]
    fn rejects_contradictory_framing() {
        for text in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "HTTP/1.1 999 Huh\r\n\r\n",
            "SSH-2.0-OpenSSH_9.2\r\n",
        ] {
            assert!(matches!(body(text), Err(Failure::BadAnswer(_))), "{text:?}");
        }
    }

    #[test]
    fn truncated_response_is_a_reset() {
        for text in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"] {
            assert!(matches!(body(text), Err(Failure::Reset(_))), "{text:?}");
        }
    }

    #[test]
    fn rejects_oversized_body_before_reading_it() {
        assert!(matches!(
            body("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"),
            Err(Failure::TooLarge(1000))
        ));
        assert!(matches!(
            body("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n"),
            Err(Failure::TooLarge(1000))
        ));
    }

    #[test]
    fn gzip_bomb_stops_at_the_limit() {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![0; 100_000]).unwrap();
        let packed = encoder.finish().unwrap();
        let mut text =
            format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", packed.len())
                .into_bytes();
        text.extend(packed);
        assert!(matches!(read("GET", &[&text]), Err(Failure::TooLarge(1000))));
    }

    #[test]
    fn keep_alive_follows_the_server() {
        let reuse = |head: &str| {
            let mut reader = Reader::new("GET", 10);
            reader.feed(format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{head}\r\n").as_bytes()).unwrap();
            reader.reuse()
        };
        assert_eq!(reuse(""), Some(None));
        assert_eq!(reuse("Connection: Close\r\n"), None);
        assert_eq!(reuse("Keep-Alive: timeout=5, max=100\r\n"), Some(Some(5)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

        #[test]
        fn however_it_is_cut_the_answer_is_the_same(cuts in prop::collection::vec(1usize..20, 1..40)) {
            let text = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n5;q\r\nabcde\r\n0\r\nT: t\r\n\r\n";
            let (mut pieces, mut rest, mut cut) = (Vec::new(), &text[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, left) = rest.split_at((*cut.next().unwrap()).min(rest.len()));
                pieces.push(piece);
                rest = left;
            }
            let (answer, reuse) = read("GET", &pieces).unwrap();
            prop_assert_eq!(answer.body, b"0123456789abcde");
            prop_assert!(reuse);
        }

        #[test]
        fn nothing_a_server_sends_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), prefix in 0usize..4) {
            let heads: [&[u8]; 4] = [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"];
            let _ = read("GET", &[heads[prefix], &bytes]);
        }
    }
}
