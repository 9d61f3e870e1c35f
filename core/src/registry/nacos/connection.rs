//! The gRPC connection: how it is opened, its requests and responses, and their errors.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Streaming;

use super::message::{self, NacosMessage, ResponseStatus};
use super::proto::Payload;
use super::proto::bi_request_stream_client::BiRequestStreamClient;
use super::proto::request_client::RequestClient;
use crate::clock::{self, Tick};
use crate::error::{Error, Kind, Result};
use crate::registry::grpc::{GrpcConnection, GrpcServer};
use crate::registry::http_host::MAX_BODY;

/// A health check is sent after this long without a message from the server. The server fails if it does not answer for as
/// long again.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// How long the server has for its response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);
/// The interval between checks whether the server has registered the connection.
const SETUP_CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// The implementation of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServerKind {
    /// Nacos: the instances that a connection registers for a service are one set, which is replaced as a whole.
    Nacos,
    /// rnacos: each instance is independent, and its first metadata outlives it.
    Rnacos,
}

/// A connection that a server has accepted.
pub(super) struct NacosConnection {
    /// The number of the connection, from 1.
    pub(super) epoch: u64,
    pub(super) server_kind: ServerKind,
    grpc: GrpcConnection,
    /// The messages to send on the stream.
    outgoing: UnboundedSender<Payload>,
    last_received: AtomicU64,
    /// Signals that a response has timed out.
    pub(super) response_timed_out: Notify,
    broken: watch::Sender<Option<Error>>,
}

/// The stream of the server's own requests. It opens once the server has something to send.
pub(super) type PushStream =
    tokio::task::JoinHandle<std::result::Result<tonic::Response<Streaming<Payload>>, tonic::Status>>;

/// Opens a connection: requests the kind of server, then sends the connection setup.
pub(super) async fn open(
    grpc: &GrpcServer,
    namespace: &str,
    epoch: u64,
) -> Result<(Arc<NacosConnection>, PushStream)> {
    let grpc = grpc.connect(KEEP_ALIVE).await?;
    let identity = exchange(&grpc, &message::server_check(), None, RESPONSE_TIMEOUT).await?;
    let outcome: ResponseStatus = message::read(&identity, grpc.label())?;
    if message::kind_of(&identity) != "ServerCheckResponse" {
        return Err(refusal(grpc.label(), &outcome));
    }
    let server_kind = if outcome.success.is_some() { ServerKind::Nacos } else { ServerKind::Rnacos };
    let (outgoing, outgoing_messages) = unbounded_channel();
    let mut stream =
        BiRequestStreamClient::new(grpc.channel.clone()).max_decoding_message_size(MAX_BODY as usize);
    // The server does not even send the response headers before its first message.
    let pushes = tokio::spawn(async move {
        stream.request_bi_stream(UnboundedReceiverStream::new(outgoing_messages)).await
    });
    let connection = Arc::new(NacosConnection {
        epoch,
        server_kind,
        grpc,
        outgoing,
        last_received: AtomicU64::new(clock::now().nanos()),
        response_timed_out: Notify::new(),
        broken: watch::Sender::new(None),
    });
    connection.send(&message::connection_setup(namespace));
    // The setup has no response, and requests that arrive before it are rejected.
    let accepted = timeout(RESPONSE_TIMEOUT, async {
        loop {
            let response =
                exchange(&connection.grpc, &message::health_check(), None, RESPONSE_TIMEOUT).await?;
            match checked(connection.label(), response)? {
                Err(refusal) if is_unregistered(&refusal) => sleep(SETUP_CHECK_INTERVAL).await,
                _ => return Ok(()),
            }
        }
    });
    let late = || {
        Error::new(
            Kind::Timeout,
            format!("{}: the server did not accept the connection in time", connection.label()),
        )
    };
    accepted.await.unwrap_or_else(|_| Err(late()))?;
    Ok((connection, pushes))
}

impl NacosConnection {
    /// The name of the server in messages.
    pub(super) fn label(&self) -> &str {
        self.grpc.label()
    }

    /// Sends a message on the stream.
    pub(super) fn send(&self, message: &NacosMessage) {
        // The reader of the stream notices if it has ended.
        let _ = self.outgoing.send(message.payload(None));
    }

