//! Services: register, heartbeat, delete and move.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use plumline_wire::body::{EndpointHealth, HeartbeatRequest, RegisterEndpoint, RegisterRequest};

use super::App;
use super::bodies::EndpointUpdate;
use super::query_params::QueryParams;
use super::request_body::RequestBody;
use super::response::{ErrorResponse, json, no_content};
use crate::probe::ProbeTarget;
use crate::store::{self, EndpointKey, RegisterError, Row, node_or_manual};

pub(super) const MISSING_INSTANCE: ErrorResponse = ErrorResponse::bad("missing instanceId\n");

pub(super) async fn register(
    State(app): State<Arc<App>>,
    uri: Uri,
    body: RequestBody,
) -> Result<Response, ErrorResponse> {
    let body: RegisterRequest<'_> = body.json()?;
    if body.instance_id.is_empty() {
        return Err(MISSING_INSTANCE);
    }
    let registered = if QueryParams::of(&uri).is_true("replace") {
        app.store.services.register(&body, |_| true, app.clock.now())
    } else {
        app.store.services.check_registration(&body, app.clock.now()).map_err(error_response)?;
        let health = app.prober.probe_all(probe_targets(&body)).await;
        app.store.services.register(&body, |index| health[index], app.clock.now())
    };
    registered.map(|()| no_content()).map_err(error_response)
}

fn probe_targets(body: &RegisterRequest<'_>) -> Vec<ProbeTarget> {
    let target = |endpoint: &RegisterEndpoint<'_>| ProbeTarget {
        ip: body.ip.to_string(),
        port: endpoint.port,
        protocol: endpoint.protocol.to_string(),
    };
    body.endpoints.iter().map(target).collect()
}

fn error_response(error: RegisterError) -> ErrorResponse {
    match error {
        RegisterError::GenerationClosed => ErrorResponse::conflict("this generation was closed\n"),
        RegisterError::IdentityTaken => ErrorResponse::conflict("another endpoint has this identity\n"),
        RegisterError::TooManyEndpoints => ErrorResponse::bad("too many endpoints for one instance\n"),
    }
}

pub(super) async fn heartbeat(
    State(app): State<Arc<App>>,
    body: RequestBody,
) -> Result<Response, ErrorResponse> {
    let body: HeartbeatRequest<'_> = body.json()?;
    if body.instance_id.is_empty() {
        return Err(MISSING_INSTANCE);
    }
    if body.health.is_empty() {
        probe_instance(&app, &body.instance_id).await;
    } else {
        app.store.services.heartbeat(&body.instance_id, &body.health, app.clock.now());
    }
    Ok(no_content())
}

/// For a heartbeat without health: the controller probes the endpoints.
async fn probe_instance(app: &App, instance: &str) {
    let rows = app.store.services.rows_of(instance);
    let target = |row: &Arc<Row>| {
        let identity = row.identity();
        ProbeTarget {
            ip: identity.ip.to_string(),
            port: identity.port,
            protocol: identity.protocol.to_string(),
        }
    };
    let healthy = app.prober.probe_all(rows.iter().map(target).collect()).await;
    let found = rows.iter().zip(healthy).map(|(row, healthy)| health_of(row, healthy));
    app.store.services.heartbeat(instance, &found.collect::<Vec<_>>(), app.clock.now());
}

fn health_of(row: &Row, healthy: bool) -> EndpointHealth<'_> {
    let identity = row.identity();
    EndpointHealth {
        service_name: (&*identity.service).into(),
        ip: (&*identity.ip).into(),
        port: identity.port,
        protocol: (&*identity.protocol).into(),
        healthy,
    }
}

pub(super) async fn delete_instance(
    State(app): State<Arc<App>>,
    uri: Uri,
) -> Result<Response, ErrorResponse> {
    let query = QueryParams::of(&uri);
    let instance = query.given("instanceId").ok_or(ErrorResponse::bad("instanceId required\n"))?;
    app.store.services.delete_instance(&instance, query.given("generation").as_deref(), app.clock.now());
    Ok(no_content())
}

pub(super) async fn delete_endpoint(
    State(app): State<Arc<App>>,
    uri: Uri,
) -> Result<Response, ErrorResponse> {
    let query = QueryParams::of(&uri);
    let endpoint = EndpointParams::read(query)?;
    let generation = query.given("generation");
    app.store.services.delete_endpoint(endpoint.key(), generation.as_deref(), app.clock.now());
    Ok(no_content())
}

pub(super) async fn move_endpoint(
    State(app): State<Arc<App>>,
    uri: Uri,
    body: RequestBody,
) -> Result<Response, ErrorResponse> {
    let endpoint = EndpointParams::read(QueryParams::of(&uri))?;
    let body: EndpointUpdate<'_> = body.json()?;
    let from = endpoint.key();
    let to = EndpointKey {
        service: body.service_name.as_deref().unwrap_or(from.service),
        instance: body.instance_id.as_deref().unwrap_or(from.instance),
        ip: body.ip.as_deref().unwrap_or(from.ip),
        port: body.port.unwrap_or(from.port),
        protocol: body.protocol.as_deref().unwrap_or(from.protocol),
    };
    let content = store::RowContent {
        node: node_or_manual(&body.node_id).into(),
        version: (*body.version).into(),
        labels: body.labels.clone(),
        ..store::RowContent::default()
    };
    let outcome = app.store.services.move_endpoint(from, to, content, body.healthy, app.clock.now());
    outcome.map(|()| no_content()).map_err(error_response)
}

/// The original returns `null` when there are no services.
pub(super) async fn list(State(app): State<Arc<App>>) -> Response {
    let names = app.store.services.names();
    let names: Vec<&str> = names.iter().map(|name| &**name).collect();
    json(&(!names.is_empty()).then_some(names))
}

/// The query parameters that identify an endpoint.
struct EndpointParams<'a> {
    service: Cow<'a, str>,
    instance: Cow<'a, str>,
    ip: Cow<'a, str>,
    port: i64,
    protocol: Cow<'a, str>,
}

impl<'a> EndpointParams<'a> {
    fn read(query: QueryParams<'a>) -> Result<Self, ErrorResponse> {
        const MISSING: ErrorResponse =
            ErrorResponse::bad("missing required parameters: serviceName, instanceId, ip, port, protocol\n");
        let required = |name| query.given(name).ok_or(MISSING);
        let (service, instance, ip) = (required("serviceName")?, required("instanceId")?, required("ip")?);
        let (port, protocol) = (required("port")?, required("protocol")?);
        let port = port.parse().map_err(|_| ErrorResponse::bad("invalid port\n"))?;
        Ok(Self { service, instance, ip, port, protocol })
    }

    fn key(&self) -> EndpointKey<'_> {
        EndpointKey {
            service: &self.service,
            instance: &self.instance,
            ip: &self.ip,
            port: self.port,
            protocol: &self.protocol,
        }
    }
}
