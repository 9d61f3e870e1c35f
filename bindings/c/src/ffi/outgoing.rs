//! One attempt's request, as a callback sees it.

use plumline::sync::Mutex;
use plumline::{Error, Result};

use super::boundary::{Kind, boundary, look};
use super::error::ErrorHandle;
use super::input::{need, shared, text};
use super::text::{Field, Str};
use crate::shelf::Shelf;

/// One attempt's request, as it is about to be sent. It belongs to the call, and what is borrowed from it is valid
/// until the callback returns.
pub struct Outgoing(Mutex<State>);

/// Locked, because a header may be set while somebody holds what was lent out.
struct State {
    inner: plumline::Outgoing,
    /// Made when somebody asks.
    words: Option<Shelf>,
    /// What was lent out before a header was set.
    outdated: Vec<Shelf>,
}

/// Where method, service, path and body lie; headers follow, name by value.
const WORDS: usize = 4;

impl Outgoing {
    pub(crate) fn new(inner: plumline::Outgoing) -> Outgoing {
        Outgoing(Mutex::new(State { inner, words: None, outdated: Vec::new() }))
    }

    /// Puts the request, with the headers that were set, back where it came from.
    pub(crate) fn give_back(mut self, to: &mut plumline::Outgoing) {
        std::mem::swap(to, &mut self.0.get_mut().inner);
    }

    /// Lends a word out. It lies on a shelf of the heap's, which stays where it is until the request is gone.
    fn lend(&self, place: usize) -> Str {
        self.0.lock().lend(place)
    }
}

impl State {
    fn lend(&mut self, place: usize) -> Str {
        let State { inner, words, .. } = self;
        Str::lent_if(words.get_or_insert_with(|| words_of(inner)).get(place))
    }

    fn set_header(&mut self, name: &str, value: &str) -> Result<()> {
        self.inner.set_header(name, value)?;
        self.outdated.extend(self.words.take());
        Ok(())
    }
}

fn words_of(request: &plumline::Outgoing) -> Shelf {
    let words = [request.method.as_bytes(), request.service.as_bytes(), request.path.as_bytes()];
    let body = [request.body.as_deref().unwrap_or_default()];
    let headers = request.headers.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
    Shelf::of(words.into_iter().chain(body).chain(headers))
}

fn word(request: Option<&Outgoing>, place: usize) -> Str {
    look(request, Str::NONE, |request| request.lend(place))
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
    look(request, 0, |request| request.0.lock().inner.attempt)
}

/// The first header of that name, whatever its case; none where there is no such header. Host and Content-Length are
/// not among them.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_outgoing_header(request: Option<&Outgoing>, name: Str) -> Str {
    look(request, Str::NONE, |request| {
        let name = text("name", &name).unwrap_or_default();
        let mut state = request.0.lock();
        let place = state.inner.headers.iter().position(|(known, _)| known.eq_ignore_ascii_case(name));
        place.map_or(Str::NONE, |place| state.lend(WORDS + 2 * place + 1))
    })
}

/// How many headers there are.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_outgoing_header_count(request: Option<&Outgoing>) -> usize {
    look(request, 0, |request| request.0.lock().inner.headers.len())
}

/// The header at this index; both strings are none past the end.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_outgoing_header_at(request: Option<&Outgoing>, index: usize) -> Field {
    look(request, Field::NONE, |request| {
        let Some(place) = index.checked_mul(2).and_then(|place| place.checked_add(WORDS)) else {
            return Field::NONE;
        };
        let mut state = request.0.lock();
        Field { name: state.lend(place), value: state.lend(place + 1) }
    })
}

/// Sets a header, replacing any of that name. Only `on_request` can: elsewhere the request has been sent.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_outgoing_set_header(
    request: *mut Outgoing,
    name: Str,
    value: Str,
    error: *mut *mut ErrorHandle,
) -> Kind {
    boundary(error, || {
        let request = need("request", shared(&request))?;
        let name = text("name", &name)?;
        if name.is_empty() {
            return Err(Error::invalid("a header name is empty"));
        }
        request.0.lock().set_header(name, text("value", &value)?)
    })
}
