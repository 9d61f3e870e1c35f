//! The gRPC connection: how it is opened, its requests and responses, and their errors.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Streaming;

use super::message::{self, Message, Outcome};
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
const ANSWER: Duration = Duration::from_secs(3);
/// The interval between checks whether the server has registered the connection.
const SOON: Duration = Duration::from_millis(10);

/// The implementation of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavour {
    /// Nacos: the instances that a connection registers for a service are one set, which is replaced as a whole.
    Nacos,
    /// rnacos: each instance is independent, and its first metadata outlives it.
    Rnacos,
}

/// A connection that a server has accepted.
pub(super) struct Link {
    /// The number of the connection, from 1.
    pub(super) epoch: u64,
    pub(super) flavour: Flavour,
    line: GrpcConnection,
    /// The messages to send on the stream.
    said: UnboundedSender<Payload>,
    heard_at: AtomicU64,
    /// Signals that a response has timed out.
    pub(super) doubt: Notify,
    gone: watch::Sender<Option<Error>>,
}

/// The stream of the server's own requests. It opens once the server has something to send.
pub(super) type Inbox =
    tokio::task::JoinHandle<std::result::Result<tonic::Response<Streaming<Payload>>, tonic::Status>>;

/// Opens a connection: requests the kind of server, then sends the connection setup.
pub(super) async fn open(door: &GrpcServer, namespace: &str, epoch: u64) -> Result<(Arc<Link>, Inbox)> {
    let line = door.connect(KEEP_ALIVE).await?;
    let checked = exchange(&line, &message::server_check(), None, ANSWER).await?;
    let outcome: Outcome = message::read(&checked, line.label())?;
    if message::kind_of(&checked) != "ServerCheckResponse" {
        return Err(refusal(line.label(), &outcome));
    }
    let flavour = if outcome.success.is_some() { Flavour::Nacos } else { Flavour::Rnacos };
    let (said, saying) = unbounded_channel();
    let mut stream =
        BiRequestStreamClient::new(line.channel.clone()).max_decoding_message_size(MAX_BODY as usize);
    // The server does not even send the response headers before its first message.
    let inbox =
        tokio::spawn(async move { stream.request_bi_stream(UnboundedReceiverStream::new(saying)).await });
    let link = Arc::new(Link {
        epoch,
        flavour,
        line,
        said,
        heard_at: AtomicU64::new(clock::now().nanos()),
        doubt: Notify::new(),
        gone: watch::Sender::new(None),
    });
    link.say(&message::connection_setup(namespace));
    // The setup has no response, and requests that arrive before it are rejected.
    let accepted = timeout(ANSWER, async {
        loop {
            let answer = exchange(&link.line, &message::health_check(), None, ANSWER).await?;
            match judged(link.label(), answer)? {
                Err(refusal) if is_unregistered(&refusal) => sleep(SOON).await,
                _ => return Ok(()),
            }
        }
    });
    let late = || {
        Error::new(
            Kind::Timeout,
            format!("{}: the server did not accept the connection in time", link.label()),
        )
    };
    accepted.await.unwrap_or_else(|_| Err(late()))?;
    Ok((link, inbox))
}

impl Link {
    /// The name of the server in messages.
    pub(super) fn label(&self) -> &str {
        self.line.label()
    }

    /// Sends a message on the stream.
    pub(super) fn say(&self, message: &Message) {
        // The reader of the stream notices if it has ended.
        let _ = self.said.send(message.payload(None));
    }

    /// Sends one request and waits for the response; fails once the connection is closed.
    pub(super) async fn ask(
        &self,
        message: &Message,
        token: Option<&str>,
        at_most: Duration,
    ) -> Result<Payload> {
        let answered = tokio::select! {
            biased;
            error = self.gone() => return Err(error),
            answered = exchange(&self.line, message, token, at_most) => answered,
        };
        match &answered {
            Ok(_) => self.heard(),
            Err(error) if error.kind() == Kind::Timeout => self.doubt.notify_one(),
            Err(_) => {}
        }
        let answer = judged(self.label(), answered?)?;
        answer.inspect_err(|refusal| {
            if is_unregistered(refusal) {
                self.lose(refusal.clone());
            }
        })
    }

    /// Whether the server still responds. A rejection is a response, too.
    pub(super) async fn check(&self) -> Result<()> {
        match self.ask(&message::health_check(), None, ANSWER).await {
            Err(error) if matches!(error.kind(), Kind::Unavailable | Kind::Timeout) => Err(error),
            _ => Ok(()),
        }
    }

    /// Records that the server has sent a message.
    pub(super) fn heard(&self) {
        self.heard_at.store(clock::now().nanos(), Ordering::Relaxed);
    }

    /// When the server last sent a message.
    pub(super) fn heard_at(&self) -> Tick {
        Tick::from_nanos(self.heard_at.load(Ordering::Relaxed))
    }

    /// Marks the connection as broken.
    pub(super) fn lose(&self, error: Error) {
        self.gone.send_if_modified(|gone| {
            let is_news = gone.is_none();
            *gone = gone.take().or(Some(error));
            is_news
        });
    }

    /// Waits until the connection is broken, and returns the reason.
    pub(super) async fn gone(&self) -> Error {
        let mut gone = self.gone.subscribe();
        let lost = gone.wait_for(Option::is_some).await.ok().and_then(|error| error.clone());
        lost.unwrap_or_else(|| Error::new(Kind::Unavailable, format!("{}: connection broke", self.label())))
    }

    /// The error for the status of the stream.
    pub(super) fn broken(&self, status: &tonic::Status) -> Error {
        self.line.error_for(status)
    }
}

async fn exchange(
    line: &GrpcConnection,
    message: &Message,
    token: Option<&str>,
    at_most: Duration,
) -> Result<Payload> {
    let mut client = RequestClient::new(line.channel.clone()).max_decoding_message_size(MAX_BODY as usize);
    line.request(at_most, async move { client.request(message.payload(token)).await }).await
}

/// The response, or the rejection that it contains.
fn judged(label: &str, answer: Payload) -> Result<Result<Payload>> {
    let outcome: Outcome = message::read(&answer, label)?;
    Ok(if outcome.result_code == 200 { Ok(answer) } else { Err(refusal(label, &outcome)) })
}

/// The error code for a connection that the server does not know.
const UNREGISTERED: i64 = 301;

fn is_unregistered(error: &Error) -> bool {
    error.kind() == Kind::Unavailable && error.message().ends_with(&format!("({UNREGISTERED})"))
}

/// The error for a rejection.
fn refusal(label: &str, outcome: &Outcome) -> Error {
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
            let outcome =
                Outcome { result_code: 500, error_code: code, message: Some("why".into()), success: None };
            let error = refusal("nacos://a:1", &outcome);
            assert_eq!(error.kind(), kind);
            assert_eq!(error.message(), format!("nacos://a:1 rejected the request: why ({code})"));
            assert_eq!(is_unregistered(&error), code == 301);
        }
    }
}
