//! From the structs of a caller to what the core asks.

use std::time::Duration;

use plumline::{Error, Labels, Query, Request, Result};
use plumline_bindings::method;

use super::input::{Growing, amount, bytes, count, fields, grown_if, optional_text, text};
use super::text::{Field, Str};

/// A yes-or-no that need not be said: not said.
pub const PLUMLINE_DEFAULT: i32 = 0;
/// Yes.
pub const PLUMLINE_YES: i32 = 1;
/// No.
pub const PLUMLINE_NO: i32 = 2;

/// A request to a service by name. Initialise it with `PLUMLINE_REQUEST_INIT`; what is not set is as the settings
/// say. Nothing it points to is needed once the call has returned.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RawRequest {
    /// `sizeof(plumline_request)`; the initialiser sets it.
    pub size: u32,
    /// Whether the service may see it twice: `PLUMLINE_YES`, `PLUMLINE_NO`, or `PLUMLINE_DEFAULT`: only GET, HEAD,
    /// OPTIONS, PUT and DELETE may.
    pub idempotent: i32,
    /// Not given: `GET`.
    pub method: Str,
    /// Whom to ask. Not given to `plumline_service_call()`.
    pub service: Str,
    /// Path and query, beginning with `/` and escaped already; blanks and what is not ASCII are escaped, `%XX` kept.
    pub path: Str,
    /// Query parameters, `param_count` of them, to be escaped and put behind the path.
    pub params: *const Field,
    /// How many parameters.
    pub param_count: usize,
    /// Headers, `header_count` of them; several of the same name are all sent.
    pub headers: *const Field,
    /// How many headers.
    pub header_count: usize,
    /// A body of JSON, sent as it is with `Content-Type: application/json` unless a header says otherwise. At most
    /// one of `json`, `content` and `form` is given.
    pub json: Str,
    /// A body of any bytes.
    pub content: Str,
    /// A body of form fields, `form_count` of them, sent as `application/x-www-form-urlencoded`.
    pub form: *const Field,
    /// How many form fields.
    pub form_count: usize,
    /// Only endpoints of this version; not given: of any.
    pub version: Str,
    /// Only endpoints with these labels, `label_count` of them.
    pub labels: *const Field,
    /// How many labels.
    pub label_count: usize,
    /// How long the whole call may take, milliseconds; 0: as the settings say.
    pub timeout_ms: u64,
    /// How long one attempt may take, milliseconds; 0: as the settings say.
    pub attempt_timeout_ms: u64,
    /// The largest body of an answer taken, bytes after decompression; 0: as the settings say.
    pub max_body: u64,
    /// How many attempts are made at most, the first included; 0: as the settings say.
    pub attempts: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: repr(C), begins with its size, holds integers, pointers and strings.
unsafe impl Growing for RawRequest {
    const NAME: &'static str = "request";
    const INIT: &'static str = "PLUMLINE_REQUEST_INIT";
}

/// Which endpoints of a service are meant; NULL in its place: all. Initialise it with `PLUMLINE_QUERY_INIT`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RawQuery {
    /// `sizeof(plumline_query)`; the initialiser sets it.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// Only of this version; not given: of any.
    pub version: Str,
    /// Only of this protocol; not given: of any.
    pub protocol: Str,
    /// Only with these labels, `label_count` of them.
    pub labels: *const Field,
    /// How many labels.
    pub label_count: usize,
}

// SAFETY: repr(C), begins with its size, holds integers, pointers and strings.
unsafe impl Growing for RawQuery {
    const NAME: &'static str = "query";
    const INIT: &'static str = "PLUMLINE_QUERY_INIT";
}

/// The query for a service, narrowed if the caller says so.
pub(crate) fn query(service: &Str, narrowed: *const RawQuery) -> Result<Query> {
    let mut query = Query::new(text("service", service)?);
    let Some(narrowed) = grown_if(narrowed)? else { return Ok(query) };
    query.version = optional_text("version", &narrowed.version)?.map(str::to_owned);
    query.protocol = optional_text("protocol", &narrowed.protocol)?.map(str::to_owned);
    query.labels = labels(&narrowed.labels, narrowed.label_count)?;
    Ok(query)
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "what is borrowed lives as long as the pointer is borrowed"
)]
pub(crate) fn labels(first: &*const Field, count: usize) -> Result<Labels> {
    let labels = fields("labels", first, count)?;
    Ok(labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

impl RawRequest {
    /// Whether only some endpoints are meant.
    pub(crate) fn is_narrowed(&self) -> bool {
        self.version.is_given() || self.label_count > 0
    }

    /// The request that the core makes, to this service.
    pub(crate) fn request_to(&self, service: &str) -> Result<Request> {
        let path = text("path", &self.path)?;
        let method = optional_text("method", &self.method)?.unwrap_or("GET");
        let mut request = Request::new(method::named(method), service, path);
        for (name, value) in fields("params", &self.params, self.param_count)? {
            request = request.param(name, value);
        }
        for (name, value) in fields("headers", &self.headers, self.header_count)? {
            request = request.header(name, value);
        }
        if let Some(version) = optional_text("version", &self.version)? {
            request = request.version(version);
        }
        for (name, value) in fields("labels", &self.labels, self.label_count)? {
            request = request.label(name, value);
        }
        self.add_options(self.add_body(request)?)
    }

    fn add_body(&self, request: Request) -> Result<Request> {
        let given =
            [self.json.is_given(), self.content.is_given(), !self.form.is_null() || self.form_count > 0];
        match given {
            [false, false, false] => Ok(request),
            [true, false, false] => Ok(request.json_bytes(text("json", &self.json)?.into())),
            [false, true, false] => Ok(request.body(bytes("content", &self.content)?)),
            [false, false, true] => {
                let fields = fields("form", &self.form, self.form_count)?;
                Ok(request.form(fields))
            }
            _ => Err(Error::invalid("pass only one of json, content and form")),
        }
    }

    fn add_options(&self, mut request: Request) -> Result<Request> {
        if let Some(timeout) = amount(self.timeout_ms) {
            request = request.timeout(millis(timeout));
        }
        if let Some(timeout) = amount(self.attempt_timeout_ms) {
            request = request.attempt_timeout(millis(timeout));
        }
        if let Some(attempts) = count(self.attempts) {
            request = request.attempts(attempts);
        }
        if let Some(bytes) = amount(self.max_body) {
            request = request.max_body(bytes);
        }
        Ok(match tristate("idempotent", self.idempotent)? {
            Some(idempotent) => request.idempotent(idempotent),
            None => request,
        })
    }
}

/// A yes-or-no that need not be said.
pub(crate) fn tristate(name: &str, given: i32) -> Result<Option<bool>> {
    match given {
        PLUMLINE_DEFAULT => Ok(None),
        PLUMLINE_YES => Ok(Some(true)),
        PLUMLINE_NO => Ok(Some(false)),
        other => Err(Error::invalid(format!(
            "{name} is {other}; it must be PLUMLINE_YES, PLUMLINE_NO or PLUMLINE_DEFAULT"
        ))),
    }
}

/// Milliseconds that are always said.
pub(crate) fn millis(given: u64) -> Duration {
    Duration::from_millis(given)
}

/// Milliseconds; below 0: not said.
pub(crate) fn optional_millis(given: i64) -> Option<Duration> {
    u64::try_from(given).ok().map(Duration::from_millis)
}
