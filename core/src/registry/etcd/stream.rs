//! The stream of a watch: what is asked on it, and how it ends.
//!
//! It is asked for a sign of life every so often. A first watch that is always there, on a key that nobody writes, sees
//! to it that there is something to answer about.

use std::collections::{BTreeSet, HashMap};

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Streaming;

use super::Inner;
use super::line::Connected;
use super::proto::watch_request::RequestUnion;
use super::proto::{
    WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
};
use super::read::{Answer, Range};
use crate::error::{Error, Kind, Result};

/// The watch that is only there to be answered about.
pub(super) const SENTINEL: i64 = 1;

/// A service, or none for all of them.
pub(super) type Scope = Option<String>;
/// A scope that was read.
pub(super) type Asked = (Scope, Result<Answer>);

/// One stream, as long as it lives.
pub(super) struct Stream {
    pub(super) connected: Connected,
    pub(super) answers: Streaming<WatchResponse>,
    /// What is watched, by the number of its watch.
    pub(super) watches: HashMap<i64, Scope>,
    /// What is to be read.
    pub(super) due: BTreeSet<Scope>,
    pub(super) asking: JoinSet<Asked>,
    /// What has been read since the stream began.
    pub(super) listed: BTreeSet<Scope>,
    /// What may not be read; tried again with the next sign of life.
    pub(super) refused: BTreeSet<Scope>,
    /// What has been warned of.
    pub(super) refused_before: BTreeSet<Scope>,
    requests: UnboundedSender<WatchRequest>,
    /// Counts watches.
    last: i64,
}

impl Stream {
    /// Opens one on the connection there is.
    pub(super) async fn open(inner: &Inner) -> Result<Stream> {
        let connected = inner.lines.connected().await?;
        let (requests, sent) = unbounded_channel();
        let sentinel = inner.reader.range(None).from;
        // A stream begins with an answer, and there is none before a question.
        let first = WatchCreateRequest { key: sentinel, watch_id: SENTINEL, ..WatchCreateRequest::default() };
        let _ = requests.send(asking(RequestUnion::CreateRequest(first)));
        let request = connected.request(UnboundedReceiverStream::new(sent));
        let mut client = connected.watch();
        let opened = timeout(inner.lines.timeout(), client.watch(request)).await;
        let late = |_| Error::new(Kind::Timeout, format!("{}: no answer in time", connected.label()));
        let answers = opened.map_err(late)?.map_err(|status| connected.failed(&status))?.into_inner();
        Ok(Stream {
            connected,
            answers,
            watches: HashMap::new(),
            due: BTreeSet::new(),
            asking: JoinSet::new(),
            listed: BTreeSet::new(),
            refused: BTreeSet::new(),
            refused_before: BTreeSet::new(),
            requests,
            last: SENTINEL,
        })
    }

    /// Watches a range from a revision on that the cluster has reached; the number of the watch. (etcd 3.6 gives no sign
    /// of life to a stream one of whose watches begins in the future.)
    pub(super) fn watch(&mut self, scope: Scope, range: Range, start_revision: i64) -> i64 {
        self.last += 1;
        let Range { from, to } = range;
        let create = WatchCreateRequest {
            key: from,
            range_end: to,
            start_revision,
            progress_notify: true,
            watch_id: self.last,
        };
        self.watches.insert(self.last, scope);
        self.send(RequestUnion::CreateRequest(create));
        self.last
    }

    /// Ends a watch, if there is one.
    pub(super) fn cancel(&mut self, id: Option<i64>) {
        if let Some(watch_id) = id.filter(|id| self.watches.remove(id).is_some()) {
            self.send(RequestUnion::CancelRequest(WatchCancelRequest { watch_id }));
        }
    }

    /// Asks for a sign of life.
    pub(super) fn ask_for_life(&self) {
        self.send(RequestUnion::ProgressRequest(WatchProgressRequest {}));
    }

    fn send(&self, request: RequestUnion) {
        // A stream that has ended says so where its answers are awaited.
        let _ = self.requests.send(asking(request));
    }

    /// It ended without a word.
    pub(super) fn ended(&self) -> Error {
        Error::new(Kind::Unavailable, format!("{} ended the watch", self.connected.label()))
    }

    /// A watch was ended for a reason.
    pub(super) fn refused(&self, answer: &WatchResponse) -> Error {
        let is_denied = answer.cancel_reason.contains("permission denied");
        let kind = if is_denied { Kind::PermissionDenied } else { Kind::Unavailable };
        Error::new(kind, format!("{} refused to watch: {}", self.connected.label(), answer.cancel_reason))
    }
}

fn asking(request: RequestUnion) -> WatchRequest {
    WatchRequest { request_union: Some(request) }
}
