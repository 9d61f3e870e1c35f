//! What a call brought back.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, OnceLock};

use plumline::{Answer, Error, Result};

use super::boundary::{Kind, boundary, free, look, make};
use super::endpoint::Endpoint;
use super::error::ErrorHandle;
use super::input::{Growing, bytes, fields, grown, need, text};
use super::text::{Field, Str};
use super::trace::{Story, TraceStep};
use crate::shelf::Shelf;

/// An HTTP answer of any status, and how it was come by. It never changes, and any thread may read it. Everything
/// borrowed from it is valid until it is freed. Yours to free with `plumline_response_free()`.
pub struct Response {
    /// Everything but the body.
    inner: plumline::Response,
    /// With a NUL behind it.
    body: Vec<u8>,
    endpoint: OnceLock<Endpoint>,
    story: OnceLock<Story>,
    service: OnceLock<Shelf>,
    headers: OnceLock<Shelf>,
}

impl From<plumline::Response> for Response {
    fn from(mut inner: plumline::Response) -> Response {
        let mut body = inner.take_body();
        body.push(0); // the core has left room for it
        Response {
            inner,
            body,
            endpoint: OnceLock::new(),
            story: OnceLock::new(),
            service: OnceLock::new(),
            headers: OnceLock::new(),
        }
    }
}

impl Response {
    /// What a transport of the caller's hands to the core.
    pub(crate) fn into_answer(mut self) -> Answer {
        self.body.pop();
        Answer::new(self.inner.status(), self.inner.headers().clone(), self.body)
    }

    /// What an `on_response` callback sees.
    pub(crate) fn of_answer(endpoint: &plumline::Endpoint, answer: &Answer) -> Response {
        let headers = answer.headers.iter();
        plumline::Response::new(endpoint.clone(), answer.status, headers, answer.body.clone()).into()
    }

    fn headers(&self) -> &Shelf {
        let both = |(name, value): (&'_ str, &'_ [u8])| [name.as_bytes().to_vec(), value.to_vec()];
        self.headers.get_or_init(|| Shelf::of(self.inner.headers().iter().flat_map(both)))
    }
}

/// What a response is made of, for `plumline_response_new()`. Initialise it with `PLUMLINE_RESPONSE_FIELDS_INIT`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ResponseFields {
    /// `sizeof(plumline_response_fields)`; the initialiser sets it.
    pub size: u32,
    /// 200 to 599; 0: 200.
    pub status: u32,
    /// The headers, `header_count` of them.
    pub headers: *const Field,
    /// How many headers.
    pub header_count: usize,
    /// A body of JSON, with `Content-Type: application/json` unless a header says otherwise. At most one of `json`
    /// and `content` is given.
    pub json: Str,
    /// A body of any bytes.
    pub content: Str,
}

// SAFETY: repr(C), begins with its size, holds integers, pointers and strings.
unsafe impl Growing for ResponseFields {
    const NAME: &'static str = "fields";
    const INIT: &'static str = "PLUMLINE_RESPONSE_FIELDS_INIT";
}

/// Makes a response: what a transport of your own answers, or for the tests of your own code. `endpoint` may be NULL.
/// Yours to free, unless a transport hands it over.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_response_new(
    fields: *const ResponseFields,
    endpoint: Option<&Endpoint>,
    response: *mut *mut Response,
    error: *mut *mut ErrorHandle,
) -> Kind {
    make("response", response, error, || made_of(&grown(fields)?, endpoint).map(Response::from))
}

