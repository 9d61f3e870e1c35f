//! The response of a call.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::error::{Error, Kind, Result, TraceOutcome, TraceStep};
use crate::model::Endpoint;
use crate::transport::{Answer, Headers};

/// An HTTP response of any status, with the trace of its attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    service: Arc<str>,
    answer: Answer,
    trace: Vec<TraceStep>,
    attempts: u32,
    elapsed: Duration,
}

impl Response {
    /// Creates a response of `endpoint`, for tests.
    ///
    /// ```
    /// use plumline::{Endpoint, Response};
    /// let endpoint = Endpoint::new("orders", "127.0.0.1".parse()?, 80);
    /// let response = Response::new(endpoint, 200, [("Content-Type", "application/json")], r#"{"id": 7}"#);
    /// assert_eq!(response.json::<serde_json::Value>()?["id"], 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new<N: AsRef<str>, V: AsRef<[u8]>>(
        endpoint: impl Into<Arc<Endpoint>>,
        status: u16,
        headers: impl IntoIterator<Item = (N, V)>,
        body: impl Into<Vec<u8>>,
    ) -> Response {
        let endpoint = endpoint.into();
        let answer = Answer { status, headers: headers.into_iter().collect(), body: body.into() };
        let service = endpoint.service.as_str().into();
        let step = TraceStep { endpoint, outcome: TraceOutcome::Status(status), elapsed: Duration::ZERO };
        Response { service, answer, trace: vec![step], attempts: 1, elapsed: Duration::ZERO }
    }

    pub(crate) fn of_call(
        service: Arc<str>,
        answer: Answer,
        trace: Vec<TraceStep>,
        attempts: u32,
        elapsed: Duration,
    ) -> Response {
        Response { service, answer, trace, attempts, elapsed }
    }

    /// The status, 200 to 599.
    pub fn status(&self) -> u16 {
        self.answer.status
    }

    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status())
    }

    /// The headers.
    pub fn headers(&self) -> &Headers {
        &self.answer.headers
    }

    /// The first header of that name, if it is valid UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.answer.headers.get(name)
    }

    /// The body, decompressed.
    pub fn body(&self) -> &[u8] {
        &self.answer.body
    }

    /// The body, without copying it.
    pub fn into_body(self) -> Vec<u8> {
        self.answer.body
    }

    /// Takes the body and leaves an empty one.
    pub fn take_body(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.answer.body)
    }

    /// The body as text; bytes that are not UTF-8 become �.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self.body())
    }

    /// Parses the body as JSON; [`Kind::Protocol`] if that fails.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(self.body()).map_err(|error| {
            let message = format!(
                "cannot parse the body of {} as the expected JSON: {error}",
                self.endpoint().address()
            );
            self.describe(Error::new(Kind::Protocol, message)).caused_by(error)
        })
    }

    /// The response itself, or an error of [`Kind::Status`] for a 4xx or 5xx.
    pub fn error_for_status(self) -> Result<Response> {
        match self.status_error() {
            None => Ok(self),
            Some(error) => Err(error),
        }
    }

    /// The error that [`error_for_status`](Response::error_for_status) would return.
    pub fn status_error(&self) -> Option<Error> {
        if self.status() < 400 {
            return None;
        }
        let message =
            format!("{:?} answered {} from {}", self.service, self.status(), self.endpoint().address());
        Some(self.describe(Error::new(Kind::Status, message)))
    }

    fn describe(&self, error: Error) -> Error {
        error
            .for_service(&*self.service)
            .at_endpoint(self.endpoint().clone())
            .after(self.attempts, self.trace.clone())
    }

    /// The service of the call.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The endpoint that answered.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.trace[self.trace.len() - 1].endpoint
    }

    /// The number of attempts.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The outcome of each attempt, in order; the last one is this response.
    pub fn trace(&self) -> &[TraceStep] {
        &self.trace
    }

    /// How long the whole call took.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, body: &str) -> Response {
        let endpoint = Endpoint::new("orders", "127.0.0.1".parse().unwrap(), 80);
        Response::new(endpoint, status, [("X", "y")], body)
    }

    #[test]
    fn only_2xx_is_a_success() {
        assert!([200, 204, 299].iter().all(|status| response(*status, "").is_success()));
        assert!([304, 302, 404, 500].iter().all(|status| !response(*status, "").is_success()));
    }

    #[test]
    fn only_4xx_and_5xx_are_status_errors() {
        assert!([200, 204, 302, 399].iter().all(|status| response(*status, "").error_for_status().is_ok()));
        let error = response(503, "").error_for_status().unwrap_err();
        assert_eq!(
            (error.kind(), error.service(), error.is_retryable()),
            (Kind::Status, Some("orders"), true)
        );
        assert!(!response(404, "").error_for_status().unwrap_err().is_retryable());
    }

    #[test]
    fn invalid_json_names_the_endpoint() {
        let error = response(200, "<html>").json::<serde_json::Value>().unwrap_err();
        assert_eq!(error.kind(), Kind::Protocol);
        assert!(error.message().contains("127.0.0.1:80"));
    }
}
