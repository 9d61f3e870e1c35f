//! The binary format of ZooKeeper (jute): encodes requests, decodes responses. Pure: no sockets.
//!
//! ```text
//!  frame     length ─ payload
//!  request   length ─ xid ─ operation ─ body
//!  response  length ─ xid ─ zxid ─ error ─ body       xid -1: an event, -2: a ping, -4: credentials
//! ```
//!
//! Numbers are big-endian. Strings and bytes are preceded by their length, which is -1 for null.

use std::str;

/// The code of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum OpCode {
    Create = 1,
    Delete = 2,
    Exists = 3,
    GetData = 4,
    SetData = 5,
    GetChildren = 8,
    Ping = 11,
    Auth = 100,
    GetEphemerals = 103,
    CloseSession = -11,
}

/// The xids of frames that do not belong to an ordinary request.
pub(super) const EVENT: i32 = -1;
pub(super) const PING: i32 = -2;
pub(super) const AUTH: i32 = -4;

/// The longest frame. Four ASCII characters read as a length exceed it, so a server of another protocol is detected.
pub(super) const MAX_FRAME: usize = 64 << 20;

/// The bytes are not valid jute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MalformedJute;

type Result<T> = std::result::Result<T, MalformedJute>;

/// The body of a request.
#[derive(Default)]
pub(super) struct RequestBody(Vec<u8>);

impl RequestBody {
    pub(super) fn int(mut self, value: i32) -> RequestBody {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(super) fn long(mut self, value: i64) -> RequestBody {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(super) fn flag(mut self, value: bool) -> RequestBody {
        self.0.push(u8::from(value));
        self
    }

    /// Appends bytes or a string. No value that is sent is long enough to overflow the length.
    pub(super) fn bytes(self, value: &[u8]) -> RequestBody {
        let mut body = self.int(value.len() as i32);
        body.0.extend_from_slice(value);
        body
    }

    /// A path, with or without a watch.
    pub(super) fn watched(path: &str, watch: bool) -> RequestBody {
        RequestBody::default().bytes(path.as_bytes()).flag(watch)
    }

    /// A node that everyone may read and change.
    pub(super) fn node(path: &str, data: &[u8], ephemeral: bool) -> RequestBody {
        const EVERYTHING: i32 = 0x1f;
        let body = RequestBody::default().bytes(path.as_bytes()).bytes(data);
        let body = body.int(1).int(EVERYTHING).bytes(b"world").bytes(b"anyone");
        body.int(i32::from(ephemeral))
    }

    /// Opens a new session, or resumes the session with this id and password.
    pub(super) fn connect(timeout_ms: i32, session: i64, password: &[u8]) -> RequestBody {
        // The last seen zxid is always 0: a server with an older state would reject the connection, and an emptied one would
        // do so forever. After a connect, everything is read again anyway.
        RequestBody::default().int(0).long(0).int(timeout_ms).long(session).bytes(password).flag(false)
    }

    /// Appends the body to `out` as a frame.
    pub(super) fn frame(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.0.len() as u32).to_be_bytes());
        out.extend_from_slice(&self.0);
    }

    /// Appends the body to `out` as a request.
    pub(super) fn request(&self, xid: i32, op: OpCode, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.0.len() as u32 + 8).to_be_bytes());
        out.extend_from_slice(&xid.to_be_bytes());
        out.extend_from_slice(&(op as i32).to_be_bytes());
        out.extend_from_slice(&self.0);
    }
}

/// The first frame of the received bytes, and how many bytes it takes; `None` if it is incomplete.
pub(super) fn first_frame(received: &[u8], longest: usize) -> Result<Option<(&[u8], usize)>> {
    let Some((length, rest)) = received.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    if length > longest {
        return Err(MalformedJute);
    }
    Ok(rest.get(..length).map(|frame| (frame, 4 + length)))
}

/// Decodes bytes from front to back.
pub(super) struct JuteReader<'a>(pub(super) &'a [u8]);

impl<'a> JuteReader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(MalformedJute)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn int(&mut self) -> Result<i32> {
        self.take().map(i32::from_be_bytes)
    }

    pub(super) fn long(&mut self) -> Result<i64> {
        self.take().map(i64::from_be_bytes)
    }

    /// Bytes; null is read as empty.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.int()?.max(0) as usize;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(MalformedJute)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn text(&mut self) -> Result<&'a str> {
        str::from_utf8(self.bytes()?).map_err(|_| MalformedJute)
    }
}

/// A list of strings.
pub(super) fn texts(bytes: &mut JuteReader<'_>) -> Result<Vec<String>> {
    let count = bytes.int()?.max(0);
    (0..count).map(|_| bytes.text().map(str::to_owned)).collect()
}

/// The header of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ResponseHead {
    pub(super) xid: i32,
    pub(super) code: i32,
}

impl ResponseHead {
    pub(super) fn read(bytes: &mut JuteReader<'_>) -> Result<ResponseHead> {
        let xid = bytes.int()?;
        bytes.long()?;
        Ok(ResponseHead { xid, code: bytes.int()? })
    }
}

