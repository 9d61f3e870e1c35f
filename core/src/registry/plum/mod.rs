//! `plum://`: Plumline controllers, and original Plum controllers.
//!
//! ```text
//!  mod            PlumRegistry: the controller in use; one request, and the meaning of its status
//!  controller     one controller: its connections, its features, its TTL
//!  wire           the JSON of both kinds of controllers
//!  digest         the digest by which both sides verify that they hold the same records
//!  read           reads lists of endpoints
//!  watch          long polls (Plumline controller) or regular reads (original)
//!  registrations  register, heartbeat, deregister
//! ```
//!
//! A Plumline controller sends the header `PlumRegistry-Features` with every response; any other one is treated as an original.
//! Several hosts are independent stores. Reads use one of them, and move to the next when it fails, which starts a new
//! epoch. Registrations go to each of them, so every host is a registry of its own for registrations.

mod controller;
mod digest;
mod read;
mod registrations;
mod watch;
mod wire;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use self::controller::PlumController;
use crate::error::{Error, Kind, Result};
use crate::registry::address::Address;
use crate::registry::http_host::{HttpHost, HttpRequest, is_outage};
use crate::registry::resolver::Resolver;
use crate::registry::setup::{OpenedRegistry, RegistrySetup};
use crate::registry::types::{
    HeartbeatResult, Registry, RegistryEntry, RegistryUpdate, UpdateSink, WaitLimit, WatchHandle,
};
use crate::runtime::{Runtime, TaskQueue};
use crate::transport::Answer;

pub use digest::digest;

/// Plum controllers as one registry.
pub(super) struct PlumRegistry {
    source: Arc<str>,
    controllers: Vec<Arc<PlumController>>,
    /// The index of the controller in use.
    active: AtomicUsize,
    queue: Arc<TaskQueue>,
    authorization: Option<String>,
    resolver: Arc<Resolver>,
    runtime: Runtime,
    poll_interval: Duration,
    timeout: Duration,
}

/// Opens the controllers of an address: one registry for reads, and one per host for registrations.
pub(super) fn open(address: &Address, setup: &RegistrySetup) -> Result<OpenedRegistry> {
    let secure = matches!(address.scheme, "plum+tls" | "https");
    let resolver = Arc::new(Resolver::new(setup));
    let scheme = if secure { "plum+tls" } else { "plum" };
    let controller = |name| Ok(Arc::new(PlumController::new(HttpHost::new(name, scheme, secure, setup)?)));
    let controllers: Vec<Arc<PlumController>> =
        address.hosts.iter().map(controller).collect::<Result<_>>()?;
    let plum = |source: String, controllers: Vec<Arc<PlumController>>, limit: usize| -> Arc<dyn Registry> {
        Arc::new(PlumRegistry {
            source: source.into(),
            controllers,
            active: AtomicUsize::new(0),
            queue: TaskQueue::new(limit),
            authorization: address.param("token").map(|token| format!("Bearer {token}")),
            resolver: resolver.clone(),
            runtime: setup.runtime.clone(),
            poll_interval: setup.poll_interval,
            timeout: setup.timeout,
        })
    };
    let reader = plum(address.source(), controllers.clone(), 2);
    if controllers.len() == 1 {
        return Ok(OpenedRegistry::one(reader));
    }
    // A stalled store occupies one worker, so it does not delay the heartbeats of the others.
    let single = |controller: &Arc<PlumController>| {
        plum(format!("{}://{}", address.scheme, controller.host.name), vec![controller.clone()], 1)
    };
    Ok(OpenedRegistry { writers: controllers.iter().map(single).collect(), reader })
}

impl PlumRegistry {
    fn active(&self) -> &Arc<PlumController> {
        &self.controllers[self.active.load(Ordering::Relaxed) % self.controllers.len()]
    }

