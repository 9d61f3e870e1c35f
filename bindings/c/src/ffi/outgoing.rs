//! One attempt's request, as a callback sees it.

use std::sync::OnceLock;

use plumline::{Error, Result};

use super::boundary::{Kind, boundary, look};
use super::error::ErrorHandle;
use super::input::{null, text};
use super::text::{Field, Str};
use crate::shelf::Shelf;

/// One attempt's request, as it is about to be sent. It belongs to the call, and what is borrowed from it is valid
/// until the callback returns.
pub struct Outgoing {
    inner: plumline::Outgoing,
    words: OnceLock<Shelf>,
    /// What was lent out before a header was set.
    outdated: Vec<Shelf>,
}

/// Where method, service, path and body lie; headers follow, name by value.
const WORDS: usize = 4;

impl Outgoing {
    pub(crate) fn new(inner: plumline::Outgoing) -> Outgoing {
        Outgoing { inner, words: OnceLock::new(), outdated: Vec::new() }
    }

    pub(crate) fn into_inner(self) -> plumline::Outgoing {
        self.inner
    }

    fn words(&self) -> &Shelf {
        self.words.get_or_init(|| {
            let of = &self.inner;
            let words = [of.method.as_bytes(), of.service.as_bytes(), of.path.as_bytes()];
            let body = [of.body.as_deref().unwrap_or_default()];
            let headers = of.headers.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
            Shelf::of(words.into_iter().chain(body).chain(headers))
        })
    }

    fn set_header(&mut self, name: &str, value: &str) -> Result<()> {
        self.inner.set_header(name, value)?;
        self.outdated.extend(self.words.take());
        Ok(())
    }
}

fn word(request: Option<&Outgoing>, place: usize) -> Str {
    look(request, Str::NONE, |request| Str::lent_if(request.words().get(place)))
}

/// `GET`, `POST`, …
#[unsafe(no_mangle)]
pub extern "C" fn plumline_outgoing_method(request: Option<&Outgoing>) -> Str {
    word(request, 0)
}

/// The service that was asked for.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_outgoing_service(request: Option<&Outgoing>) -> Str {
    word(request, 1)
}

/// Path and query, escaped.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_outgoing_path(request: Option<&Outgoing>) -> Str {
    word(request, 2)
}

/// The body; empty where there is none.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_outgoing_body(request: Option<&Outgoing>) -> Str {
    word(request, 3)
}

/// Which attempt this is, from 1.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_outgoing_attempt(request: Option<&Outgoing>) -> u32 {
    look(request, 0, |request| request.inner.attempt)
}

/// The first header of that name, whatever its case; none where there is no such header. Host and Content-Length are
/// not among them.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_outgoing_header(request: Option<&Outgoing>, name: Str) -> Str {
    look(request, Str::NONE, |request| {
        let name = text("name", &name).unwrap_or_default();
        let place = request.inner.headers.iter().position(|(known, _)| known.eq_ignore_ascii_case(name));
        place.map_or(Str::NONE, |place| Str::lent_if(request.words().get(WORDS + 2 * place + 1)))
    })
}

/// How many headers there are.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_outgoing_header_count(request: Option<&Outgoing>) -> usize {
    look(request, 0, |request| request.inner.headers.len())
}

/// The header at this index; both strings are none past the end.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_outgoing_header_at(request: Option<&Outgoing>, index: usize) -> Field {
    look(request, Field::NONE, |request| {
        let Some(place) = index.checked_mul(2).and_then(|place| place.checked_add(WORDS)) else {
            return Field::NONE;
        };
        let at = |place| Str::lent_if(request.words().get(place));
        Field { name: at(place), value: at(place + 1) }
    })
}

/// Sets a header, replacing any of that name. Only `on_request` can: elsewhere the request has been sent.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_outgoing_set_header(
    request: Option<&mut Outgoing>,
    name: Str,
    value: Str,
    error: *mut *mut ErrorHandle,
) -> Kind {
    boundary(error, || {
        let request = request.ok_or_else(|| null("request"))?;
        let name = text("name", &name)?;
        if name.is_empty() {
            return Err(Error::invalid("a header name is empty"));
        }
        request.set_header(name, text("value", &value)?)
    })
}