    /// Sends one request and waits for the response; fails once the connection is closed.
    pub(super) async fn request(
        &self,
        message: &NacosMessage,
        token: Option<&str>,
        at_most: Duration,
    ) -> Result<Payload> {
        let answered = tokio::select! {
            biased;
            error = self.wait_broken() => return Err(error),
            answered = exchange(&self.grpc, message, token, at_most) => answered,
        };
        match &answered {
            Ok(_) => self.mark_alive(),
            Err(error) if error.kind() == Kind::Timeout => self.response_timed_out.notify_one(),
            Err(_) => {}
        }
        let response = checked(self.label(), answered?)?;
        response.inspect_err(|refusal| {
            if is_unregistered(refusal) {
                self.mark_broken(refusal.clone());
            }
        })
    }

    /// Whether the server still responds. A rejection is a response, too.
    pub(super) async fn check(&self) -> Result<()> {
        match self.request(&message::health_check(), None, RESPONSE_TIMEOUT).await {
            Err(error) if matches!(error.kind(), Kind::Unavailable | Kind::Timeout) => Err(error),
            _ => Ok(()),
        }
    }

    /// Records that the server has sent a message.
    pub(super) fn mark_alive(&self) {
        self.last_received.store(clock::now().nanos(), Ordering::Relaxed);
    }

    /// When the server last sent a message.
    pub(super) fn last_received(&self) -> Tick {
        Tick::from_nanos(self.last_received.load(Ordering::Relaxed))
    }

    /// Marks the connection as broken.
    pub(super) fn mark_broken(&self, error: Error) {
        self.broken.send_if_modified(|broken| {
            let is_news = broken.is_none();
            *broken = broken.take().or(Some(error));
            is_news
        });
    }

    /// Waits until the connection is broken, and returns the reason.
    pub(super) async fn wait_broken(&self) -> Error {
        let mut broken = self.broken.subscribe();
        let lost = broken.wait_for(Option::is_some).await.ok().and_then(|error| error.clone());
        lost.unwrap_or_else(|| Error::new(Kind::Unavailable, format!("{}: connection broke", self.label())))
    }

    /// The error for the status of the stream.
    pub(super) fn error_for(&self, status: &tonic::Status) -> Error {
        self.grpc.error_for(status)
    }
}

async fn exchange(
    grpc: &GrpcConnection,
    message: &NacosMessage,
    token: Option<&str>,
    at_most: Duration,
) -> Result<Payload> {
    let mut client = RequestClient::new(grpc.channel.clone()).max_decoding_message_size(MAX_BODY as usize);
    grpc.request(at_most, async move { client.request(message.payload(token)).await }).await
}

/// The response, or the rejection that it contains.
fn checked(label: &str, response: Payload) -> Result<Result<Payload>> {
    let outcome: ResponseStatus = message::read(&response, label)?;
    Ok(if outcome.result_code == 200 { Ok(response) } else { Err(refusal(label, &outcome)) })
}

/// The error code for a connection that the server does not know.
const UNREGISTERED: i64 = 301;

fn is_unregistered(error: &Error) -> bool {
    error.kind() == Kind::Unavailable && error.message().ends_with(&format!("({UNREGISTERED})"))
}

/// The error for a rejection.
fn refusal(label: &str, outcome: &ResponseStatus) -> Error {
    let kind = match outcome.error_code {
        UNREGISTERED | 429 | 500 | 502 | 503 => Kind::Unavailable,
        401 => Kind::Unauthenticated,
        403 => Kind::PermissionDenied,
        // Errors that its own clients detect before they send have negative codes.
        400 | -400 => Kind::InvalidArgument,
        _ => Kind::Protocol,
    };
    let text = outcome.message.as_deref().unwrap_or_default().trim();
    Error::new(kind, format!("{label} rejected the request: {text} ({})", outcome.error_code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_error_codes_to_kinds() {
        for (code, kind) in [
            (301, Kind::Unavailable),
            (403, Kind::PermissionDenied),
            (-400, Kind::InvalidArgument),
            (302, Kind::Protocol),
        ] {
            let outcome = ResponseStatus {
                result_code: 500,
                error_code: code,
                message: Some("why".into()),
                success: None,
            };
            let error = refusal("nacos://a:1", &outcome);
            assert_eq!(error.kind(), kind);
            assert_eq!(error.message(), format!("nacos://a:1 rejected the request: why ({code})"));
            assert_eq!(is_unregistered(&error), code == 301);
        }
    }
}
