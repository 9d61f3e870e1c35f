//! The user's own code in a call: hooks and transports, always on the caller's thread.

use std::sync::Arc;

use crate::clock::Deadline;
use crate::error::{Error, Result};
use crate::header::check_header;
use crate::interrupt::Interrupt;
use crate::model::Endpoint;
use crate::transport::{Answer, Failure};

/// The request of one attempt, before it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outgoing {
    /// `GET`, `POST`, …
    pub method: String,
    /// The service of the call.
    pub service: String,
    /// Path and query, escaped.
    pub path: String,
    /// All headers except Host and Content-Length.
    pub headers: Vec<(String, String)>,
    /// The body, if any.
    pub body: Option<Vec<u8>>,
    /// Which attempt this is, from 1.
    pub attempt: u32,
}

impl Outgoing {
    /// The first attempt of a request without headers and body, for tests of one's own code.
    pub fn new(method: impl Into<String>, service: impl Into<String>, path: impl Into<String>) -> Outgoing {
        let (method, service, path) = (method.into(), service.into(), path.into());
        Outgoing { method, service, path, headers: Vec::new(), body: None, attempt: 1 }
    }

    /// Sets a header, replacing any of that name.
    pub fn set_header(&mut self, name: &str, value: &str) -> Result<()> {
        check_header(name, value)?;
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        Ok(())
    }

    /// Refuses a method, path or header that a hook set directly and that would break the message format.
    pub(super) fn check(&self) -> Result<()> {
        let is_line = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_line(&self.method) || !is_line(&self.path) {
            return Err(Error::invalid("on_request set an invalid method or path"));
        }
        self.headers.iter().try_for_each(|(name, value)| check_header(name, value))
    }

    /// Removes and returns the Host header that a hook has set.
    pub(super) fn take_host(&mut self) -> Option<String> {
        let place = self.headers.iter().position(|(name, _)| name.eq_ignore_ascii_case("host"))?;
        Some(self.headers.remove(place).1)
    }
}

/// Replaces the socket, to test code without servers.
///
/// Retries, ejection and hooks work as usual.
pub trait Transport: Send + Sync {
    /// Returns the response of `endpoint`, or the failure.
    fn send(
        &self,
        request: &Outgoing,
        endpoint: &Endpoint,
        limits: &Bounds<'_>,
    ) -> std::result::Result<Answer, Failure>;
}

/// The limits of one attempt, for a [`Transport`].
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Bounds<'a> {
    /// The deadline of the attempt.
    pub deadline: Deadline,
    pub(super) interrupt: &'a dyn Interrupt,
}

impl Bounds<'_> {
    /// Fails when the caller or the client ends the call. A transport that waits checks it at least every 100 ms.
    pub fn check_interrupt(&self) -> Result<()> {
        self.interrupt.check()
    }
}

impl<F> Transport for F
where
    F: Fn(&Outgoing, &Endpoint) -> std::result::Result<Answer, Failure> + Send + Sync,
{
    fn send(
        &self,
        request: &Outgoing,
        endpoint: &Endpoint,
        _: &Bounds<'_>,
    ) -> std::result::Result<Answer, Failure> {
        self(request, endpoint)
    }
}

type OnRequest = dyn Fn(&mut Outgoing, &Endpoint) -> Result<()> + Send + Sync;
type OnResponse =
    dyn Fn(&Outgoing, &Endpoint, &std::result::Result<Answer, Failure>) -> Result<()> + Send + Sync;

/// What a client calls around each attempt.
#[derive(Clone, Default)]
pub struct Hooks {
    /// Before an attempt is sent; may change it, or refuse it.
    pub on_request: Option<Arc<OnRequest>>,
    /// After an attempt came back, or failed.
    pub on_response: Option<Arc<OnResponse>>,
    /// Sends instead of a socket.
    pub transport: Option<Arc<dyn Transport>>,
}

impl Hooks {
    /// Whether there is nothing to call: the fast path.
    pub(crate) fn is_empty(&self) -> bool {
        self.on_request.is_none() && self.on_response.is_none() && self.transport.is_none()
    }
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hooks")
            .field("on_request", &self.on_request.is_some())
            .field("on_response", &self.on_response.is_some())
            .field("transport", &self.transport.is_some())
            .finish()
    }
}
