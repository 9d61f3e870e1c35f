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

use super::jute::{JuteReader, MalformedJute, NodeStat, OpCode, RequestBody, texts};
use crate::error::{Error, Kind};

/// How many requests one operation has in flight. All of them are answered before the timeout.
pub(super) const MAX_IN_FLIGHT: usize = 250;

/// A request that waits to be sent.
pub(super) struct PendingRequest {
    pub(super) op: OpCode,
    pub(super) body: RequestBody,
    pub(super) response: oneshot::Sender<RawResponse>,
}

/// The error code of the server (0: none), and the body of the response.
pub(super) type RawResponse = (i32, Vec<u8>);

/// One connection of a session.
pub(super) struct ZooKeeperConnection {
    /// The session id. Ephemeral nodes with this owner are ours.
    pub(super) session: i64,
    /// The session timeout.
    pub(super) timeout: Duration,
    /// How long a response may take.
    limit: Duration,
    label: Arc<str>,
    requests: UnboundedSender<PendingRequest>,
    broken: OnceLock<Error>,
}

/// Why an operation failed.
#[derive(Clone, Debug)]
pub(super) enum ZooKeeperError {
    NoNode,
    NodeExists,
    /// The node was changed in the meantime.
    BadVersion,
    /// The server is too old for the operation.
    Unimplemented,
    Other(Error),
}

impl From<ZooKeeperError> for Error {
    fn from(failure: ZooKeeperError) -> Error {
        let odd = |what: &str| Error::new(Kind::Unavailable, format!("ZooKeeper: {what} repeatedly"));
        match failure {
            ZooKeeperError::NoNode => odd("a node was deleted by another client"),
            ZooKeeperError::NodeExists => odd("a node was created by another session"),
            ZooKeeperError::BadVersion => odd("a node was changed by another session"),
            ZooKeeperError::Unimplemented => {
                Error::new(Kind::Unsupported, "this version of ZooKeeper does not support the operation")
            }
            ZooKeeperError::Other(error) => error,
        }
    }
}

type Result<T> = std::result::Result<T, ZooKeeperError>;

impl ZooKeeperConnection {
    pub(super) fn new(
        session: i64,
        timeout: Duration,
        limit: Duration,
        label: Arc<str>,
        requests: UnboundedSender<PendingRequest>,
    ) -> ZooKeeperConnection {
        ZooKeeperConnection { session, timeout, limit, label, requests, broken: OnceLock::new() }
    }

    /// The name of the server in messages.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// Sets why the connection broke; before any request fails because of it.
    pub(super) fn set_broken(&self, why: Error) {
        // The first reason stays.
        let _ = self.broken.set(why);
    }

    fn broken_error(&self) -> ZooKeeperError {
        let broke = || Error::new(Kind::Unavailable, format!("{}: the connection broke", self.label));
        ZooKeeperError::Other(self.broken.get().cloned().unwrap_or_else(broke))
    }

