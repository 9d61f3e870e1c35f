//! The stream of all watches: its requests, and how it ends.
//!
//! A progress request is sent at an interval. The first watch always exists, on a key that is never written, so that
//! there is a response to it.

use std::collections::{BTreeSet, HashMap};

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Streaming;

use super::client::EtcdClient;
use super::connection::EtcdConnection;
use super::proto::watch_request::RequestUnion;
use super::proto::{
    WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
};
use super::read::{KeyRange, RangeAnswer};
use crate::error::{Error, Kind, Result};

/// The id of the watch that exists only for the responses to progress requests.
pub(super) const SENTINEL: i64 = 1;

/// A service, or `None` for all services.
pub(super) type WatchScope = Option<String>;
/// A scope and the result of reading it.
pub(super) type ScopeRead = (WatchScope, Result<RangeAnswer>);

/// One open stream.
pub(super) struct WatchStream {
    pub(super) connection: EtcdConnection,
    pub(super) responses: Streaming<WatchResponse>,
    /// The scopes of the watches on this stream, by watch id.
    pub(super) watches: HashMap<i64, WatchScope>,
    /// The scopes to read.
    pub(super) due: BTreeSet<WatchScope>,
    pub(super) reading: JoinSet<ScopeRead>,
    /// The scopes that were read since the stream was opened.
    pub(super) listed: BTreeSet<WatchScope>,
    /// The scopes without read permission; tried again with the next progress response.
    pub(super) refused: BTreeSet<WatchScope>,
    /// The scopes that a warning was logged for.
    pub(super) refused_before: BTreeSet<WatchScope>,
    requests: UnboundedSender<WatchRequest>,
    /// The id of the last watch.
    last: i64,
}

impl WatchStream {
    /// Opens a stream on the current connection.
    pub(super) async fn open(client: &EtcdClient) -> Result<WatchStream> {
        let connection = client.cluster.connection().await?;
        let (requests, sent) = unbounded_channel();
        let sentinel = client.reader.range(None).from;
        // The server sends the first response only after a request.
        let first = WatchCreateRequest { key: sentinel, watch_id: SENTINEL, ..WatchCreateRequest::default() };
        let _ = requests.send(watch_request(RequestUnion::CreateRequest(first)));
        let request = connection.request(UnboundedReceiverStream::new(sent));
        let mut watch = connection.watch();
        let opened = timeout(client.cluster.timeout(), watch.watch(request)).await;
        let late = |_| Error::new(Kind::Timeout, format!("{}: no response in time", connection.label()));
        let responses = opened.map_err(late)?.map_err(|status| connection.error_for(&status))?.into_inner();
        Ok(WatchStream {
            connection,
            responses,
            watches: HashMap::new(),
            due: BTreeSet::new(),
            reading: JoinSet::new(),
            listed: BTreeSet::new(),
            refused: BTreeSet::new(),
            refused_before: BTreeSet::new(),
            requests,
            last: SENTINEL,
        })
    }

    /// Watches a range from a revision that the cluster has reached. Returns the id of the watch. (etcd 3.6 sends no
    /// progress responses on a stream with a watch that starts in the future.)
    pub(super) fn watch(&mut self, scope: WatchScope, range: KeyRange, start_revision: i64) -> i64 {
        self.last += 1;
        let KeyRange { from, to } = range;
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

    /// Cancels a watch, if there is one.
    pub(super) fn cancel(&mut self, id: Option<i64>) {
        if let Some(watch_id) = id.filter(|id| self.watches.remove(id).is_some()) {
            self.send(RequestUnion::CancelRequest(WatchCancelRequest { watch_id }));
        }
    }

    /// Sends a progress request.
    pub(super) fn request_progress(&self) {
        self.send(RequestUnion::ProgressRequest(WatchProgressRequest {}));
    }

    fn send(&self, request: RequestUnion) {
        // If the stream has ended, the receiver of the responses notices it.
        let _ = self.requests.send(watch_request(request));
    }

    /// The error when the server ends the stream.
    pub(super) fn ended(&self) -> Error {
        Error::new(Kind::Unavailable, format!("{} ended the watch", self.connection.label()))
    }

    /// The error when the server cancels a watch.
    pub(super) fn refused(&self, response: &WatchResponse) -> Error {
        let is_denied = response.cancel_reason.contains("permission denied");
        let kind = if is_denied { Kind::PermissionDenied } else { Kind::Unavailable };
        Error::new(
            kind,
            format!("{} canceled the watch: {}", self.connection.label(), response.cancel_reason),
        )
    }
}

fn watch_request(request: RequestUnion) -> WatchRequest {
    WatchRequest { request_union: Some(request) }
}
