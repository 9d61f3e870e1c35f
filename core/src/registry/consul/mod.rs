//! `consul://`: Consul agents, over their HTTP API.
//!
//! ```text
//!  mod             ConsulRegistry: the agent in use; one request, and the meaning of its status
//!  record          the JSON that an agent lists and stores
//!  read            reads lists of endpoints
//!  watch           blocking queries: one per watched service, or two for all if there are many
//!  blocking_query  one blocking query, repeated
//!  registrations   register with a TTL check, renew it, deregister
//! ```
//!
//! The agents of an address belong to one cluster: all requests go to one of them, and to the next when it fails. The
//! next agent does not know the registrations at the failed one, so they are registered again there.

mod blocking_query;
mod read;
mod record;
mod registrations;
mod watch;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::registry::address::Address;
use crate::registry::claims::Claims;
use crate::registry::http_host::{self, HttpHost, HttpRequest, is_outage};
use crate::registry::record_warnings::RecordWarnings;
use crate::registry::resolver::Resolver;
use crate::registry::setup::RegistrySetup;
use crate::registry::types::{
    HeartbeatResult, Registry, RegistryEntry, RegistryUpdate, UpdateSink, WaitLimit, WatchHandle,
};
use crate::runtime::{Runtime, TaskQueue};
use crate::transport::Answer;

/// The default prefix in the key-value store for metadata that `Meta` does not contain.
const PREFIX: &str = "laravel-go/services";

/// The agents of one Consul cluster.
pub(super) struct ConsulRegistry {
    source: Arc<str>,
    agents: Vec<Arc<HttpHost>>,
    /// Changes whenever earlier updates become invalid: by 1 when another agent is used, by the number of agents when an
    /// index went backwards. So the remainder selects the agent in use, and both change atomically.
    epoch: AtomicU64,
    queue: Arc<TaskQueue>,
    token: Option<String>,
    /// The parameters of every read query, each with a leading `&`.
    filters: String,
    prefix: String,
    resolver: Resolver,
    runtime: Runtime,
    timeout: Duration,
    record_warnings: RecordWarnings,
    /// The registrations by instance id.
    claims: Claims<String>,
}

impl ConsulRegistry {
    /// The registry of the agents that an address names.
    pub(super) fn new(address: &Address, setup: &RegistrySetup) -> Result<ConsulRegistry> {
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
    fn current_agent(&self) -> (u64, &Arc<HttpHost>) {
        let epoch = self.epoch.load(Ordering::Relaxed);
        (epoch, &self.agents[(epoch % self.agents.len() as u64) as usize])
    }

    /// Switches from the agent of this epoch, which failed, to the next.
    fn leave_agent(&self, epoch: u64) {
        if self.agents.len() > 1 {
            self.advance(epoch, 1);
        }
    }

    /// An index went backwards: the agent has lost its state.
    fn index_reset(&self, epoch: u64) {
        self.advance(epoch, self.agents.len() as u64);
    }

    fn advance(&self, epoch: u64, by: u64) {
        // Only the first caller that notices has an effect; for the others the epoch has changed already.
        let _ = self.epoch.compare_exchange(epoch, epoch + by, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn epoch_name(&self, epoch: u64) -> String {
        format!("{}#{epoch}", self.source)
    }

    fn credentials(&self) -> Option<(&str, &str)> {
        self.token.as_deref().map(|token| ("X-Consul-Token", token))
    }

    /// How long one request may take: much less than the TTL.
    fn request_timeout(&self) -> Duration {
        self.timeout.min(self.ttl() / 6)
    }

    /// Sends a request to the agent in use, and to the others if it does not answer.
    fn with_failover<T>(&self, wait: &WaitLimit<'_>, ask: impl Fn(&HttpHost, u64) -> Result<T>) -> Result<T> {
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
    fn exchange(&self, agent: &HttpHost, ask: &HttpRequest<'_>, wait: &WaitLimit<'_>) -> Result<Answer> {
        let wait = wait.at_most(self.request_timeout());
        checked_response(agent, agent.exchange(ask, self.credentials(), &self.resolver, &wait)?)
    }
}

/// The response if its status is usable, otherwise the error that it stands for.
fn checked_response(agent: &HttpHost, response: Answer) -> Result<Answer> {
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
fn body_contains(response: &Answer, what: &str) -> bool {
    String::from_utf8_lossy(&response.body).contains(what)
}

/// The index of the response to a query. A server that sends none is not Consul.
fn index_of(agent: &HttpHost, response: &Answer) -> Result<u64> {
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

impl Registry for ConsulRegistry {
    fn source(&self) -> &Arc<str> {
        &self.source
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn batch_size(&self) -> usize {
        1
    }

    fn queue(&self) -> &Arc<TaskQueue> {
        &self.queue
    }

    fn read(&self, service: &str, wait: &WaitLimit<'_>) -> Result<RegistryUpdate> {
        self.with_failover(wait, |agent, epoch| self.read_at(agent, service, epoch, wait))
    }

    fn services(&self, wait: &WaitLimit<'_>) -> Result<Vec<String>> {
        self.with_failover(wait, |agent, _| self.services_at(agent, wait))
    }

    fn watch(self: Arc<Self>, sink: Arc<dyn UpdateSink>) -> Box<dyn WatchHandle> {
        watch::start(self, sink)
    }

    fn register(&self, entries: &[RegistryEntry], wait: &WaitLimit<'_>) -> Vec<Result<()>> {
        let register = |entry| self.with_failover(wait, |agent, _| self.register_at(agent, entry, wait));
        entries.iter().map(register).collect()
    }

    fn heartbeat(&self, entries: &[RegistryEntry], wait: &WaitLimit<'_>) -> Vec<Result<HeartbeatResult>> {
        let renew = |entry| self.with_failover(wait, |agent, _| self.heartbeat_at(agent, entry, wait));
        entries.iter().map(renew).collect()
    }

    fn deregister(&self, entry: &RegistryEntry, _doubtful: bool, wait: &WaitLimit<'_>) -> Result<()> {
        // A heartbeat only renews a check: a late one does not register the instance again.
        self.with_failover(wait, |agent, _| self.deregister_at(agent, entry, wait))
    }

    fn local_ip(&self, wait: &WaitLimit<'_>) -> Option<IpAddr> {
        let (_, agent) = self.current_agent();
        let towards = agent.local_ip(&self.resolver, wait)?;
        // An agent on this machine is reached by loopback; other machines reach this one at the address of the agent.
        if towards.is_loopback() { self.member_ip(agent, wait).or(Some(towards)) } else { Some(towards) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::setup::test_setup;

    #[test]
    fn switches_once_when_several_callers_see_a_failure() {
        let address = Address::parse("consul://127.0.0.1:1,127.0.0.1:2").unwrap();
        let consul = ConsulRegistry::new(&address, &test_setup()).unwrap();
        let (epoch, first) = consul.current_agent();
        consul.leave_agent(epoch);
        consul.leave_agent(epoch);
        let (later, second) = consul.current_agent();
        assert!(!Arc::ptr_eq(first, second) && later != epoch);
        consul.index_reset(later);
        consul.index_reset(later);
        let (last, same) = consul.current_agent();
        assert!(Arc::ptr_eq(second, same) && last == later + 2);
    }
}
