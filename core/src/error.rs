//! The error type, with a kind that has the same number in every language.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::model::Endpoint;

/// The kind of an error. The numbers are part of every language's interface and are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[non_exhaustive]
pub enum Kind {
    /// An invalid argument; the message names it and what is valid.
    InvalidArgument = 1,
    /// The key does not exist (key-value only).
    NotFound = 2,
    /// No endpoint could be chosen; the message says why.
    NoEndpoint = 3,
    /// The deadline of the call, or of its last attempt, passed.
    Timeout = 4,
    /// The connection failed or broke.
    Unavailable = 5,
    /// The service's circuit breaker is open.
    CircuitOpen = 6,
    /// A local limit refused the call.
    Overloaded = 7,
    /// Missing or invalid credentials.
    Unauthenticated = 8,
    /// Not permitted.
    PermissionDenied = 9,
    /// The response violated the protocol or was larger than `max_body`, or the certificate did not verify.
    Protocol = 10,
    /// The caller interrupted the wait.
    Cancelled = 11,
    /// The client was closed.
    Closed = 12,
    /// The registry or endpoint does not support the operation.
    Unsupported = 13,
    /// `error_for_status()` (`raise_for_status()` in other languages) was called on a 4xx or 5xx response.
    Status = 14,
    /// A defect of Plumline; please report it.
    Internal = 99,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 15] = [
        Kind::InvalidArgument,
        Kind::NotFound,
        Kind::NoEndpoint,
        Kind::Timeout,
        Kind::Unavailable,
        Kind::CircuitOpen,
        Kind::Overloaded,
        Kind::Unauthenticated,
        Kind::PermissionDenied,
        Kind::Protocol,
        Kind::Cancelled,
        Kind::Closed,
        Kind::Unsupported,
        Kind::Status,
        Kind::Internal,
    ];

    /// Its number, the same in every language.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Its name, the same in every language.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::InvalidArgument => "InvalidArgument",
            Kind::NotFound => "NotFound",
            Kind::NoEndpoint => "NoEndpoint",
            Kind::Timeout => "Timeout",
            Kind::Unavailable => "Unavailable",
            Kind::CircuitOpen => "CircuitOpen",
            Kind::Overloaded => "Overloaded",
            Kind::Unauthenticated => "Unauthenticated",
            Kind::PermissionDenied => "PermissionDenied",
            Kind::Protocol => "Protocol",
            Kind::Cancelled => "Cancelled",
            Kind::Closed => "Closed",
            Kind::Unsupported => "Unsupported",
            Kind::Status => "Status",
            Kind::Internal => "Internal",
        }
    }
}

/// One attempt of a call and its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceStep {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// The status of the response, or the failure.
    pub outcome: TraceOutcome,
    /// How long the attempt took.
    pub elapsed: Duration,
}

impl TraceStep {
    /// One attempt at this endpoint, for tests.
    pub fn new(endpoint: impl Into<Arc<Endpoint>>, outcome: TraceOutcome, elapsed: Duration) -> TraceStep {
        TraceStep { endpoint: endpoint.into(), outcome, elapsed }
    }
}

/// The outcome of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceOutcome {
    /// An HTTP response with this status.
    Status(u16),
    /// No response: the kind of failure and its message.
    Failed(Kind, String),
}

impl fmt::Display for TraceStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.elapsed.as_secs_f64() * 1e3;
        match &self.outcome {
            TraceOutcome::Status(status) => {
                write!(f, "{}: {status} after {millis:.1} ms", self.endpoint.address())
            }
            TraceOutcome::Failed(_, what) => {
                write!(f, "{}: {what} after {millis:.1} ms", self.endpoint.address())
            }
        }
    }
}

/// Why an operation failed. Displays as one line.
///
/// ```
/// use plumline::{Error, Kind};
/// let error = Error::new(Kind::NoEndpoint, "nothing registered as \"ordrs\"").for_service("ordrs");
/// assert_eq!(error.kind().number(), 3);
/// assert_eq!(error.to_string(), "nothing registered as \"ordrs\"");
/// assert!(error.is_retryable());
/// ```
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: Kind,
    message: String,
    service: Option<String>,
    endpoint: Option<Arc<Endpoint>>,
    attempts: u32,
    trace: Vec<TraceStep>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// The result of every fallible operation of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of this kind with this message.
    pub fn new(kind: Kind, message: impl Into<String>) -> Error {
        let message = one_line(message.into());
        Error(Box::new(Inner {
            kind,
            message,
            service: None,
            endpoint: None,
            attempts: 0,
            trace: Vec::new(),
            source: None,
        }))
    }

    /// An error of [`Kind::InvalidArgument`].
    pub fn invalid(message: impl Into<String>) -> Error {
        Error::new(Kind::InvalidArgument, message)
    }

    /// The kind of the error.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The message, as `Display` writes it.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The service of the operation, if any.
    pub fn service(&self) -> Option<&str> {
        self.0.service.as_deref()
    }

    /// The endpoint of the last attempt, if any.
    pub fn endpoint(&self) -> Option<&Arc<Endpoint>> {
        self.0.endpoint.as_ref()
    }

    /// The number of attempts.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// The outcome of each attempt, in order.
    pub fn trace(&self) -> &[TraceStep] {
        &self.0.trace
    }

    /// Whether the operation may succeed if it is retried.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.kind(),
            Kind::NoEndpoint | Kind::Timeout | Kind::Unavailable | Kind::CircuitOpen | Kind::Overloaded
        ) || self.kind() == Kind::Status && self.has_passing_status()
    }

    fn has_passing_status(&self) -> bool {
        let passing =
            |step: &TraceStep| matches!(step.outcome, TraceOutcome::Status(408 | 429 | 502 | 503 | 504));
        self.trace().last().is_some_and(passing)
    }

    /// Adds the service.
    #[must_use]
    pub fn for_service(mut self, service: impl Into<String>) -> Error {
        self.0.service = Some(service.into());
        self
    }

    /// Adds the endpoint.
    #[must_use]
    pub fn at_endpoint(mut self, endpoint: Arc<Endpoint>) -> Error {
        self.0.endpoint = Some(endpoint);
        self
    }

    /// Adds the attempts.
    #[must_use]
    pub fn after(mut self, attempts: u32, trace: Vec<TraceStep>) -> Error {
        self.0.attempts = attempts;
        self.0.trace = trace;
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Error {
        self.0.source = Some(Arc::new(source));
        self
    }
}

/// Replaces control characters by spaces: messages may quote input of others.
fn one_line(message: String) -> String {
    if message.chars().any(char::is_control) {
        message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    } else {
        message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind().name(), self.message())?;
        self.trace().iter().try_for_each(|step| write!(f, "; {step}"))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_never_change() {
        let numbers: Vec<u8> = Kind::ALL.iter().map(|kind| kind.number()).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 99]);
    }

    #[test]
    fn message_is_one_line() {
        let error = Error::invalid("header \"X\r\nEvil: 1\" \0");
        assert!(!error.to_string().chars().any(char::is_control));
    }

    #[test]
    fn error_is_pointer_sized() {
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }
}
