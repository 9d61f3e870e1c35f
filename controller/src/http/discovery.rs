//! Who offers a service.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use bytes::Bytes;

use super::App;
use super::answer::{Refusal, raw_json};
use super::query::Query;
use crate::store::Filter;

/// The parameters that all three calls share.
struct Asked<'a> {
    service: Cow<'a, str>,
    version: Cow<'a, str>,
    protocol: Cow<'a, str>,
}

impl<'a> Asked<'a> {
    fn read(query: Query<'a>) -> Result<Self, Refusal> {
        let service = query.given("service").ok_or(Refusal::bad("service required\n"))?;
        Ok(Self { service, version: query.get("version"), protocol: query.get("protocol") })
    }

    fn filter(&self) -> Filter<'_> {
        Filter { version: &self.version, protocol: &self.protocol }
    }
}

pub(super) async fn discover(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::of(&uri);
    let asked = Asked::read(query)?;
    if query.is_true("all") {
        return Ok(raw_json(app.store.services.all_of(&asked.service)));
    }
    let limit = read_limit(&query.get("limit"))?;
    Ok(raw_json(app.store.services.discover(&asked.service, asked.filter(), limit)))
}

/// What is no number limits nothing, as in the original; a negative one crashed it and is refused.
fn read_limit(text: &str) -> Result<Option<usize>, Refusal> {
    match text.parse::<i64>() {
        Ok(limit) => {
            usize::try_from(limit).map(Some).map_err(|_| Refusal::bad("limit must not be negative\n"))
        }
        Err(_) => Ok(None),
    }
}

pub(super) async fn random(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Refusal> {
    let asked = Asked::read(Query::of(&uri))?;
    one_of(app.store.services.random(&asked.service, asked.filter()))
}

pub(super) async fn one(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::of(&uri);
    let asked = Asked::read(query)?;
    match &*query.get("strategy") {
        "" | "random" => one_of(app.store.services.random(&asked.service, asked.filter())),
        "lazy" => one_of(app.store.services.lazy(&asked.service, asked.filter())),
        _ => Err(Refusal::bad("invalid strategy\n")),
    }
}

fn one_of(found: Option<Bytes>) -> Result<Response, Refusal> {
    found.map(raw_json).ok_or(Refusal::NO_ENDPOINTS)
}
