//! The key-value store: configuration of services, by namespace and key.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, RawPathParams, State};
use axum::http::Uri;
use axum::http::request::Parts;
use axum::response::Response;
use serde_json::json as object;

use super::App;
use super::bodies::{ValueBatch, ValueRequest};
use super::query_params::QueryParams;
use super::request_body::RequestBody;
use super::response::{ErrorResponse, json, no_content};
use crate::store::{KvValue, KvWrite, ValueType};

/// The namespace and the key in the path. A key may contain `/`, and may also be `keys` or `batch`.
pub(super) struct KeyPath {
    namespace: String,
    key: String,
}

impl FromRequestParts<Arc<App>> for KeyPath {
    type Rejection = ErrorResponse;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ErrorResponse> {
        let found =
            RawPathParams::from_request_parts(parts, app).await.map_err(|_| ErrorResponse::BAD_REQUEST)?;
        let named = |name| found.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned());
        let last = || parts.uri.path().rsplit('/').next().map(str::to_owned);
        let namespace = named("namespace").ok_or(ErrorResponse::NOT_FOUND)?;
        let key = named("key").or_else(last).ok_or(ErrorResponse::NOT_FOUND)?;
        Ok(Self { namespace, key })
    }
}

const INVALID_TYPE: ErrorResponse =
    ErrorResponse::bad("invalid type (must be string|int|double|bool|bytes)\n");

pub(super) async fn namespaces(State(app): State<Arc<App>>) -> Response {
    let namespaces = app.store.values.namespaces();
    json(&object!({ "namespaces": (!namespaces.is_empty()).then_some(namespaces) }))
}

pub(super) async fn list(State(app): State<Arc<App>>, Path(namespace): Path<String>, uri: Uri) -> Response {
    json(&app.store.values.list(&namespace, &QueryParams::of(&uri).get("prefix")))
}

pub(super) async fn keys(State(app): State<Arc<App>>, Path(namespace): Path<String>) -> Response {
    let keys = app.store.values.keys(&namespace);
    json(&object!({ "keys": keys, "namespace": namespace }))
}

pub(super) async fn show(State(app): State<Arc<App>>, place: KeyPath) -> Result<Response, ErrorResponse> {
    let entry = app.store.values.get(&place.namespace, &place.key);
    entry.map(|entry| json(&entry)).ok_or(ErrorResponse::NOT_FOUND)
}

pub(super) async fn put(
    State(app): State<Arc<App>>,
    place: KeyPath,
    body: RequestBody,
) -> Result<Response, ErrorResponse> {
    let body: ValueRequest = body.json()?;
    let answer = object!({
        "key": place.key,
        "namespace": place.namespace,
        "type": ValueType::named(&body.kind).ok_or(INVALID_TYPE)?,
        "value": body.value,
    });
    let item = (place.key, value_of(body.value, &body.kind, &app)?);
    write(&app, KvWrite::Put { namespace: place.namespace, items: vec![item] }).await?;
    Ok(json(&answer))
}

pub(super) async fn delete(State(app): State<Arc<App>>, place: KeyPath) -> Result<Response, ErrorResponse> {
    write(&app, KvWrite::Delete { namespace: place.namespace, key: place.key }).await?;
    Ok(no_content())
}

pub(super) async fn batch(
    State(app): State<Arc<App>>,
    Path(namespace): Path<String>,
    body: RequestBody,
) -> Result<Response, ErrorResponse> {
    let body: ValueBatch = body.json()?;
    let item = |item: ValueRequest| {
        let value = value_of(item.value, &item.kind, &app)?;
        if item.key.is_empty() { Err(ErrorResponse::bad("missing key\n")) } else { Ok((item.key, value)) }
    };
    let items = body.items.into_iter().map(item).collect::<Result<Vec<_>, _>>()?;
    let answer = object!({ "count": items.len(), "namespace": namespace });
    write(&app, KvWrite::Put { namespace, items }).await?;
    Ok(json(&answer))
}

fn value_of(text: String, kind: &str, app: &App) -> Result<KvValue, ErrorResponse> {
    let kind = ValueType::named(kind).ok_or(INVALID_TYPE)?;
    Ok(KvValue { text, kind, updated_at: app.clock.now().unix })
}

async fn write(app: &App, write: KvWrite) -> Result<(), ErrorResponse> {
    app.store.write(write).await.map_err(|_| ErrorResponse::DB_ERROR)
}