    /// Moves to the next controller after a failure, unless another caller has done so.
    fn leave_controller(&self, failed: &Arc<PlumController>) {
        let turn = self.active.load(Ordering::Relaxed);
        if self.controllers.len() > 1 && Arc::ptr_eq(&self.controllers[turn % self.controllers.len()], failed)
        {
            // If this fails, another caller has moved already.
            let _ = self.active.compare_exchange(turn, turn + 1, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// How long one request may take: much less than the TTL.
    fn request_timeout(&self) -> Duration {
        self.timeout.min(self.ttl() / 6)
    }

    /// Sends a request to the controller in use, and to the others if it does not answer.
    fn with_failover<T>(
        &self,
        wait: &WaitLimit<'_>,
        request: impl Fn(&Arc<PlumController>) -> Result<T>,
    ) -> Result<T> {
        let mut outcome = Err(Error::new(Kind::Internal, "no controller"));
        for _ in &self.controllers {
            let controller = self.active().clone();
            outcome = request(&controller);
            match &outcome {
                Err(error) if is_outage(error) && wait.remaining().is_ok() => {
                    self.leave_controller(&controller)
                }
                _ => return outcome,
            }
        }
        outcome
    }

    /// Sends one request; the response has a status below 400, or 404, 405 or 409.
    fn exchange(
        &self,
        controller: &PlumController,
        request: &HttpRequest<'_>,
        wait: &WaitLimit<'_>,
    ) -> Result<Answer> {
        let wait = wait.at_most(self.request_timeout());
        let response = controller.host.exchange(request, self.credentials(), &self.resolver, &wait)?;
        PlumRegistry::checked_response(controller, response)
    }

    fn checked_response(controller: &PlumController, response: Answer) -> Result<Answer> {
        controller.learn_kind(&response);
        match response.status {
            200..=399 | 404 | 405 | 409 => Ok(response),
            _ => Err(controller.host.status_error(&response)),
        }
    }

    fn credentials(&self) -> Option<(&str, &str)> {
        self.authorization.as_deref().map(|value| ("Authorization", value))
    }

    /// Detects the kind of a controller, if it is unknown.
    fn detect_kind(&self, controller: &PlumController, wait: &WaitLimit<'_>) -> Result<()> {
        if controller.is_known() {
            return Ok(());
        }
        self.exchange(controller, &HttpRequest::get("/healthz"), wait).map(|_| ())
    }
}

impl Registry for PlumRegistry {
    fn source(&self) -> &Arc<str> {
        &self.source
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn ttl(&self) -> Duration {
        self.active().ttl()
    }

    fn batch_size(&self) -> usize {
        if self.active().is_plumline() { plumline_wire::MAX_BATCH } else { 1 }
    }

    fn queue(&self) -> &Arc<TaskQueue> {
        &self.queue
    }

    fn read(&self, service: &str, wait: &WaitLimit<'_>) -> Result<RegistryUpdate> {
        self.with_failover(wait, |controller| self.read_at(controller, service, wait))
    }

    fn services(&self, wait: &WaitLimit<'_>) -> Result<Vec<String>> {
        self.with_failover(wait, |controller| self.services_at(controller, wait))
    }

    fn watch(self: Arc<Self>, sink: Arc<dyn UpdateSink>) -> Box<dyn WatchHandle> {
        watch::start(self, sink)
    }

    fn register(&self, entries: &[RegistryEntry], wait: &WaitLimit<'_>) -> Vec<Result<()>> {
        self.register_at(self.active(), entries, wait)
    }

    fn heartbeat(&self, entries: &[RegistryEntry], wait: &WaitLimit<'_>) -> Vec<Result<HeartbeatResult>> {
        self.heartbeat_at(self.active(), entries, wait)
    }

    fn deregister(&self, entry: &RegistryEntry, doubtful: bool, wait: &WaitLimit<'_>) -> Result<()> {
        self.deregister_at(self.active(), entry, doubtful, wait)
    }

    fn local_ip(&self, wait: &WaitLimit<'_>) -> Option<IpAddr> {
        self.active().host.local_ip(&self.resolver, wait)
    }
}
