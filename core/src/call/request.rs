//! A request to a service by name, validated when it is built.

use std::borrow::Cow;
use std::time::Duration;

use serde::Serialize;

use crate::error::{Error, Kind, Result};
use crate::header::{check_header, is_token};
use crate::model::Query;

/// A request to a service by name.
///
/// ```
/// use plumline::Request;
/// use std::time::Duration;
/// let request = Request::post("orders", "/items").json(&[1, 2]).idempotent(true).timeout(Duration::from_millis(800));
/// # let _ = request;
/// ```
///
/// An invalid part, such as a header with a line break or a path that does not start with `/`, fails the call with
/// [`Kind::InvalidArgument`].
#[derive(Clone, Debug)]
pub struct Request {
    pub(crate) method: Cow<'static, str>,
    pub(crate) query: Query,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Vec<u8>>,
    /// The content type, if no header sets one.
    pub(crate) content_type: Option<&'static str>,
    pub(crate) options: CallOptions,
    /// The first error of its construction.
    mistake: Option<Error>,
}

/// Options of one call that override the settings of its service; `None` keeps the setting.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CallOptions {
    /// The whole call.
    pub timeout: Option<Duration>,
    /// One attempt.
    pub attempt_timeout: Option<Duration>,
    /// Attempts in all, the first included.
    pub attempts: Option<u32>,
    /// Whether the service may see the request twice; by default only for GET, HEAD, OPTIONS, PUT, DELETE.
    pub idempotent: Option<bool>,
    /// The largest response body taken, bytes after decompression.
    pub max_body: Option<u64>,
}

impl Request {
    /// A request with any method.
    pub fn new(method: impl Into<Cow<'static, str>>, service: impl Into<Query>, path: &str) -> Request {
        let mut request = Request {
            method: method.into(),
            query: service.into(),
            path: String::new(),
            headers: Vec::new(),
            body: None,
            content_type: None,
            options: CallOptions::default(),
            mistake: None,
        };
        let checked = check_method(&request.method)
            .and_then(|()| check_service(&request.query.service))
            .and_then(|()| escape_path(path));
        match checked {
            Ok(path) => request.path = path,
            Err(mistake) => request.mistake = Some(mistake),
        }
        request
    }

    /// A GET request.
    pub fn get(service: impl Into<Query>, path: &str) -> Request {
        Request::new("GET", service, path)
    }

    /// A POST request.
    pub fn post(service: impl Into<Query>, path: &str) -> Request {
        Request::new("POST", service, path)
    }

    /// A PUT request.
    pub fn put(service: impl Into<Query>, path: &str) -> Request {
        Request::new("PUT", service, path)
    }

    /// A PATCH request.
    pub fn patch(service: impl Into<Query>, path: &str) -> Request {
        Request::new("PATCH", service, path)
    }

    /// A DELETE request.
    pub fn delete(service: impl Into<Query>, path: &str) -> Request {
        Request::new("DELETE", service, path)
    }

    /// A HEAD request.
    pub fn head(service: impl Into<Query>, path: &str) -> Request {
        Request::new("HEAD", service, path)
    }

    /// An OPTIONS request.
    pub fn options(service: impl Into<Query>, path: &str) -> Request {
        Request::new("OPTIONS", service, path)
    }

