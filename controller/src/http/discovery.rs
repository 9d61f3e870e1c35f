//! Discovery: the endpoints of a service.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use bytes::Bytes;

use super::App;
use super::query_params::QueryParams;
use super::response::{ErrorResponse, json_bytes};
use crate::store::Filter;

/// The parameters that all three requests share.
struct DiscoveryParams<'a> {
    service: Cow<'a, str>,
    version: Cow<'a, str>,
    protocol: Cow<'a, str>,
}

impl<'a> DiscoveryParams<'a> {
    fn read(query: QueryParams<'a>) -> Result<Self, ErrorResponse> {
        let service = query.given("service").ok_or(ErrorResponse::bad("service required\n"))?;
        Ok(Self { service, version: query.get("version"), protocol: query.get("protocol") })
    }

    fn filter(&self) -> Filter<'_> {
        Filter { version: &self.version, protocol: &self.protocol }
    }
}

pub(super) async fn discover(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, ErrorResponse> {
    let query = QueryParams::of(&uri);
    let params = DiscoveryParams::read(query)?;
    if query.is_true("all") {
        return Ok(json_bytes(app.store.services.all_of(&params.service)));
    }
    let limit = read_limit(&query.get("limit"))?;
    Ok(json_bytes(app.store.services.discover(&params.service, params.filter(), limit)))
}

/// A limit that is not a number is ignored, as in the original. The original crashes on a negative one; here it is
/// rejected.
fn read_limit(text: &str) -> Result<Option<usize>, ErrorResponse> {
    match text.parse::<i64>() {
        Ok(limit) => {
            usize::try_from(limit).map(Some).map_err(|_| ErrorResponse::bad("limit must not be negative\n"))
        }
        Err(_) => Ok(None),
    }
}

pub(super) async fn random(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, ErrorResponse> {
    let params = DiscoveryParams::read(QueryParams::of(&uri))?;
    one_of(app.store.services.random(&params.service, params.filter()))
}

pub(super) async fn one(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, ErrorResponse> {
    let query = QueryParams::of(&uri);
    let params = DiscoveryParams::read(query)?;
    match &*query.get("strategy") {
        "" | "random" => one_of(app.store.services.random(&params.service, params.filter())),
        "lazy" => one_of(app.store.services.lazy(&params.service, params.filter())),
        _ => Err(ErrorResponse::bad("invalid strategy\n")),
    }
}

fn one_of(found: Option<Bytes>) -> Result<Response, ErrorResponse> {
    found.map(json_bytes).ok_or(ErrorResponse::NO_ENDPOINTS)
}