    /// Sends a request now. The returned future only waits for the response.
    fn send_request<T, F>(
        self: &Arc<Self>,
        op: OpCode,
        path: &str,
        body: RequestBody,
        read: F,
    ) -> impl Future<Output = Result<T>> + Send + use<T, F>
    where
        F: FnOnce(&mut JuteReader<'_>) -> std::result::Result<T, MalformedJute> + Send,
    {
        let (response, received) = oneshot::channel();
        // If the connection is closed, the response channel is closed, too.
        let _ = self.requests.send(PendingRequest { op, body, response });
        let deadline = Instant::now() + self.limit;
        let (connection, path) = (self.clone(), path.to_owned());
        async move {
            match timeout_at(deadline, received).await {
                Ok(Ok((0, body))) => {
                    read(&mut JuteReader(&body)).map_err(|_| connection.malformed_response(op))
                }
                Ok(Ok((code, _))) => Err(connection.error_for(op, &path, code)),
                Ok(Err(_)) => Err(connection.broken_error()),
                Err(_) => {
                    let message = format!("{}: no answer in time", connection.label);
                    Err(ZooKeeperError::Other(Error::new(Kind::Timeout, message)))
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
        self.send_request(OpCode::Create, path, RequestBody::node(path, data, ephemeral), |_| Ok(()))
    }

    pub(super) fn delete(
        self: &Arc<Self>,
        path: &str,
        version: i32,
    ) -> impl Future<Output = Result<()>> + Send + use<> {
        let body = RequestBody::default().bytes(path.as_bytes()).int(version);
        self.send_request(OpCode::Delete, path, body, |_| Ok(()))
    }

    /// The stat of a node; `None` if it does not exist. A watch fires when the node is created, changed or deleted.
    pub(super) fn exists(
        self: &Arc<Self>,
        path: &str,
        watch: bool,
    ) -> impl Future<Output = Result<Option<NodeStat>>> + Send + use<> {
        let response =
            self.send_request(OpCode::Exists, path, RequestBody::watched(path, watch), NodeStat::read);
        async {
            match response.await {
                Ok(stat) => Ok(Some(stat)),
                Err(ZooKeeperError::NoNode) => Ok(None),
                Err(failure) => Err(failure),
            }
        }
    }

    /// The data of a node. A watch fires when it is changed or deleted; a missing node gets no watch.
    pub(super) fn data(
        self: &Arc<Self>,
        path: &str,
        watch: bool,
    ) -> impl Future<Output = Result<(Vec<u8>, NodeStat)>> + Send + use<> {
        let read = |bytes: &mut JuteReader<'_>| Ok((bytes.bytes()?.to_owned(), NodeStat::read(bytes)?));
        self.send_request(OpCode::GetData, path, RequestBody::watched(path, watch), read)
    }

    pub(super) fn set_data(
        self: &Arc<Self>,
        path: &str,
        data: &[u8],
        version: i32,
    ) -> impl Future<Output = Result<()>> + Send + use<> {
        let body = RequestBody::default().bytes(path.as_bytes()).bytes(data).int(version);
        self.send_request(OpCode::SetData, path, body, |_| Ok(()))
    }

    /// The names of the children. A watch fires when they change; a missing node gets no watch.
    pub(super) fn children(
        self: &Arc<Self>,
        path: &str,
        watch: bool,
    ) -> impl Future<Output = Result<Vec<String>>> + Send + use<> {
        self.send_request(OpCode::GetChildren, path, RequestBody::watched(path, watch), texts)
    }

    /// The paths of the ephemeral nodes of this session below a prefix. Servers before 3.6 do not support this.
    pub(super) fn ephemerals(
        self: &Arc<Self>,
        prefix: &str,
    ) -> impl Future<Output = Result<Vec<String>>> + Send + use<> {
        // Older servers answer unknown operations with an empty body.
        let read =
            |bytes: &mut JuteReader<'_>| if bytes.0.is_empty() { Ok(None) } else { texts(bytes).map(Some) };
        let response = self.send_request(
            OpCode::GetEphemerals,
            prefix,
            RequestBody::default().bytes(prefix.as_bytes()),
            read,
        );
        async { response.await?.ok_or(ZooKeeperError::Unimplemented) }
    }

    fn malformed_response(&self, op: OpCode) -> ZooKeeperError {
        let message = format!("{}: the response to {op:?} is malformed", self.label);
        ZooKeeperError::Other(Error::new(Kind::Protocol, message))
    }

    /// The error for a code (`KeeperException.Code`).
    fn error_for(&self, op: OpCode, path: &str, code: i32) -> ZooKeeperError {
        let (kind, what) = match code {
            -101 => return ZooKeeperError::NoNode,
            -103 => return ZooKeeperError::BadVersion,
            -110 => return ZooKeeperError::NodeExists,
            -6 => return ZooKeeperError::Unimplemented,
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
        ZooKeeperError::Other(Error::new(kind, message))
    }
}

/// Whether an error may be temporary.
pub(super) fn is_temporary(error: &Error) -> bool {
    matches!(error.kind(), Kind::Unavailable | Kind::Timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> Arc<ZooKeeperConnection> {
        let (requests, _) = tokio::sync::mpsc::unbounded_channel();
        Arc::new(ZooKeeperConnection::new(
            7,
            Duration::from_secs(9),
            Duration::from_secs(1),
            "zookeeper://a:1".into(),
            requests,
        ))
    }

    #[test]
    fn errors_contain_the_path() {
        let connection = connection();
        for (code, kind) in [
            (-102, Kind::PermissionDenied),
            (-115, Kind::Unauthenticated),
            (-8, Kind::InvalidArgument),
            (-112, Kind::Unavailable),
            (-999, Kind::Unavailable),
        ] {
            let error = Error::from(connection.error_for(OpCode::Create, "/a/b", code));
            assert_eq!(error.kind(), kind, "{code}");
            assert!(error.message().contains("\"/a/b\""), "{error}");
        }
        assert!(matches!(connection.error_for(OpCode::Create, "/a", -110), ZooKeeperError::NodeExists));
    }

    #[tokio::test]
    async fn requests_on_a_broken_connection_fail_with_its_reason() {
        let connection = connection();
        connection.set_broken(Error::new(Kind::Unavailable, "it was cut"));
        let error = Error::from(connection.exists("/a", false).await.unwrap_err());
        assert_eq!(error.message(), "it was cut");
    }
}