    /// Adds a header; several of the same name are all sent.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Request {
        let (name, value) = (name.into(), value.into());
        match check_header(&name, &value) {
            Ok(()) => self.headers.push((name, value)),
            Err(mistake) => self.note(mistake),
        }
        self
    }

    /// Adds a query parameter, escaped.
    pub fn param(mut self, name: &str, value: impl std::fmt::Display) -> Request {
        if self.mistake.is_none() {
            self.path.push(if self.path.contains('?') { '&' } else { '?' });
            escape_into(&mut self.path, name, is_unreserved);
            self.path.push('=');
            escape_into(&mut self.path, &value.to_string(), is_unreserved);
        }
        self
    }

    /// Sends these bytes.
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Request {
        self.body = Some(bytes.into());
        self
    }

    /// Sends this as compact JSON, with `Content-Type: application/json` unless one is set.
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Request {
        match serde_json::to_vec(value) {
            Ok(body) => self.json_bytes(body),
            Err(error) => {
                self.note(Error::invalid(format!("the body cannot be written as JSON: {error}")));
                self
            }
        }
    }

    /// Sends these bytes as `application/json`, without checking them.
    pub fn json_bytes(self, body: Vec<u8>) -> Request {
        self.body_of_type("application/json", body)
    }

    /// Sends these bytes with this `Content-Type`, unless a header sets one.
    pub fn body_of_type(mut self, content_type: &'static str, bytes: impl Into<Vec<u8>>) -> Request {
        self.content_type = Some(content_type);
        self.body(bytes)
    }

    /// Sends these fields as an HTML form does, with `Content-Type: application/x-www-form-urlencoded` unless one
    /// is set.
    pub fn form<N: AsRef<str>, V: AsRef<str>>(self, fields: impl IntoIterator<Item = (N, V)>) -> Request {
        let mut body = String::new();
        for (name, value) in fields {
            if !body.is_empty() {
                body.push('&');
            }
            escape_form_into(&mut body, name.as_ref());
            body.push('=');
            escape_form_into(&mut body, value.as_ref());
        }
        self.body_of_type("application/x-www-form-urlencoded", body)
    }

    /// Narrows it to endpoints of this version.
    pub fn version(mut self, version: impl Into<String>) -> Request {
        self.query = self.query.version(version);
        self
    }

    /// Narrows it to endpoints with this label.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Request {
        self.query = self.query.label(name, value);
        self
    }

    /// How long the whole call may take.
    pub fn timeout(mut self, timeout: Duration) -> Request {
        self.options.timeout = Some(timeout);
        self
    }

    /// How long one attempt may take.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Request {
        self.options.attempt_timeout = Some(timeout);
        self
    }

    /// How many attempts are made at most, the first included.
    pub fn attempts(mut self, attempts: u32) -> Request {
        self.options.attempts = Some(attempts);
        self
    }

    /// Whether the service may see it twice.
    pub fn idempotent(mut self, idempotent: bool) -> Request {
        self.options.idempotent = Some(idempotent);
        self
    }

    /// The largest response body taken, in bytes after decompression.
    pub fn max_body(mut self, bytes: u64) -> Request {
        self.options.max_body = Some(bytes);
        self
    }

    fn note(&mut self, mistake: Error) {
        self.mistake.get_or_insert(mistake);
    }

    /// The request, or its first error.
    pub(crate) fn checked(&self) -> Result<&Request> {
        self.options.check()?;
        self.mistake.clone().map_or(Ok(self), Err)
    }
}

impl CallOptions {
    pub(crate) fn check(&self) -> Result<()> {
        if self.timeout == Some(Duration::ZERO) {
            return Err(Error::invalid("timeout is 0; it must be greater than 0"));
        }
        if self.attempt_timeout == Some(Duration::ZERO) {
            return Err(Error::invalid("attempt_timeout is 0; it must be greater than 0"));
        }
        if self.attempts == Some(0) {
            return Err(Error::invalid("attempts is 0; it must be at least 1"));
        }
        Ok(())
    }
}

/// Refuses an invalid service name.
pub(crate) fn check_service(service: &str) -> Result<()> {
    if service.is_empty() {
        return Err(Error::invalid("the service name is empty"));
    }
    Ok(())
}

fn check_method(method: &str) -> Result<()> {
    if method.is_empty() || !method.bytes().all(is_token) {
        return Err(Error::invalid(format!(
            "method {method:?} is not a valid HTTP method; use GET, POST, …"
        )));
    }
    Ok(())
}

