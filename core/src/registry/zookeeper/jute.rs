//! ZooKeeper's bytes (jute), apart from any socket: requests are written, answers and frames are read.
//!
//! ```text
//!  frame     length ─ payload
//!  request   length ─ xid ─ operation ─ body
//!  answer    length ─ xid ─ zxid ─ error ─ body       xid -1: an event, -2: a ping's, -4: of credentials
//! ```
//!
//! Numbers are big-endian; text and bytes have their length before them, -1 for none.

use std::str;

/// An operation's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum Op {
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

/// The ids of what is no ordinary request.
pub(super) const EVENT: i32 = -1;
pub(super) const PING: i32 = -2;
pub(super) const AUTH: i32 = -4;

/// A frame that claims to be longer is not ZooKeeper's: four letters of text are far above it.
pub(super) const LONGEST: usize = 64 << 20;

/// Bytes that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

type Result<T> = std::result::Result<T, Malformed>;

/// What is written.
#[derive(Default)]
pub(super) struct Body(Vec<u8>);

impl Body {
    pub(super) fn int(mut self, value: i32) -> Body {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(super) fn long(mut self, value: i64) -> Body {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(super) fn flag(mut self, value: bool) -> Body {
        self.0.push(u8::from(value));
        self
    }

    /// Text too. Nothing that is sent comes near the length where this number would overflow.
    pub(super) fn bytes(self, value: &[u8]) -> Body {
        let mut body = self.int(value.len() as i32);
        body.0.extend_from_slice(value);
        body
    }

    /// A path, to be asked about with or without a watch.
    pub(super) fn watched(path: &str, watch: bool) -> Body {
        Body::default().bytes(path.as_bytes()).flag(watch)
    }

    /// A node that anybody may do anything with.
    pub(super) fn node(path: &str, data: &[u8], ephemeral: bool) -> Body {
        const EVERYTHING: i32 = 0x1f;
        let body = Body::default().bytes(path.as_bytes()).bytes(data);
        let body = body.int(1).int(EVERYTHING).bytes(b"world").bytes(b"anyone");
        body.int(i32::from(ephemeral))
    }

    /// Opens a session, or the one with this id and password again.
    pub(super) fn connect(timeout_ms: i32, session: i64, password: &[u8]) -> Body {
        // The last zxid seen is left at 0: a server that has less than we have seen would not let us in, an emptied
        // one never again; and whatever a server shows us is read anew from the beginning.
        Body::default().int(0).long(0).int(timeout_ms).long(session).bytes(password).flag(false)
    }

    /// Appends it to what is to be sent, as a frame.
    pub(super) fn frame(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.0.len() as u32).to_be_bytes());
        out.extend_from_slice(&self.0);
    }

    /// Appends it as a request.
    pub(super) fn request(&self, xid: i32, op: Op, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.0.len() as u32 + 8).to_be_bytes());
        out.extend_from_slice(&xid.to_be_bytes());
        out.extend_from_slice(&(op as i32).to_be_bytes());
        out.extend_from_slice(&self.0);
    }
}

/// The first frame of what has arrived, and how many bytes it took; none where more is to come.
pub(super) fn first_frame(arrived: &[u8], longest: usize) -> Result<Option<(&[u8], usize)>> {
    let Some((length, rest)) = arrived.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    if length > longest {
        return Err(Malformed);
    }
    Ok(rest.get(..length).map(|frame| (frame, 4 + length)))
}

/// What is read, from the front.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn int(&mut self) -> Result<i32> {
        self.take().map(i32::from_be_bytes)
    }

    pub(super) fn long(&mut self) -> Result<i64> {
        self.take().map(i64::from_be_bytes)
    }

    /// None is empty.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.int()?.max(0) as usize;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn text(&mut self) -> Result<&'a str> {
        str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }
}

/// A list of texts.
pub(super) fn texts(bytes: &mut Bytes<'_>) -> Result<Vec<String>> {
    let count = bytes.int()?.max(0);
    (0..count).map(|_| bytes.text().map(str::to_owned)).collect()
}

/// What begins an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) xid: i32,
    pub(super) code: i32,
}

impl Head {
    pub(super) fn read(bytes: &mut Bytes<'_>) -> Result<Head> {
        let xid = bytes.int()?;
        bytes.long()?;
        Ok(Head { xid, code: bytes.int()? })
    }
}

