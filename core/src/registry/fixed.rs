//! `static://host:port,host:port`: the same endpoints for every service name, whatever it is.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::polling::Polling;
use super::resolve::Resolver;
use super::{Absence, Address, Listing, Registry, RegistryUpdate, Setup, Sink, Wait, Watch};
use crate::error::{Error, Kind, Result};
use crate::model::Endpoint;
use crate::runtime::{Runtime, TaskQueue};

/// Names may move; this often they are looked up again.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// The registry that always says the same.
pub(super) struct Fixed {
    source: Arc<str>,
    address: Address,
    lane: Arc<TaskQueue>,
    resolver: Resolver,
    runtime: Runtime,
    timeout: Duration,
}

impl Fixed {
    /// The registry of this address.
    pub(super) fn new(address: Address, setup: &Setup) -> Fixed {
        Fixed {
            source: address.source().into(),
            lane: TaskQueue::new(1),
            resolver: Resolver::new(setup),
            runtime: setup.runtime.clone(),
            timeout: setup.timeout,
            address,
        }
    }

    fn endpoints(&self, service: &str, wait: &Wait<'_>) -> Result<Vec<Endpoint>> {
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

impl Registry for Fixed {
    fn source(&self) -> &Arc<str> {
        &self.source
    }

    fn is_writable(&self) -> bool {
        false
    }

    fn lane(&self) -> &Arc<TaskQueue> {
        &self.lane
    }

    fn read(&self, service: &str, wait: &Wait<'_>) -> Result<RegistryUpdate> {
        let listing = Listing { endpoints: self.endpoints(service, wait)?, removed: Vec::new() };
        Ok(RegistryUpdate {
            absence: Absence::Final,
            lists: vec![(service.to_owned(), listing)],
            ..RegistryUpdate::default()
        })
    }

    fn services(&self, _: &Wait<'_>) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn watch(self: Arc<Self>, sink: Arc<dyn Sink>) -> Box<dyn Watch> {
        let names = self.address.hosts.iter().any(|host| host.host.parse::<IpAddr>().is_err());
        // Nothing to look at again where every host is an address already.
        let interval = if names { LOOK_AGAIN } else { Duration::from_hours(365 * 24) };
        let (runtime, timeout) = (self.runtime.clone(), self.timeout);
        Box::new(Polling::new(self, sink, runtime, interval, timeout))
    }

    fn read_only(&self) -> Error {
        Error::new(Kind::Unsupported, format!("{} is fixed: nothing can register there", self.source))
    }

    fn local_ip(&self, _: &Wait<'_>) -> Option<IpAddr> {
        None
    }
}

impl Fixed {}
