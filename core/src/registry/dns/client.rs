//! One lookup of a service, from its name to its endpoints.

use super::exchange::{DnsResult, NameServers};
use super::lookup::{Lookup, LookupResult, ServiceAddress};
use super::name_template::{self};
use super::name_template::{NameTemplate, QueryName};
use super::resolver_config::ResolverConfig;
use crate::error::Result;
use crate::model::Endpoint;
use crate::registry::address::Address;
use crate::registry::resolver::Resolver;
use crate::registry::setup::{OpenedRegistry, RegistrySetup};
use crate::registry::types::{Absence, Listing, RegistryUpdate, WaitLimit};
use crate::runtime::{Runtime, TaskQueue};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

/// Name servers as a registry.
pub(in crate::registry) struct DnsRegistry {
    pub(super) source: Arc<str>,
    /// The address, with the name servers it contains.
    pub(super) address: Address,
    pub(super) template: NameTemplate,
    pub(super) protocol: String,
    /// The index of the server that answered last.
    pub(super) first: AtomicUsize,
    pub(super) queue: Arc<TaskQueue>,
    pub(super) resolver: Resolver,
    pub(super) runtime: Runtime,
    pub(super) timeout: Duration,
}

/// Opens the registry of a `dns` or `dns+srv` address.
pub(in crate::registry) fn open(address: Address, setup: &RegistrySetup) -> Result<OpenedRegistry> {
    Ok(OpenedRegistry::one(Arc::new(DnsRegistry::new(address, setup)?)))
}

impl DnsRegistry {
    pub(in crate::registry) fn new(address: Address, setup: &RegistrySetup) -> Result<DnsRegistry> {
        let template = NameTemplate::new(address.scheme, &address.path, address.scheme == "dns")?;
        let protocol = address.param("protocol").unwrap_or_else(|| template.protocol()).to_owned();
        Ok(DnsRegistry {
            source: address.source().into(),
            template,
            protocol,
            first: AtomicUsize::new(0),
            queue: TaskQueue::new(1),
            resolver: Resolver::new(setup),
            runtime: setup.runtime.clone(),
            timeout: setup.timeout,
            address,
        })
    }

    /// Looks up a service. Returns its endpoints, and how long they are valid.
    pub(super) fn lookup(
        &self,
        service: &str,
        wait: &WaitLimit<'_>,
    ) -> DnsResult<(RegistryUpdate, Duration)> {
        let query_name = self.template.query_name(service)?;
        let wait = wait.at_most(self.timeout);
        let system = ResolverConfig::load()?;
        let names = system.search_names(&query_name);
        let servers = NameServers {
            list: self.servers(&system, &wait)?,
            first: &self.first,
            attempts: system.attempts,
            try_timeout: system.try_timeout,
            only_tcp: system.only_tcp,
        };
        let lookup = Lookup { servers, has_ipv6: system.has_ipv6, wait };
        let outcome = match self.template.port {
            Some(port) => lookup.find_addresses(&names, port)?,
            None => lookup.find_servers(&names)?,
        };
        let valid_for = outcome.valid_for;
        Ok((self.update_for(service, &query_name, outcome), valid_for))
    }

    /// The name servers of the address, or those of the system.
    pub(super) fn servers(&self, system: &ResolverConfig, wait: &WaitLimit<'_>) -> Result<Vec<SocketAddr>> {
        if self.address.hosts.is_empty() {
            return Ok(system.servers.clone());
        }
        let mut servers = Vec::new();
        let mut failure = None;
        for host in &self.address.hosts {
            match self.resolver.resolve(&host.host, wait) {
                Ok(ips) => servers.extend(ips.into_iter().map(|ip| SocketAddr::from((ip, host.port)))),
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if servers.is_empty() => Err(error),
            _ => Ok(servers),
        }
    }

    pub(super) fn update_for(
        &self,
        service: &str,
        query_name: &QueryName,
        outcome: LookupResult,
    ) -> RegistryUpdate {
        let name = name_template::host_name(&query_name.name).unwrap_or_default();
        let endpoints =
            outcome.addresses.into_iter().map(|place| self.endpoint(service, &name, place)).collect();
        let listing = Listing { endpoints, removed: Vec::new() };
        RegistryUpdate {
            epoch: Some(self.source.to_string()),
            absence: Absence::Authoritative,
            lists: vec![(service.to_owned(), listing)],
            ..RegistryUpdate::default()
        }
    }

    pub(super) fn endpoint(&self, service: &str, name: &str, place: ServiceAddress) -> Endpoint {
        let mut endpoint = Endpoint::new(service, place.ip, place.port);
        endpoint.host = place.host.unwrap_or_else(|| name.to_owned());
        endpoint.weight = place.weight;
        endpoint.protocol.clone_from(&self.protocol);
        endpoint.source = self.source.to_string();
        endpoint
    }
}
