//! `consul://`: Consul agents, over their HTTP API.
//!
//! ```text
//!  client          the agents: which one is in use, one request to it, and the meaning of its status
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
mod client;
mod read;
mod record;
mod registrations;
mod watch;

pub(super) use self::client::ConsulRegistry;
use std::net::IpAddr;
use std::sync::Arc;

use crate::error::Result;
use crate::registry::types::{
    HeartbeatResult, Registry, RegistryEntry, RegistryUpdate, UpdateSink, WaitLimit, WatchHandle,
};
use crate::runtime::TaskQueue;

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
    use crate::registry::address::Address;
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