/// How a session was opened.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Greeting {
    /// 0 where the session that was asked for is over.
    pub(super) timeout_ms: i32,
    pub(super) session: i64,
    pub(super) password: Vec<u8>,
}

impl Greeting {
    pub(super) fn read(mut bytes: Bytes<'_>) -> Result<Greeting> {
        if bytes.int()? != 0 {
            return Err(Malformed); // there is one version of the protocol
        }
        let (timeout_ms, session) = (bytes.int()?, bytes.long()?);
        let password = bytes.bytes()?.to_owned();
        // What may follow says whether the server only reads; one that does would have refused us.
        if bytes.0.len() > 1 { Err(Malformed) } else { Ok(Greeting { timeout_ms, session, password }) }
    }
}

/// What a server keeps of a node beside its data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stat {
    /// The change that created it.
    pub(super) created: i64,
    /// The change that its data is of.
    pub(super) modified: i64,
    /// Counts the changes of its data.
    pub(super) version: i32,
    /// The session with which it ends; 0: none.
    pub(super) owner: i64,
    pub(super) children: i32,
}

impl Stat {
    pub(super) fn read(bytes: &mut Bytes<'_>) -> Result<Stat> {
        let (created, modified) = (bytes.long()?, bytes.long()?);
        let _times = (bytes.long()?, bytes.long()?);
        let version = bytes.int()?;
        let _versions_of_children_and_acl = (bytes.int()?, bytes.int()?);
        let owner = bytes.long()?;
        let _length = bytes.int()?;
        let children = bytes.int()?;
        let _children_changed = bytes.long()?;
        Ok(Stat { created, modified, version, owner, children })
    }
}

/// What a watch has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) what: What,
    pub(super) path: String,
}

/// What happened to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// It is there, or no longer is.
    Itself,
    Data,
    Children,
}

impl Event {
    /// None for events that are not about a node.
    pub(super) fn read(mut bytes: Bytes<'_>) -> Result<Option<Event>> {
        let what = match bytes.int()? {
            1 | 2 => What::Itself,
            3 => What::Data,
            4 => What::Children,
            _ => return Ok(None),
        };
        bytes.int()?;
        Ok(Some(Event { what, path: bytes.text()?.to_owned() }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    #[test]
    fn a_request_is_framed() {
        let mut out = Vec::new();
        Body::watched("/a", true).request(7, Op::Exists, &mut out);
        assert_eq!(out, [0, 0, 0, 15, 0, 0, 0, 7, 0, 0, 0, 3, 0, 0, 0, 2, b'/', b'a', 1]);
    }

    #[test]
    fn a_frame_is_taken_once_it_is_whole() {
        assert_eq!(first_frame(&[0, 0, 0], 9), Ok(None));
        assert_eq!(first_frame(&[0, 0, 0, 2, 7], 9), Ok(None));
        assert_eq!(first_frame(&[0, 0, 0, 2, 7, 8, 9], 9), Ok(Some((&[7, 8][..], 6))));
        assert_eq!(first_frame(b"HTTP/1.1 400", LONGEST), Err(Malformed), "text is no frame");
    }

    #[test]
    fn an_answer_an_event_and_a_stat_are_read() {
        let body = Body::default().int(-1).long(5).int(0).int(3).int(3).bytes(b"/a/b");
        let mut bytes = Bytes(&body.0);
        assert_eq!(Head::read(&mut bytes), Ok(Head { xid: EVENT, code: 0 }));
        assert_eq!(Event::read(bytes), Ok(Some(Event { what: What::Data, path: "/a/b".into() })));
        let stat = Body::default()
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
        let expected = Stat { created: 1, modified: 2, version: 3, owner: 4, children: 5 };
        assert_eq!(Stat::read(&mut Bytes(&stat.0)), Ok(expected));
        let greeting = Body::default().int(0).int(3000).long(9).bytes(b"secret").flag(false);
        let read = Greeting::read(Bytes(&greeting.0)).ok().unwrap();
        assert_eq!((read.timeout_ms, read.session, read.password.as_slice()), (3000, 9, &b"secret"[..]));
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = first_frame(&bytes, 50);
            let _ = Head::read(&mut Bytes(&bytes));
            let _ = Greeting::read(Bytes(&bytes));
            let _ = Stat::read(&mut Bytes(&bytes));
            let _ = Event::read(Bytes(&bytes));
            let _ = texts(&mut Bytes(&bytes));
        }
    }
}
