//! The HTTP contract: routes and handlers.
//!
//! Handlers read the request, call the store, and write the response. `middleware` handles what all requests have in
//! common, `connection` what all connections have in common.

mod activity;
mod batch;
mod bodies;
pub(crate) mod connection;
mod discovery;
mod kv;
mod middleware;
mod nodes;
mod query_params;
mod request_body;
mod response;
mod services;
mod stream;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::HeaderValue;
use axum::response::Response;
use axum::routing::{delete, get, post};
use tokio::sync::watch::Receiver;

use self::response::ErrorResponse;
use crate::clock::LeaseClock;
use crate::config::{Config, Limits};
use crate::notifier::ChangeNotifier;
use crate::probe::Prober;
use crate::store::Store;

/// The state that handlers share.
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) clock: LeaseClock,
    pub(crate) notifier: ChangeNotifier,
    pub(crate) prober: Prober,
    pub(crate) limits: Limits,
    /// Milliseconds.
    pub(crate) node_ttl: u64,
    /// The token that requests must carry, if one is configured.
    token: Option<String>,
    ttl_header: HeaderValue,
    /// Becomes true when the controller is closing.
    pub(crate) closing: Receiver<bool>,
}

impl App {
    pub(crate) fn new(
        config: &Config,
        store: Store,
        clock: LeaseClock,
        notifier: ChangeNotifier,
        prober: Prober,
        closing: Receiver<bool>,
    ) -> Self {
        Self {
            store,
            clock,
            notifier,
            prober,
            limits: config.limits.clone(),
            node_ttl: config.node_ttl.as_millis() as u64,
            token: config.token.clone(),
            ttl_header: seconds(config.service_ttl),
            closing,
        }
    }

    /// Returns once the controller is closing.
    pub(crate) async fn closed(&self) {
        // An error means that the sender was dropped, which also means closing.
        drop(self.closing.clone().wait_for(|closing| *closing).await);
    }
}

/// A duration as a header value: seconds, with a fraction only where needed.
fn seconds(duration: Duration) -> HeaderValue {
    let text = duration.as_secs_f64().to_string();
    HeaderValue::from_str(&text).expect("a number is a header value")
}

pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { response::text("ok") }))
        .route("/v1/services", delete(services::delete_instance))
        .route("/v1/services/register", post(services::register))
        .route("/v1/services/registrations", post(batch::registrations))
        .route("/v1/services/heartbeat", post(services::heartbeat))
        .route("/v1/services/heartbeats", post(batch::heartbeats))
        .route(
            "/v1/services/endpoint",
            delete(services::delete_endpoint).patch(services::move_endpoint).put(services::move_endpoint),
        )
        .route("/v1/services/list", get(services::list))
        .route("/v1/discovery", get(discovery::discover))
        .route("/v1/discovery/random", get(discovery::random))
        .route("/v1/discovery/one", get(discovery::one))
        .route("/v1/nodes", get(nodes::list))
        .route("/v1/nodes/heartbeat", post(nodes::heartbeat))
        .route("/v1/nodes/{id}", get(nodes::show).delete(nodes::delete))
        .route("/v1/kv", get(kv::namespaces))
        .route("/v1/kv/{namespace}", get(kv::list))
        .route("/v1/kv/{namespace}/keys", get(kv::keys).put(kv::put).delete(kv::delete))
        .route("/v1/kv/{namespace}/batch", post(kv::batch).get(kv::show).put(kv::put).delete(kv::delete))
        .route("/v1/kv/{namespace}/{*key}", get(kv::show).put(kv::put).delete(kv::delete))
        .route("/v1/watch", post(watch::watch))
        .route("/v1/stream", get(stream::stream))
        .fallback(|| async { Err::<Response, _>(ErrorResponse::NOT_FOUND) })
        .method_not_allowed_fallback(|| async { Err::<Response, _>(ErrorResponse::METHOD_NOT_ALLOWED) })
        .with_state(app)
}
