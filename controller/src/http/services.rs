//! Registering, beating, deleting, moving.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;

use super::App;
use super::answer::{Refusal, json, no_content};
use super::bodies::EndpointUpdate;
use super::body::Content;
use super::query::Query;
use crate::probe::Target;
use crate::store::{self, Address, Denied, Row, named_node};
use plumline_wire::body::{EndpointHealth, HeartbeatRequest, RegisterEndpoint, RegisterRequest};

pub(super) const MISSING_INSTANCE: Refusal = Refusal::bad("missing instanceId\n");

pub(super) async fn register(
    State(app): State<Arc<App>>,
    uri: Uri,
    content: Content,
) -> Result<Response, Refusal> {
    let body: RegisterRequest<'_> = content.read()?;
    if body.instance_id.is_empty() {
        return Err(MISSING_INSTANCE);
    }
    let registered = if Query::of(&uri).is_true("replace") {
        app.store.services.register(&body, |_| true, app.clock.now())
    } else {
        app.store.services.admits(&body, app.clock.now()).map_err(refusal)?;
        let health = app.prober.probe_all(targets_of(&body)).await;
        app.store.services.register(&body, |index| health[index], app.clock.now())
    };
    registered.map(|()| no_content()).map_err(refusal)
}

fn targets_of(body: &RegisterRequest<'_>) -> Vec<Target> {
    let target = |endpoint: &RegisterEndpoint<'_>| Target {
        ip: body.ip.to_string(),
        port: endpoint.port,
        protocol: endpoint.protocol.to_string(),
    };
    body.endpoints.iter().map(target).collect()
}

fn refusal(denied: Denied) -> Refusal {
    match denied {
        Denied::Closed => Refusal::conflict("this generation was closed\n"),
        Denied::Taken => Refusal::conflict("another endpoint has this identity\n"),
        Denied::TooMany => Refusal::bad("too many endpoints for one instance\n"),
    }
}

pub(super) async fn heartbeat(State(app): State<Arc<App>>, content: Content) -> Result<Response, Refusal> {
    let body: HeartbeatRequest<'_> = content.read()?;
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

/// A heartbeat that says nothing about health: the controller finds out itself.
async fn probe_instance(app: &App, instance: &str) {
    let rows = app.store.services.rows_of(instance);
    let target = |row: &Arc<Row>| {
        let identity = row.identity();
        Target { ip: identity.ip.to_string(), port: identity.port, protocol: identity.protocol.to_string() }
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

pub(super) async fn delete_instance(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::of(&uri);
    let instance = query.given("instanceId").ok_or(Refusal::bad("instanceId required\n"))?;
    app.store.services.delete_instance(&instance, query.given("generation").as_deref(), app.clock.now());
    Ok(no_content())
}

pub(super) async fn delete_endpoint(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::of(&uri);
    let named = Named::read(query)?;
    let generation = query.given("generation");
    app.store.services.delete_endpoint(named.address(), generation.as_deref(), app.clock.now());
    Ok(no_content())
}

pub(super) async fn move_endpoint(
    State(app): State<Arc<App>>,
    uri: Uri,
    content: Content,
) -> Result<Response, Refusal> {
    let named = Named::read(Query::of(&uri))?;
    let body: EndpointUpdate<'_> = content.read()?;
    let from = named.address();
    let to = Address {
        service: body.service_name.as_deref().unwrap_or(from.service),
        instance: body.instance_id.as_deref().unwrap_or(from.instance),
        ip: body.ip.as_deref().unwrap_or(from.ip),
        port: body.port.unwrap_or(from.port),
        protocol: body.protocol.as_deref().unwrap_or(from.protocol),
    };
    let moved = store::Content {
        node: named_node(&body.node_id).into(),
        version: (*body.version).into(),
        labels: body.labels.clone(),
        ..store::Content::default()
    };
    let done = app.store.services.move_endpoint(from, to, moved, body.healthy, app.clock.now());
    done.map(|()| no_content()).map_err(refusal)
}

/// The original answers `null` where there is none.
pub(super) async fn list(State(app): State<Arc<App>>) -> Response {
    let names = app.store.services.names();
    let names: Vec<&str> = names.iter().map(|name| &**name).collect();
    json(&(!names.is_empty()).then_some(names))
}

/// The endpoint that the query names.
struct Named<'a> {
    service: Cow<'a, str>,
    instance: Cow<'a, str>,
    ip: Cow<'a, str>,
    port: i64,
    protocol: Cow<'a, str>,
}

impl<'a> Named<'a> {
    fn read(query: Query<'a>) -> Result<Self, Refusal> {
        const MISSING: Refusal =
            Refusal::bad("missing required parameters: serviceName, instanceId, ip, port, protocol\n");
        let given = |name| query.given(name).ok_or(MISSING);
        let (service, instance, ip) = (given("serviceName")?, given("instanceId")?, given("ip")?);
        let (port, protocol) = (given("port")?, given("protocol")?);
        let port = port.parse().map_err(|_| Refusal::bad("invalid port\n"))?;
        Ok(Self { service, instance, ip, port, protocol })
    }

    fn address(&self) -> Address<'_> {
        Address {
            service: &self.service,
            instance: &self.instance,
            ip: &self.ip,
            port: self.port,
            protocol: &self.protocol,
        }
    }
}
