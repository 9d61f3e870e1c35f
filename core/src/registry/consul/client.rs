//! The agents of a cluster: which one is in use, one request to it, and the meaning of its status.

use crate::error::{Error, Kind, Result};
use crate::registry::address::Address;
use crate::registry::claims::Claims;
use crate::registry::http_host::{self, HttpHost, HttpRequest, is_outage};
use crate::registry::record_warnings::RecordWarnings;
use crate::registry::resolver::Resolver;
use crate::registry::setup::RegistrySetup;
use crate::registry::types::{Registry, WaitLimit};
use crate::runtime::{Runtime, TaskQueue};
use crate::transport::Answer;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The default prefix in the key-value store for metadata that `Meta` does not contain.
const PREFIX: &str = "laravel-go/services";

/// The agents of one Consul cluster.
pub(in crate::registry) struct ConsulRegistry {
    pub(super) source: Arc<str>,
    pub(super) agents: Vec<Arc<HttpHost>>,
    /// Changes whenever earlier updates become invalid: by 1 when another agent is used, by the number of agents when an
    /// index went backwards. So the remainder selects the agent in use, and both change atomically.
    pub(super) epoch: AtomicU64,
    pub(super) queue: Arc<TaskQueue>,
    pub(super) token: Option<String>,
    /// The parameters of every read query, each with a leading `&`.
    pub(super) filters: String,
    pub(super) prefix: String,
    pub(super) resolver: Resolver,
    pub(super) runtime: Runtime,
    pub(super) timeout: Duration,
    pub(super) record_warnings: RecordWarnings,
    /// The registrations by instance id.
    pub(super) claims: Claims<String>,
}

impl ConsulRegistry {
    /// The registry of the agents that an address names.
    pub(in crate::registry) fn new(address: &Address, setup: &RegistrySetup) -> Result<ConsulRegistry> {
        let secure = address.scheme == "consul+tls";
        let agent = |name| Ok(Arc::new(HttpHost::new(name, address.scheme, secure, setup)?));
        let dc = address.param("dc").map(|dc| format!("&dc={}", http_host::escape(dc)));
        let tag = address.param("tag").map(|tag| format!("&tag={}", http_host::escape(tag)));
        let prefix = address.param("prefix").unwrap_or(PREFIX).trim_matches('/');
        let source = address.source().into();
        Ok(ConsulRegistry {
            record_warnings: RecordWarnings::new(&source),
            source,
            agents: address.hosts.iter().map(agent).collect::<Result<_>>()?,
            epoch: AtomicU64::new(0),
            queue: TaskQueue::new(2),
            token: address.param("token").map(str::to_owned),
            filters: [dc, tag].into_iter().flatten().collect(),
            prefix: prefix.to_owned(),
            resolver: Resolver::new(setup),
            runtime: setup.runtime.clone(),
            timeout: setup.timeout,
            claims: Claims::new(),
        })
    }

    /// The agent in use, and the epoch of its responses.
    pub(super) fn current_agent(&self) -> (u64, &Arc<HttpHost>) {
        let epoch = self.epoch.load(Ordering::Relaxed);
        (epoch, &self.agents[(epoch % self.agents.len() as u64) as usize])
    }

    /// Switches from the agent of this epoch, which failed, to the next.
    pub(super) fn leave_agent(&self, epoch: u64) {
        if self.agents.len() > 1 {
            self.advance(epoch, 1);
        }
    }

    /// An index went backwards: the agent has lost its state.
    pub(super) fn index_reset(&self, epoch: u64) {
        self.advance(epoch, self.agents.len() as u64);
    }

    pub(super) fn advance(&self, epoch: u64, by: u64) {
        // Only the first caller that notices has an effect; for the others the epoch has changed already.
        let _ = self.epoch.compare_exchange(epoch, epoch + by, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(super) fn epoch_name(&self, epoch: u64) -> String {
        format!("{}#{epoch}", self.source)
    }

    pub(super) fn credentials(&self) -> Option<(&str, &str)> {
        self.token.as_deref().map(|token| ("X-Consul-Token", token))
    }

    /// How long one request may take: much less than the TTL.
    pub(super) fn request_timeout(&self) -> Duration {
        self.timeout.min(self.ttl() / 6)
    }

    /// Sends a request to the agent in use, and to the others if it does not answer.
    pub(super) fn with_failover<T>(
        &self,
        wait: &WaitLimit<'_>,
        ask: impl Fn(&HttpHost, u64) -> Result<T>,
    ) -> Result<T> {
        let mut outcome = Err(Error::new(Kind::Internal, "no agent"));
        for _ in &self.agents {
            let (epoch, agent) = self.current_agent();
            outcome = ask(agent, epoch);
            match &outcome {
                Err(error) if is_outage(error) && wait.remaining().is_ok() => self.leave_agent(epoch),
                _ => return outcome,
            }
        }
        outcome
    }

    /// Sends one request; the response has status 200 or 404.
    pub(super) fn exchange(
        &self,
        agent: &HttpHost,
        ask: &HttpRequest<'_>,
        wait: &WaitLimit<'_>,
    ) -> Result<Answer> {
        let wait = wait.at_most(self.request_timeout());
        checked_response(agent, agent.exchange(ask, self.credentials(), &self.resolver, &wait)?)
    }
}

/// The response if its status is usable, otherwise the error that it stands for.
pub(super) fn checked_response(agent: &HttpHost, response: Answer) -> Result<Answer> {
    match response.status {
        200 | 404 => Ok(response),
        // Consul uses one status for an unknown token and for missing permissions.
        403 if body_contains(&response, "ACL not found") => {
            let message = format!("{}: invalid token (ACL not found)", agent.label());
            Err(Error::new(Kind::Unauthenticated, message))
        }
        // Other agents would refuse it as well.
        400 | 402 | 405..=407 | 409..=428 => {
            let refusal = agent.status_error(&response);
            Err(Error::new(Kind::InvalidArgument, refusal.message()))
        }
        _ => Err(agent.status_error(&response)),
    }
}

/// Whether the body of a response contains this text.
pub(super) fn body_contains(response: &Answer, what: &str) -> bool {
    String::from_utf8_lossy(&response.body).contains(what)
}

/// The index of the response to a query. A server that sends none is not Consul.
pub(super) fn index_of(agent: &HttpHost, response: &Answer) -> Result<u64> {
    let index = response.headers.get("x-consul-index").and_then(|index| index.trim().parse().ok());
    index.ok_or_else(|| {
        let who = response.headers.get("server").map_or(String::new(), |who| format!(" (it is {who:?})"));
        let message = format!(
            "{} does not answer as Consul does: the header X-Consul-Index is missing{who}",
            agent.label()
        );
        Error::new(Kind::Protocol, message)
    })
}
