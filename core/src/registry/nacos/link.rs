//! The connection: how it is opened, what comes back on it, and what that means.

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
use crate::registry::grpc::{Door, Line};
use crate::registry::web::MAX_BODY;

/// After so long a silence the server is asked whether it is there; it is given as long again, and no longer, to
/// answer.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// How long it has for the answer.
const ANSWER: Duration = Duration::from_secs(3);
/// Between two looks whether the server knows us by now.
const SOON: Duration = Duration::from_millis(10);

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavour {
    /// Nacos itself: what a connection registers of a service is one set, replaced as a whole.
    Nacos,
    /// rnacos: each instance stands by itself, and its first metadata outlives it.
    Rnacos,
}

/// A connection that a server has accepted.
pub(super) struct Link {
    /// Which one it is, counted from 1.
    pub(super) epoch: u64,
    pub(super) flavour: Flavour,
    line: Line,
    /// What is sent on the stream.
    said: UnboundedSender<Payload>,
    heard_at: AtomicU64,
    /// Somebody was not answered in time.
    pub(super) doubt: Notify,
    gone: watch::Sender<Option<Error>>,
}

/// What the server sends on its own account; opened once it has something to say.
pub(super) type Inbox =
    tokio::task::JoinHandle<std::result::Result<tonic::Response<Streaming<Payload>>, tonic::Status>>;

/// Opens a connection: the server is asked who it is, then told who we are.
pub(super) async fn open(door: &Door, namespace: &str, epoch: u64) -> Result<(Arc<Link>, Inbox)> {
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
    // Servers send not even the head of their answer before they have something to say.
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
    // Nobody says when the set-up has arrived; what comes before it is refused.
    let accepted = timeout(ANSWER, async {
        loop {
            let answer = exchange(&link.line, &message::health_check(), None, ANSWER).await?;
            match judged(link.label(), answer)? {
                Err(refusal) if is_unregistered(&refusal) => sleep(SOON).await,
                _ => return Ok(()),
            }
        }
    });
    let late = || Error::new(Kind::Timeout, format!("{}: it does not take the connection", link.label()));
    accepted.await.unwrap_or_else(|_| Err(late()))?;
    Ok((link, inbox))
}

impl Link {
    /// For messages.
    pub(super) fn label(&self) -> &str {
        self.line.label()
    }

    /// Sends a message on the stream.
    pub(super) fn say(&self, message: &Message) {
        // A stream that has ended is noticed by whoever reads it.
        let _ = self.said.send(message.payload(None));
    }

    /// One question, one answer; none once the connection is of no use any more.
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

    /// Whether the server answers still; that it says no is an answer too.
    pub(super) async fn check(&self) -> Result<()> {
        match self.ask(&message::health_check(), None, ANSWER).await {
            Err(error) if matches!(error.kind(), Kind::Unavailable | Kind::Timeout) => Err(error),
            _ => Ok(()),
        }
    }

    /// It was heard of.
    pub(super) fn heard(&self) {
        self.heard_at.store(clock::now().nanos(), Ordering::Relaxed);
    }

    /// When it was heard of last.
    pub(super) fn heard_at(&self) -> Tick {
        Tick::from_nanos(self.heard_at.load(Ordering::Relaxed))
    }

    /// It is of no use any more.
    pub(super) fn lose(&self, error: Error) {
        self.gone.send_if_modified(|gone| {
            let is_news = gone.is_none();
            *gone = gone.take().or(Some(error));
            is_news
        });
    }

    /// Waits until it is of no use any more, and says why.
    pub(super) async fn gone(&self) -> Error {
        let mut gone = self.gone.subscribe();
        let lost = gone.wait_for(Option::is_some).await.ok().and_then(|error| error.clone());
        lost.unwrap_or_else(|| Error::new(Kind::Unavailable, format!("{}: connection broke", self.label())))
    }

    /// What a broken stream means.
    pub(super) fn broken(&self, status: &tonic::Status) -> Error {
        self.line.failed(status)
    }
}

async fn exchange(line: &Line, message: &Message, token: Option<&str>, at_most: Duration) -> Result<Payload> {
    let mut client = RequestClient::new(line.channel.clone()).max_decoding_message_size(MAX_BODY as usize);
    line.ask(at_most, async move { client.request(message.payload(token)).await }).await
}

/// The answer, or the refusal that it is.
fn judged(label: &str, answer: Payload) -> Result<Result<Payload>> {
    let outcome: Outcome = message::read(&answer, label)?;
    Ok(if outcome.result_code == 200 { Ok(answer) } else { Err(refusal(label, &outcome)) })
}

/// The connection is not known to the server, or no longer.
const UNREGISTERED: i64 = 301;

fn is_unregistered(error: &Error) -> bool {
    error.kind() == Kind::Unavailable && error.message().ends_with(&format!("({UNREGISTERED})"))
}

/// What a refusal means.
fn refusal(label: &str, outcome: &Outcome) -> Error {
    let kind = match outcome.error_code {
        UNREGISTERED | 429 | 500 | 502 | 503 => Kind::Unavailable,
        401 => Kind::Unauthenticated,
        403 => Kind::PermissionDenied,
        // What its own clients refuse before they send it, it counts below zero.
        400 | -400 => Kind::InvalidArgument,
        _ => Kind::Protocol,
    };
    let text = outcome.message.as_deref().unwrap_or_default().trim();
    Error::new(kind, format!("{label} refused: {text} ({})", outcome.error_code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_known_by_its_number() {
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
            assert_eq!(error.message(), format!("nacos://a:1 refused: why ({code})"));
            assert_eq!(is_unregistered(&error), code == 301);
        }
    }
}
