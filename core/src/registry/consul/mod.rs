//! `consul://`: Consul agents, over their HTTP interface.
//!
//! ```text
//!  mod     Consul: which agent answers at present; one exchange, its failures in our words
//!  record  what an agent lists and stores, and what that is to us
//!  read    lists of endpoints, read once
//!  watch   blocking queries: one for each watched service, or two for all where they are many
//!  beat    register with a TTL check, renew it, deregister
//! ```
//!
//! The agents of an address are doors to one cluster: everything goes to one of them, and to the next when it
//! fails. What was registered at an agent that was left is registered anew at the next, which does not know it.

mod beat;
mod read;
mod record;
mod topic;
mod watch;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::claims::Claims;
use super::resolve::Resolver;
use super::unreadable::Unreadable;
use super::web::{self, Ask, Host, is_away};
use super::{Address, Entry, HeartbeatResult, Registry, RegistryUpdate, Setup, Sink, Wait, Watch};
use crate::error::{Error, Kind, Result};
use crate::runtime::{Runtime, TaskQueue};
use crate::transport::Answer;

/// Where services registered by others keep what `Meta` does not say.
const PREFIX: &str = "laravel-go/services";

/// Consul agents, seen as one registry.
pub(super) struct Consul {
    source: Arc<str>,
    agents: Vec<Arc<Host>>,
    /// Counts what makes all that was heard before doubtful: another agent, by one; an index that went backwards, by as
    /// many as there are agents. So its remainder names the agent that answers at present, and both change as one.
    epoch: AtomicU64,
    lane: Arc<TaskQueue>,
    token: Option<String>,
    /// Added to every reading query, each with its `&`.
    filters: String,
    prefix: String,
    resolver: Resolver,
    runtime: Runtime,
    timeout: Duration,
    unreadable: Unreadable,
    /// By instance id.
    claims: Claims<String>,
}

impl Consul {
    /// The agents that an address names.
    pub(super) fn new(address: &Address, setup: &Setup) -> Result<Consul> {
        let secure = address.scheme == "consul+tls";
        let agent = |name| Ok(Arc::new(Host::new(name, address.scheme, secure, setup)?));
        let dc = address.param("dc").map(|dc| format!("&dc={}", web::escape(dc)));
        let tag = address.param("tag").map(|tag| format!("&tag={}", web::escape(tag)));
        let prefix = address.param("prefix").unwrap_or(PREFIX).trim_matches('/');
        let source = address.source().into();
        Ok(Consul {
            unreadable: Unreadable::new(&source),
            source,
            agents: address.hosts.iter().map(agent).collect::<Result<_>>()?,
            epoch: AtomicU64::new(0),
            lane: TaskQueue::new(2),
            token: address.param("token").map(str::to_owned),
            filters: [dc, tag].into_iter().flatten().collect(),
            prefix: prefix.to_owned(),
            resolver: Resolver::new(setup),
            runtime: setup.runtime.clone(),
            timeout: setup.timeout,
            claims: Claims::new(),
        })
    }

    /// The agent that answers at present, and the epoch of what it says.
    fn present(&self) -> (u64, &Arc<Host>) {
        let epoch = self.epoch.load(Ordering::Relaxed);
        (epoch, &self.agents[(epoch % self.agents.len() as u64) as usize])
    }

    /// Moves on from the agent of this epoch, which failed.
    fn leave(&self, epoch: u64) {
        if self.agents.len() > 1 {
            self.advance(epoch, 1);
        }
    }

    /// An index went backwards: the agent has lost what it knew.
    fn forgot(&self, epoch: u64) {
        self.advance(epoch, self.agents.len() as u64);
    }

