//! One connection of a session, as those see it who ask: every request is sent at once, in the order of the calls,
//! and its answer is waited for no longer than the line allows.
//!
//! When the connection breaks, whatever was not answered fails; the next line of the same session is another one.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::jute::{Body, Bytes, Malformed, Op, Stat, texts};
use crate::error::{Error, Kind};

/// So many requests are under way at once for one purpose: each is answered in time if all are.
pub(super) const TOGETHER: usize = 250;

/// A request on its way to the connection.
pub(super) struct Request {
    pub(super) op: Op,
    pub(super) body: Body,
    pub(super) answer: oneshot::Sender<Answer>,
}

/// The server's error code, 0 for none, and what it said.
pub(super) type Answer = (i32, Vec<u8>);

/// One connection of a session.
pub(super) struct Line {
    /// Whose nodes are ours.
    pub(super) session: i64,
    /// How long the session outlives its last message.
    pub(super) timeout: Duration,
    /// How long an answer may take.
    limit: Duration,
    label: Arc<str>,
    requests: UnboundedSender<Request>,
    broken: OnceLock<Error>,
}

/// Why something was not done.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    NoNode,
    NodeExists,
    /// It has changed meanwhile.
    BadVersion,
    /// The server is too old for the operation.
    Unimplemented,
    Other(Error),
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Error {
        let odd = |what: &str| Error::new(Kind::Unavailable, format!("ZooKeeper: {what}, again and again"));
        match fault {
            Fault::NoNode => odd("a node disappeared"),
            Fault::NodeExists => odd("a node of another session appeared"),
            Fault::BadVersion => odd("a node was changed by another session"),
            Fault::Unimplemented => Error::new(Kind::Unsupported, "this ZooKeeper is too old for that"),
            Fault::Other(error) => error,
        }
    }
}

type Result<T> = std::result::Result<T, Fault>;

impl Line {
    pub(super) fn new(
        session: i64,
        timeout: Duration,
        limit: Duration,
        label: Arc<str>,
        requests: UnboundedSender<Request>,
    ) -> Line {
        Line { session, timeout, limit, label, requests, broken: OnceLock::new() }
    }

    /// For messages.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// Why it broke; said before any request learns that it did.
    pub(super) fn broke(&self, why: Error) {
        // The first reason is the reason.
        let _ = self.broken.set(why);
    }

    fn gone(&self) -> Fault {
        let broke = || Error::new(Kind::Unavailable, format!("{}: the connection broke", self.label));
        Fault::Other(self.broken.get().cloned().unwrap_or_else(broke))
    }

