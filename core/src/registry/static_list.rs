//! `static://host:port,host:port`: a fixed list of endpoints, the same for every service name.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::model::Endpoint;
use crate::registry::address::Address;
use crate::registry::polling::PollingWatch;
use crate::registry::resolver::Resolver;
use crate::registry::setup::RegistrySetup;
use crate::registry::types::{
    Absence, Listing, Registry, RegistryUpdate, UpdateSink, WaitLimit, WatchHandle,
};
use crate::runtime::{Runtime, TaskQueue};

/// How often host names are resolved again.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(30);

/// A registry with a fixed list of endpoints.
pub(super) struct StaticRegistry {
    source: Arc<str>,
    address: Address,
    queue: Arc<TaskQueue>,
    resolver: Resolver,
    runtime: Runtime,
    timeout: Duration,
}

impl StaticRegistry {
    /// The registry of this address.
    pub(super) fn new(address: Address, setup: &RegistrySetup) -> StaticRegistry {
        StaticRegistry {
            source: address.source().into(),
            queue: TaskQueue::new(1),
            resolver: Resolver::new(setup),
            runtime: setup.runtime.clone(),
            timeout: setup.timeout,
            address,
        }
    }

    fn endpoints(&self, service: &str, wait: &WaitLimit<'_>) -> Result<Vec<Endpoint>> {
        let mut endpoints = Vec::with_capacity(self.address.hosts.len());
        let mut failure = None;
        for host in &self.address.hosts {
            let addresses = match self.resolver.resolve(&host.host, wait) {
                Ok(addresses) => addresses,
                Err(error) => {
                    failure = Some(error);
                    continue;
                }
            };
            endpoints
                .extend(addresses.into_iter().map(|ip| self.endpoint(service, &host.host, ip, host.port)));
        }
        match failure {
            Some(error) if endpoints.is_empty() => Err(error),
            _ => Ok(endpoints),
        }
    }

    fn endpoint(&self, service: &str, host: &str, ip: IpAddr, port: u16) -> Endpoint {
        let mut endpoint = Endpoint::new(service, ip, port);
        host.clone_into(&mut endpoint.host);
        endpoint.source = self.source.to_string();
        self.address.param("protocol").unwrap_or("http").clone_into(&mut endpoint.protocol);
        endpoint
    }
}

impl Registry for StaticRegistry {
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
        let listing = Listing { endpoints: self.endpoints(service, wait)?, removed: Vec::new() };
        Ok(RegistryUpdate {
            absence: Absence::Authoritative,
            lists: vec![(service.to_owned(), listing)],
            ..RegistryUpdate::default()
        })
    }

    fn services(&self, _: &WaitLimit<'_>) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn watch(self: Arc<Self>, sink: Arc<dyn UpdateSink>) -> Box<dyn WatchHandle> {
        let names = self.address.hosts.iter().any(|host| host.host.parse::<IpAddr>().is_err());
        // There is nothing to resolve again if every host is an IP address.
        let interval = if names { RESOLVE_INTERVAL } else { Duration::from_hours(365 * 24) };
        let (runtime, timeout) = (self.runtime.clone(), self.timeout);
        Box::new(PollingWatch::new(self, sink, runtime, interval, timeout))
    }

    fn read_only_error(&self) -> Error {
        Error::new(
            Kind::Unsupported,
            format!("{} is a fixed list: instances cannot register there", self.source),
        )
    }

    fn local_ip(&self, _: &WaitLimit<'_>) -> Option<IpAddr> {
        None
    }
}
