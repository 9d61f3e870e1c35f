//! The controllers of an address: which one is in use, one request to it, and the meaning of its status.

use super::controller::PlumController;
use crate::error::{Error, Kind, Result};
use crate::registry::address::Address;
use crate::registry::http_host::{HttpHost, HttpRequest, is_outage};
use crate::registry::resolver::Resolver;
use crate::registry::setup::{OpenedRegistry, RegistrySetup};
use crate::registry::types::{Registry, WaitLimit};
use crate::runtime::{Runtime, TaskQueue};
use crate::transport::Answer;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Plum controllers as one registry.
pub(in crate::registry) struct PlumRegistry {
    pub(super) source: Arc<str>,
    pub(super) controllers: Vec<Arc<PlumController>>,
    /// The index of the controller in use.
    pub(super) active: AtomicUsize,
    pub(super) queue: Arc<TaskQueue>,
    pub(super) authorization: Option<String>,
    pub(super) resolver: Arc<Resolver>,
    pub(super) runtime: Runtime,
    pub(super) poll_interval: Duration,
    pub(super) timeout: Duration,
}

/// Opens the controllers of an address: one registry for reads, and one per host for registrations.
pub(in crate::registry) fn open(address: &Address, setup: &RegistrySetup) -> Result<OpenedRegistry> {
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
    pub(super) fn active(&self) -> &Arc<PlumController> {
        &self.controllers[self.active.load(Ordering::Relaxed) % self.controllers.len()]
    }

    /// Moves to the next controller after a failure, unless another caller has done so.
    pub(super) fn leave_controller(&self, failed: &Arc<PlumController>) {
        let turn = self.active.load(Ordering::Relaxed);
        if self.controllers.len() > 1 && Arc::ptr_eq(&self.controllers[turn % self.controllers.len()], failed)
        {
            // If this fails, another caller has moved already.
            let _ = self.active.compare_exchange(turn, turn + 1, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// How long one request may take: much less than the TTL.
    pub(super) fn request_timeout(&self) -> Duration {
        self.timeout.min(self.ttl() / 6)
    }

    /// Sends a request to the controller in use, and to the others if it does not answer.
    pub(super) fn with_failover<T>(
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
                    self.leave_controller(&controller);
                }
                _ => return outcome,
            }
        }
        outcome
    }

    /// Sends one request; the response has a status below 400, or 404, 405 or 409.
    pub(super) fn exchange(
        &self,
        controller: &PlumController,
        request: &HttpRequest<'_>,
        wait: &WaitLimit<'_>,
    ) -> Result<Answer> {
        let wait = wait.at_most(self.request_timeout());
        let response = controller.host.exchange(request, self.credentials(), &self.resolver, &wait)?;
        PlumRegistry::checked_response(controller, response)
    }

    pub(super) fn checked_response(controller: &PlumController, response: Answer) -> Result<Answer> {
        controller.learn_kind(&response);
        match response.status {
            200..=399 | 404 | 405 | 409 => Ok(response),
            _ => Err(controller.host.status_error(&response)),
        }
    }

    pub(super) fn credentials(&self) -> Option<(&str, &str)> {
        self.authorization.as_deref().map(|value| ("Authorization", value))
    }

    /// Detects the kind of a controller, if it is unknown.
    pub(super) fn detect_kind(&self, controller: &PlumController, wait: &WaitLimit<'_>) -> Result<()> {
        if controller.is_known() {
            return Ok(());
        }
        self.exchange(controller, &HttpRequest::get("/healthz"), wait).map(|_| ())
    }
}