/// Checks a path and percent-encodes invalid characters; `%XX` is kept.
fn escape_path(path: &str) -> Result<String> {
    let refuse =
        |why: &str| Err(Error::new(Kind::InvalidArgument, format!("path {:?}: {why}", shortened(path))));
    if !path.starts_with('/') {
        return refuse("it must begin with /");
    }
    if path.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
        return refuse("it contains a control character");
    }
    if path.contains('#') {
        return refuse("a fragment (#) cannot be sent; write %23 for a literal #");
    }
    let mut escaped = String::with_capacity(path.len());
    escape_into(&mut escaped, path, |byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte));
    Ok(escaped)
}

/// The first 80 characters of an input, for messages.
fn shortened(text: &str) -> String {
    let mut start: String = text.chars().take(80).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    start
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// Encodes as in a query, with `+` for a space.
fn escape_form_into(out: &mut String, text: &str) {
    for (index, part) in text.split(' ').enumerate() {
        if index > 0 {
            out.push('+');
        }
        escape_into(out, part, is_unreserved);
    }
}

fn escape_into(out: &mut String, text: &str, keep: impl Fn(u8) -> bool) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if keep(byte) {
            out.push(byte as char);
        } else {
            out.extend(['%', HEX[usize::from(byte >> 4)] as char, HEX[usize::from(byte & 15)] as char]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    fn refusal(request: &Request) -> String {
        let error = request.checked().expect_err("it should be refused");
        assert_eq!(error.kind(), Kind::InvalidArgument);
        error.to_string()
    }

    #[test]
    fn escapes_paths_and_keeps_escapes() {
        assert_eq!(Request::get("s", "/a b/ä?q=%20x&y=1").path, "/a%20b/%C3%A4?q=%20x&y=1");
        assert_eq!(Request::get("s", "/a").param("q", "x&y=1").param("n", 2).path, "/a?q=x%26y%3D1&n=2");
        assert_eq!(Request::get("s", "/a?b=1").param("c", "ü").path, "/a?b=1&c=%C3%BC");
    }

    #[test]
    fn escapes_forms_and_sets_their_content_type() {
        let request = Request::post("s", "/").form([("a b", "c&d=e"), ("ü", ""), ("a b", "+")]);
        assert_eq!(request.body.as_deref(), Some(b"a+b=c%26d%3De&%C3%BC=&a+b=%2B".as_slice()));
        assert_eq!(request.content_type, Some("application/x-www-form-urlencoded"));
    }

    #[test]
    fn rejects_malformed_parts_and_names_them() {
        assert!(refusal(&Request::get("s", "items")).contains("must begin with /"));
        assert!(refusal(&Request::get("s", "/a\r\nHost: evil")).contains("control character"));
        assert!(refusal(&Request::get("s", "/a#b")).contains("%23"));
        assert!(refusal(&Request::get("", "/a")).contains("service name is empty"));
        assert!(refusal(&Request::new("GE T", "s", "/")).contains("method"));
        assert!(refusal(&Request::get("s", "/").header("X", "a\nb")).contains("header X"));
        assert!(refusal(&Request::get("s", "/").header("X Y", "a")).contains("header name"));
        assert!(refusal(&Request::get("s", "/").header("content-length", "3")).contains("cannot be set"));
        assert!(refusal(&Request::get("s", "/").timeout(Duration::ZERO)).contains("timeout"));
        assert!(refusal(&Request::get("s", "/").attempts(0)).contains("attempts"));
    }

    #[test]
    fn errors_quote_the_beginning_of_a_long_path() {
        assert!(refusal(&Request::get("s", &"x".repeat(1 << 20))).len() < 200);
    }

    #[test]
    fn reports_the_first_error() {
        let request = Request::get("s", "nope").header("X", "\0");
        assert!(refusal(&request).contains("nope"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

        #[test]
        fn request_line_stays_one_line(path in ".*", name in ".*", value in ".*") {
            let request = Request::get("s", &format!("/{path}")).param(&name, &value);
            if let Ok(request) = request.checked() {
                prop_assert!(request.path.bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
}
