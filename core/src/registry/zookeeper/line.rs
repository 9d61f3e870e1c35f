//! One connection of a session, from the perspective of its users. Every request is sent at once, in the order of the calls,
//! and waits for its response at most as long as the connection allows.
//!
//! When the connection breaks, all requests in flight fail. The next connection of the same session is a new object.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::jute::{Body, Bytes, Malformed, Op, Stat, texts};
use crate::error::{Error, Kind};

/// How many requests one operation has in flight. All of them are answered before the timeout.
pub(super) const TOGETHER: usize = 250;

/// A request that waits to be sent.
pub(super) struct Request {
    pub(super) op: Op,
    pub(super) body: Body,
    pub(super) answer: oneshot::Sender<Answer>,
}

/// The error code of the server (0: none), and the body of the response.
pub(super) type Answer = (i32, Vec<u8>);

/// One connection of a session.
pub(super) struct Line {
    /// The session id. Ephemeral nodes with this owner are ours.
    pub(super) session: i64,
    /// The session timeout.
    pub(super) timeout: Duration,
    /// How long a response may take.
    limit: Duration,
    label: Arc<str>,
    requests: UnboundedSender<Request>,
    broken: OnceLock<Error>,
}

/// Why an operation failed.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    NoNode,
    NodeExists,
    /// The node was changed in the meantime.
    BadVersion,
    /// The server is too old for the operation.
    Unimplemented,
    Other(Error),
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Error {
        let odd = |what: &str| Error::new(Kind::Unavailable, format!("ZooKeeper: {what} repeatedly"));
        match fault {
            Fault::NoNode => odd("a node was deleted by another client"),
            Fault::NodeExists => odd("a node was created by another session"),
            Fault::BadVersion => odd("a node was changed by another session"),
            Fault::Unimplemented => {
                Error::new(Kind::Unsupported, "this version of ZooKeeper does not support the operation")
            }
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

    /// The name of the server in messages.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// Sets why the connection broke; before any request fails because of it.
    pub(super) fn broke(&self, why: Error) {
        // The first reason stays.
        let _ = self.broken.set(why);
    }

    fn gone(&self) -> Fault {
        let broke = || Error::new(Kind::Unavailable, format!("{}: the connection broke", self.label));
        Fault::Other(self.broken.get().cloned().unwrap_or_else(broke))
    }

    /// Sends a request now. The returned future only waits for the response.
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
        // If the connection is closed, the response channel is closed, too.
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

    /// The stat of a node; `None` if it does not exist. A watch fires when the node is created, changed or deleted.
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

    /// The data of a node. A watch fires when it is changed or deleted; a missing node gets no watch.
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

    /// The names of the children. A watch fires when they change; a missing node gets no watch.
    pub(super) fn children(
        self: &Arc<Self>,
        path: &str,
        watch: bool,
    ) -> impl Future<Output = Result<Vec<String>>> + Send + use<> {
        self.ask(Op::GetChildren, path, Body::watched(path, watch), texts)
    }

    /// The paths of the ephemeral nodes of this session below a prefix. Servers before 3.6 do not support this.
    pub(super) fn ephemerals(
        self: &Arc<Self>,
        beginning: &str,
    ) -> impl Future<Output = Result<Vec<String>>> + Send + use<> {
        // Older servers answer unknown operations with an empty body.
        let read = |bytes: &mut Bytes<'_>| if bytes.0.is_empty() { Ok(None) } else { texts(bytes).map(Some) };
        let asked = self.ask(Op::GetEphemerals, beginning, Body::default().bytes(beginning.as_bytes()), read);
        async { asked.await?.ok_or(Fault::Unimplemented) }
    }

    fn unreadable(&self, op: Op) -> Fault {
        let message = format!("{}: the response to {op:?} is malformed", self.label);
        Fault::Other(Error::new(Kind::Protocol, message))
    }

    /// The error for a code (`KeeperException.Code`).
    fn refused(&self, op: Op, path: &str, code: i32) -> Fault {
        let (kind, what) = match code {
            -101 => return Fault::NoNode,
            -103 => return Fault::BadVersion,
            -110 => return Fault::NodeExists,
            -6 => return Fault::Unimplemented,
            -102 => (Kind::PermissionDenied, "the access control list of the node does not permit it"),
            -115 | -124 => (Kind::Unauthenticated, "the credentials were rejected"),
            -108 => (Kind::InvalidArgument, "an ephemeral node cannot have children"),
            -8 => (Kind::InvalidArgument, "the server rejects the path"),
            -125 => (Kind::InvalidArgument, "a quota is exceeded"),
            -5 => (Kind::Protocol, "the server could not read the request"),
            -112 => (Kind::Unavailable, "the session has expired"),
            -118 => (Kind::Unavailable, "the session has moved to another server"),
            _ => (Kind::Unavailable, "the operation failed"),
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
    fn errors_contain_the_path() {
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
    async fn requests_on_a_broken_connection_fail_with_its_reason() {
        let line = line();
        line.broke(Error::new(Kind::Unavailable, "it was cut"));
        let error = Error::from(line.exists("/a", false).await.unwrap_err());
        assert_eq!(error.message(), "it was cut");
    }
}