    /// Sends a request now; what is returned only waits.
    fn ask<T, F>(
        self: &Arc<Self>,
        op: Op,
        path: &str,
        body: Body,
        read: F,
    ) -> impl Future<Output = Result<T>> + Send + use<T, F>
    where
        F: FnOnce(&mut Bytes<'_>) -> std::result::Result<T, Malformed> + Send,
    {
        let (answer, answered) = oneshot::channel();
        // Where the connection is gone, the answer is that it is.
        let _ = self.requests.send(Request { op, body, answer });
        let deadline = Instant::now() + self.limit;
        let (line, path) = (self.clone(), path.to_owned());
        async move {
            match timeout_at(deadline, answered).await {
                Ok(Ok((0, body))) => read(&mut Bytes(&body)).map_err(|_| line.unreadable(op)),
                Ok(Ok((code, _))) => Err(line.refused(op, &path, code)),
                Ok(Err(_)) => Err(line.gone()),
                Err(_) => {
                    let message = format!("{}: no answer in time", line.label);
                    Err(Fault::Other(Error::new(Kind::Timeout, message)))
                }
            }
        }
    }

    pub(super) fn create(
        self: &Arc<Self>,
        path: &str,
        data: &[u8],
        ephemeral: bool,
    ) -> impl Future<Output = Result<()>> + Send + use<> {
        self.ask(Op::Create, path, Body::node(path, data, ephemeral), |_| Ok(()))
    }

    pub(super) fn delete(
        self: &Arc<Self>,
        path: &str,
        version: i32,
    ) -> impl Future<Output = Result<()>> + Send + use<> {
        let body = Body::default().bytes(path.as_bytes()).int(version);
        self.ask(Op::Delete, path, body, |_| Ok(()))
    }

    /// Its stat, or none where it is not there. A watch tells when it appears, changes or disappears.
    pub(super) fn exists(
        self: &Arc<Self>,
        path: &str,
        watch: bool,
    ) -> impl Future<Output = Result<Option<Stat>>> + Send + use<> {
        let asked = self.ask(Op::Exists, path, Body::watched(path, watch), Stat::read);
        async {
            match asked.await {
                Ok(stat) => Ok(Some(stat)),
                Err(Fault::NoNode) => Ok(None),
                Err(fault) => Err(fault),
            }
        }
    }

    /// A watch tells when it changes or disappears; there is none where it is not there.
    pub(super) fn data(
        self: &Arc<Self>,
        path: &str,
        watch: bool,
    ) -> impl Future<Output = Result<(Vec<u8>, Stat)>> + Send + use<> {
        let read = |bytes: &mut Bytes<'_>| Ok((bytes.bytes()?.to_owned(), Stat::read(bytes)?));
        self.ask(Op::GetData, path, Body::watched(path, watch), read)
    }

    pub(super) fn set_data(
        self: &Arc<Self>,
        path: &str,
        data: &[u8],
        version: i32,
    ) -> impl Future<Output = Result<()>> + Send + use<> {
        let body = Body::default().bytes(path.as_bytes()).bytes(data).int(version);
        self.ask(Op::SetData, path, body, |_| Ok(()))
    }

    /// The last steps of the paths. A watch tells when there are others; there is none where the node is not there.
    pub(super) fn children(
        self: &Arc<Self>,
        path: &str,
        watch: bool,
    ) -> impl Future<Output = Result<Vec<String>>> + Send + use<> {
        self.ask(Op::GetChildren, path, Body::watched(path, watch), texts)
    }

    /// The paths of this session's own nodes that begin so. Known to servers from 3.6 on.
    pub(super) fn ephemerals(
        self: &Arc<Self>,
        beginning: &str,
    ) -> impl Future<Output = Result<Vec<String>>> + Send + use<> {
        // Older ones answer what they do not know with nothing at all.
        let read = |bytes: &mut Bytes<'_>| if bytes.0.is_empty() { Ok(None) } else { texts(bytes).map(Some) };
        let asked = self.ask(Op::GetEphemerals, beginning, Body::default().bytes(beginning.as_bytes()), read);
        async { asked.await?.ok_or(Fault::Unimplemented) }
    }

    fn unreadable(&self, op: Op) -> Fault {
        let message = format!("{}: what it answered to {op:?} cannot be read", self.label);
        Fault::Other(Error::new(Kind::Protocol, message))
    }

    /// What a code means (`KeeperException.Code`).
    fn refused(&self, op: Op, path: &str, code: i32) -> Fault {
        let (kind, what) = match code {
            -101 => return Fault::NoNode,
            -103 => return Fault::BadVersion,
            -110 => return Fault::NodeExists,
            -6 => return Fault::Unimplemented,
            -102 => (Kind::PermissionDenied, "its access list does not allow it"),
            -115 | -124 => (Kind::Unauthenticated, "the credentials are not accepted"),
            -108 => (Kind::InvalidArgument, "it would lie below an ephemeral node"),
            -8 => (Kind::InvalidArgument, "the server takes no such path"),
            -125 => (Kind::InvalidArgument, "a quota is exceeded"),
            -5 => (Kind::Protocol, "the server could not read the request"),
            -112 => (Kind::Unavailable, "the session has expired"),
            -118 => (Kind::Unavailable, "the session has moved to another server"),
            _ => (Kind::Unavailable, "the server could not do it"),
        };
        let message = format!("{}: {op:?} {path:?}: {what} (code {code})", self.label);
        Fault::Other(Error::new(kind, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Arc<Line> {
        let (requests, _) = tokio::sync::mpsc::unbounded_channel();
        Arc::new(Line::new(
            7,
            Duration::from_secs(9),
            Duration::from_secs(1),
            "zookeeper://a:1".into(),
            requests,
        ))
    }

    #[test]
    fn what_a_server_refuses_is_named_with_its_path() {
        let line = line();
        for (code, kind) in [
            (-102, Kind::PermissionDenied),
            (-115, Kind::Unauthenticated),
            (-8, Kind::InvalidArgument),
            (-112, Kind::Unavailable),
            (-999, Kind::Unavailable),
        ] {
            let error = Error::from(line.refused(Op::Create, "/a/b", code));
            assert_eq!(error.kind(), kind, "{code}");
            assert!(error.message().contains("\"/a/b\""), "{error}");
        }
        assert!(matches!(line.refused(Op::Create, "/a", -110), Fault::NodeExists));
    }

    #[tokio::test]
    async fn on_a_broken_line_everything_fails_with_the_reason() {
        let line = line();
        line.broke(Error::new(Kind::Unavailable, "it was cut"));
        let error = Error::from(line.exists("/a", false).await.unwrap_err());
        assert_eq!(error.message(), "it was cut");
    }
}