/// The response to a connect request.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct ConnectResponse {
    /// 0 if the requested session has expired.
    pub(super) timeout_ms: i32,
    pub(super) session: i64,
    pub(super) password: Vec<u8>,
}

impl ConnectResponse {
    pub(super) fn read(mut bytes: JuteReader<'_>) -> Result<ConnectResponse> {
        if bytes.int()? != 0 {
            return Err(MalformedJute); // the protocol has only one version
        }
        let (timeout_ms, session) = (bytes.int()?, bytes.long()?);
        let password = bytes.bytes()?.to_owned();
        // A flag may follow that says whether the server is read-only. A read-only server would have rejected us.
        if bytes.0.len() > 1 {
            Err(MalformedJute)
        } else {
            Ok(ConnectResponse { timeout_ms, session, password })
        }
    }
}

/// The metadata of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct NodeStat {
    /// The zxid of its creation.
    pub(super) created: i64,
    /// The zxid of the last change of its data.
    pub(super) modified: i64,
    /// The number of changes of its data.
    pub(super) version: i32,
    /// The session of an ephemeral node; 0: none.
    pub(super) owner: i64,
    pub(super) children: i32,
}

impl NodeStat {
    pub(super) fn read(bytes: &mut JuteReader<'_>) -> Result<NodeStat> {
        let (created, modified) = (bytes.long()?, bytes.long()?);
        let _times = (bytes.long()?, bytes.long()?);
        let version = bytes.int()?;
        let _versions_of_children_and_acl = (bytes.int()?, bytes.int()?);
        let owner = bytes.long()?;
        let _length = bytes.int()?;
        let children = bytes.int()?;
        let _children_changed = bytes.long()?;
        Ok(NodeStat { created, modified, version, owner, children })
    }
}

/// An event of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeEvent {
    pub(super) change: NodeChange,
    pub(super) path: String,
}

/// The kind of a change of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeChange {
    /// It was created or deleted.
    Existence,
    Data,
    Children,
}

impl NodeEvent {
    /// Decodes an event; `None` if it is not about a node.
    pub(super) fn read(mut bytes: JuteReader<'_>) -> Result<Option<NodeEvent>> {
        let change = match bytes.int()? {
            1 | 2 => NodeChange::Existence,
            3 => NodeChange::Data,
            4 => NodeChange::Children,
            _ => return Ok(None),
        };
        bytes.int()?;
        Ok(Some(NodeEvent { change, path: bytes.text()?.to_owned() }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    #[test]
    fn encodes_a_request_frame() {
        let mut out = Vec::new();
        RequestBody::watched("/a", true).request(7, OpCode::Exists, &mut out);
        assert_eq!(out, [0, 0, 0, 15, 0, 0, 0, 7, 0, 0, 0, 3, 0, 0, 0, 2, b'/', b'a', 1]);
    }

    #[test]
    fn decodes_only_complete_frames() {
        assert_eq!(first_frame(&[0, 0, 0], 9), Ok(None));
        assert_eq!(first_frame(&[0, 0, 0, 2, 7], 9), Ok(None));
        assert_eq!(first_frame(&[0, 0, 0, 2, 7, 8, 9], 9), Ok(Some((&[7, 8][..], 6))));
        assert_eq!(first_frame(b"HTTP/1.1 400", MAX_FRAME), Err(MalformedJute), "text is not a frame");
    }

    #[test]
    fn decodes_response_event_stat_and_connect_response() {
        let body = RequestBody::default().int(-1).long(5).int(0).int(3).int(3).bytes(b"/a/b");
        let mut bytes = JuteReader(&body.0);
        assert_eq!(ResponseHead::read(&mut bytes), Ok(ResponseHead { xid: EVENT, code: 0 }));
        assert_eq!(
            NodeEvent::read(bytes),
            Ok(Some(NodeEvent { change: NodeChange::Data, path: "/a/b".into() }))
        );
        let stat = RequestBody::default()
            .long(1)
            .long(2)
            .long(0)
            .long(0)
            .int(3)
            .int(0)
            .int(0)
            .long(4)
            .int(0)
            .int(5)
            .long(0);
        let expected = NodeStat { created: 1, modified: 2, version: 3, owner: 4, children: 5 };
        assert_eq!(NodeStat::read(&mut JuteReader(&stat.0)), Ok(expected));
        let response = RequestBody::default().int(0).int(3000).long(9).bytes(b"secret").flag(false);
        let read = ConnectResponse::read(JuteReader(&response.0)).ok().unwrap();
        assert_eq!((read.timeout_ms, read.session, read.password.as_slice()), (3000, 9, &b"secret"[..]));
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

        #[test]
        fn decoding_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = first_frame(&bytes, 50);
            let _ = ResponseHead::read(&mut JuteReader(&bytes));
            let _ = ConnectResponse::read(JuteReader(&bytes));
            let _ = NodeStat::read(&mut JuteReader(&bytes));
            let _ = NodeEvent::read(JuteReader(&bytes));
            let _ = texts(&mut JuteReader(&bytes));
        }
    }
}