fn made_of(of: &ResponseFields, endpoint: Option<&Endpoint>) -> Result<plumline::Response> {
    let status = match of.status {
        0 => 200,
        200..=599 => of.status as u16,
        other => return Err(Error::invalid(format!("status is {other}; it must be from 200 to 599"))),
    };
    let mut headers = fields("headers", &of.headers, of.header_count)?;
    let body = match (of.json.is_given(), of.content.is_given()) {
        (true, true) => return Err(Error::invalid("pass only one of json and content")),
        (false, _) => bytes("content", &of.content)?,
        (true, false) => {
            if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
                headers.push(("Content-Type", "application/json"));
            }
            text("json", &of.json)?.as_bytes()
        }
    };
    let nowhere = || Arc::new(plumline::Endpoint::new("", IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0));
    let endpoint = endpoint.map_or_else(nowhere, |endpoint| endpoint.inner.clone());
    Ok(plumline::Response::new(endpoint, status, headers, body))
}

/// Its status, 200 to 599; 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_response_status(response: Option<&Response>) -> u16 {
    look(response, 0, |response| response.inner.status())
}

/// Whether the status is 2xx.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_response_is_success(response: Option<&Response>) -> bool {
    look(response, false, |response| response.inner.is_success())
}

/// The body, decompressed, without a copy. A NUL stands behind it.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_response_body(response: Option<&Response>) -> Str {
    look(response, Str::NONE, |response| Str::lent(&response.body))
}

/// The first header of that name, whatever its case; none where there is no such header.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_response_header(response: Option<&Response>, name: Str) -> Str {
    look(response, Str::NONE, |response| {
        let name = text("name", &name).unwrap_or_default();
        let place = response.inner.headers().iter().position(|(known, _)| known.eq_ignore_ascii_case(name));
        place.map_or(Str::NONE, |place| Str::lent_if(response.headers().get(2 * place + 1)))
    })
}

/// How many headers there are, each of several with the same name by itself.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_response_header_count(response: Option<&Response>) -> usize {
    look(response, 0, |response| response.inner.headers().len())
}

/// The header at this index, in the order in which they came; both strings are none past the end.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_response_header_at(response: Option<&Response>, index: usize) -> Field {
    look(response, Field::NONE, |response| {
        let Some(place) = index.checked_mul(2) else { return Field::NONE };
        let at = |place| Str::lent_if(response.headers().get(place));
        Field { name: at(place), value: at(place + 1) }
    })
}

/// `PLUMLINE_OK` for an answer below 400; else `PLUMLINE_STATUS`, with an error that tells of it.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_response_raise_for_status(
    response: Option<&Response>,
    error: *mut *mut ErrorHandle,
) -> Kind {
    boundary(error, || need("response", response)?.inner.status_error().map_or(Ok(()), Err))
}

/// The service that was asked for.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_response_service(response: Option<&Response>) -> Str {
    look(response, Str::NONE, |response| {
        Str::lent_if(response.service.get_or_init(|| Shelf::of([response.inner.service()])).get(0))
    })
}

/// The endpoint that answered. It belongs to the response.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_response_endpoint(response: Option<&Response>) -> Option<&Endpoint> {
    look(response, None, |response| {
        Some(response.endpoint.get_or_init(|| response.inner.endpoint().clone().into()))
    })
}

/// How many attempts it took.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_response_attempts(response: Option<&Response>) -> u32 {
    look(response, 0, |response| response.inner.attempts())
}

/// How long the whole call took, milliseconds.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_response_elapsed_ms(response: Option<&Response>) -> f64 {
    look(response, 0.0, |response| response.inner.elapsed().as_secs_f64() * 1e3)
}

/// How many steps its story has: one for each attempt; the last one is this answer.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_response_trace_count(response: Option<&Response>) -> usize {
    look(response, 0, |response| response.inner.trace().len())
}

/// What an attempt came to, in order from 0; NULL past the end. It belongs to the response.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_response_trace_at(
    response: Option<&Response>,
    index: usize,
) -> Option<&TraceStep> {
    look(response, None, |response| {
        response.story.get_or_init(|| Story::of(response.inner.trace())).get(index)
    })
}

/// Frees a response and everything that was borrowed from it. NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_response_free(response: Option<Box<Response>>) {
    free(response);
}