    fn advance(&self, epoch: u64, by: u64) {
        // Whoever notices first says so; for the others the epoch is another one already.
        let _ = self.epoch.compare_exchange(epoch, epoch + by, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn epoch_name(&self, epoch: u64) -> String {
        format!("{}#{epoch}", self.source)
    }

    fn credentials(&self) -> Option<(&str, &str)> {
        self.token.as_deref().map(|token| ("X-Consul-Token", token))
    }

    /// How long one request may take: far less than a registration lasts.
    fn request_timeout(&self) -> Duration {
        self.timeout.min(self.ttl() / 6)
    }

    /// Asks the active agent, and the others where it does not answer.
    fn on_some_agent<T>(&self, wait: &Wait<'_>, ask: impl Fn(&Host, u64) -> Result<T>) -> Result<T> {
        let mut outcome = Err(Error::new(Kind::Internal, "no agent"));
        for _ in &self.agents {
            let (epoch, agent) = self.present();
            outcome = ask(agent, epoch);
            match &outcome {
                Err(error) if is_away(error) && wait.left().is_ok() => self.leave(epoch),
                _ => return outcome,
            }
        }
        outcome
    }

    /// One request, one answer of status 200 or 404.
    fn exchange(&self, agent: &Host, ask: &Ask<'_>, wait: &Wait<'_>) -> Result<Answer> {
        let wait = wait.at_most(self.request_timeout());
        judge(agent, agent.exchange(ask, self.credentials(), &self.resolver, &wait)?)
    }
}

/// An answer that can be used, or what it means that it cannot.
fn judge(agent: &Host, answer: Answer) -> Result<Answer> {
    match answer.status {
        200 | 404 => Ok(answer),
        // Consul says with one status that it does not know a token, and that a token may not do this.
        403 if is_about(&answer, "ACL not found") => {
            let message = format!("{} does not know this token (ACL not found)", agent.label());
            Err(Error::new(Kind::Unauthenticated, message))
        }
        // Another agent would refuse it as well.
        400 | 402 | 405..=407 | 409..=428 => {
            let refusal = agent.refusal(&answer);
            Err(Error::new(Kind::InvalidArgument, refusal.message()))
        }
        _ => Err(agent.refusal(&answer)),
    }
}

/// Whether the answer's text speaks of this.
fn is_about(answer: &Answer, what: &str) -> bool {
    String::from_utf8_lossy(&answer.body).contains(what)
}

/// The index of an answer to a query. Whatever answers without one is no Consul.
fn index_of(agent: &Host, answer: &Answer) -> Result<u64> {
    let index = answer.headers.get("x-consul-index").and_then(|index| index.trim().parse().ok());
    index.ok_or_else(|| {
        let who = answer.headers.get("server").map_or(String::new(), |who| format!(", but as {who:?}"));
        let message = format!("{} does not answer as Consul does{who}: no X-Consul-Index", agent.label());
        Error::new(Kind::Protocol, message)
    })
}

impl Registry for Consul {
    fn source(&self) -> &Arc<str> {
        &self.source
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn batch(&self) -> usize {
        1
    }

    fn lane(&self) -> &Arc<TaskQueue> {
        &self.lane
    }

    fn read(&self, service: &str, wait: &Wait<'_>) -> Result<RegistryUpdate> {
        self.on_some_agent(wait, |agent, epoch| self.read_at(agent, service, epoch, wait))
    }

    fn services(&self, wait: &Wait<'_>) -> Result<Vec<String>> {
        self.on_some_agent(wait, |agent, _| self.services_at(agent, wait))
    }

    fn watch(self: Arc<Self>, sink: Arc<dyn Sink>) -> Box<dyn Watch> {
        watch::begin(self, sink)
    }

    fn register(&self, entries: &[Entry], wait: &Wait<'_>) -> Vec<Result<()>> {
        let register = |entry| self.on_some_agent(wait, |agent, _| self.register_at(agent, entry, wait));
        entries.iter().map(register).collect()
    }

    fn heartbeat(&self, entries: &[Entry], wait: &Wait<'_>) -> Vec<Result<HeartbeatResult>> {
        let beat = |entry| self.on_some_agent(wait, |agent, _| self.beat_at(agent, entry, wait));
        entries.iter().map(beat).collect()
    }

    fn deregister(&self, entry: &Entry, _doubtful: bool, wait: &Wait<'_>) -> Result<()> {
        // A beat only renews a check: one that comes late brings nothing back.
        self.on_some_agent(wait, |agent, _| self.deregister_at(agent, entry, wait))
    }

    fn local_ip(&self, wait: &Wait<'_>) -> Option<IpAddr> {
        let (_, agent) = self.present();
        let towards = agent.local_ip(&self.resolver, wait)?;
        // An agent on this machine is reached by loopback; others reach this machine where the agent is known.
        if towards.is_loopback() { self.member_ip(agent, wait).or(Some(towards)) } else { Some(towards) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::open::tests::setup;

    #[test]
    fn an_agent_is_left_once_however_many_notice_that_it_failed() {
        let address = Address::parse("consul://127.0.0.1:1,127.0.0.1:2").unwrap();
        let consul = Consul::new(&address, &setup()).unwrap();
        let (epoch, first) = consul.present();
        consul.leave(epoch);
        consul.leave(epoch);
        let (later, second) = consul.present();
        assert!(!Arc::ptr_eq(first, second) && later != epoch);
        consul.forgot(later);
        consul.forgot(later);
        let (last, same) = consul.present();
        assert!(Arc::ptr_eq(second, same) && last == later + 2);
    }
}
