//! `dns://` and `dns+srv://`: services as names in DNS; read-only.
//!
//! ```text
//!  mod              DnsRegistry: one lookup of a service, from its name to its endpoints
//!  name_template    the DNS name of a service
//!  resolver_config  /etc/resolv.conf: name servers and search domains
//!  lookup           from a name to addresses, or to SRV records and their addresses
//!  exchange         queries over UDP and TCP, on the thread of the caller
//!  message          encodes questions, decodes responses (pure)
//!  watch            looks up each service again when its records have expired
//! ```
//!
//! A response takes effect at once, even if it is empty, because DNS does not lose registrations. A server that does not
//! answer, or reports a failure, says nothing about the name: that is an error, and the last list stays.

mod exchange;
mod lookup;
mod message;
mod name_template;
mod resolver_config;
mod watch;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use self::exchange::{DnsResult, NameServers};
use self::lookup::{Lookup, LookupResult, ServiceAddress};
use self::name_template::{NameTemplate, QueryName};
use self::resolver_config::ResolverConfig;
use crate::error::{Error, Kind, Result};
use crate::model::Endpoint;
use crate::registry::address::Address;
use crate::registry::resolver::Resolver;
use crate::registry::setup::{OpenedRegistry, RegistrySetup};
use crate::registry::types::{
    Absence, Listing, Registry, RegistryUpdate, UpdateSink, WaitLimit, WatchHandle,
};
use crate::runtime::{Runtime, TaskQueue};

/// Name servers as a registry.
pub(super) struct DnsRegistry {
    source: Arc<str>,
    /// The address, with the name servers it contains.
    address: Address,
    template: NameTemplate,
    protocol: String,
    /// The index of the server that answered last.
    first: AtomicUsize,
    queue: Arc<TaskQueue>,
    resolver: Resolver,
    runtime: Runtime,
    timeout: Duration,
}

/// Opens the registry of a `dns` or `dns+srv` address.
pub(super) fn open(address: Address, setup: &RegistrySetup) -> Result<OpenedRegistry> {
    Ok(OpenedRegistry::one(Arc::new(DnsRegistry::new(address, setup)?)))
}

impl DnsRegistry {
    fn new(address: Address, setup: &RegistrySetup) -> Result<DnsRegistry> {
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
    fn lookup(&self, service: &str, wait: &WaitLimit<'_>) -> DnsResult<(RegistryUpdate, Duration)> {
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
    fn servers(&self, system: &ResolverConfig, wait: &WaitLimit<'_>) -> Result<Vec<SocketAddr>> {
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

    fn update_for(&self, service: &str, query_name: &QueryName, outcome: LookupResult) -> RegistryUpdate {
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

    fn endpoint(&self, service: &str, name: &str, place: ServiceAddress) -> Endpoint {
        let mut endpoint = Endpoint::new(service, place.ip, place.port);
        endpoint.host = place.host.unwrap_or_else(|| name.to_owned());
        endpoint.weight = place.weight;
        endpoint.protocol.clone_from(&self.protocol);
        endpoint.source = self.source.to_string();
        endpoint
    }
}

impl Registry for DnsRegistry {
    fn source(&self) -> &Arc<str> {
        &self.source
    }

    fn is_writable(&self) -> bool {
        false
    }

    fn queue(&self) -> &Arc<TaskQueue> {
        &self.queue
    }

    fn read(&self, service: &str, wait: &WaitLimit<'_>) -> Result<RegistryUpdate> {
        match self.lookup(service, wait) {
            Ok((update, _)) => Ok(update),
            Err(failure) => Err(failure.error),
        }
    }

    fn services(&self, _: &WaitLimit<'_>) -> Result<Vec<String>> {
        let message = format!("{}: DNS cannot list all services", self.source);
        Err(Error::new(Kind::Unsupported, message))
    }

    fn watch(self: Arc<Self>, sink: Arc<dyn UpdateSink>) -> Box<dyn WatchHandle> {
        watch::start(self, sink)
    }

    fn local_ip(&self, _: &WaitLimit<'_>) -> Option<IpAddr> {
        None
    }
}
