//! `dns://` and `dns+srv://`: services as names of the domain name system; only read.
//!
//! ```text
//!  mod       Dns: one look at a service, from its name to its endpoints
//!  template  the name that a service has in DNS
//!  system    /etc/resolv.conf: which servers, which search domains
//!  lookup    from a name to addresses, or to the servers of a service and theirs
//!  exchange  questions and answers over UDP and TCP, on the asking thread
//!  message   what is sent and what it means (pure)
//!  watch     each service looked at again when its records have run out
//! ```
//!
//! An answer is believed at once, also that there is nothing: DNS forgets nobody. A server that does not answer, or
//! answers that it failed, says nothing about the name: that is an error, and the last list stays.

mod exchange;
mod lookup;
mod message;
mod system;
mod template;
mod watch;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use self::exchange::{Asked, Servers};
use self::lookup::{Look, Outcome, Place};
use self::system::System;
use self::template::{Template, Wanted};
use super::resolve::Resolver;
use super::{Absence, Address, Listing, Opened, Registry, RegistryUpdate, Setup, Sink, Wait, Watch};
use crate::error::{Error, Kind, Result};
use crate::model::Endpoint;
use crate::runtime::{Runtime, TaskQueue};

/// Name servers, seen as one registry.
pub(super) struct Dns {
    source: Arc<str>,
    /// The servers and the protocol that it names.
    address: Address,
    template: Template,
    protocol: String,
    /// Which of the servers answered last.
    first: AtomicUsize,
    lane: Arc<TaskQueue>,
    resolver: Resolver,
    runtime: Runtime,
    timeout: Duration,
}

/// Opens the names that an address describes.
pub(super) fn open(address: Address, setup: &Setup) -> Result<Opened> {
    Ok(Opened::one(Arc::new(Dns::new(address, setup)?)))
}

impl Dns {
    fn new(address: Address, setup: &Setup) -> Result<Dns> {
        let template = Template::new(address.scheme, &address.path, address.scheme == "dns")?;
        let protocol = address.param("protocol").unwrap_or_else(|| template.protocol()).to_owned();
        Ok(Dns {
            source: address.source().into(),
            template,
            protocol,
            first: AtomicUsize::new(0),
            lane: TaskQueue::new(1),
            resolver: Resolver::new(setup),
            runtime: setup.runtime.clone(),
            timeout: setup.timeout,
            address,
        })
    }

    /// Asks once; what there is, and how long that lasts.
    fn look(&self, service: &str, wait: &Wait<'_>) -> Asked<(RegistryUpdate, Duration)> {
        let wanted = self.template.wanted(service)?;
        let wait = wait.at_most(self.timeout);
        let system = System::now()?;
        let names = system.candidates(&wanted);
        let servers = Servers {
            list: self.servers(&system, &wait)?,
            first: &self.first,
            attempts: system.attempts,
            patience: system.patience,
            only_tcp: system.only_tcp,
        };
        let look = Look { servers, has_ipv6: system.has_ipv6, wait };
        let outcome = match self.template.port {
            Some(port) => look.addresses(&names, port)?,
            None => look.servers(&names)?,
        };
        let lasts = outcome.lasts;
        Ok((self.heard(service, &wanted, outcome), lasts))
    }

    /// Those of the address, or the system's.
    fn servers(&self, system: &System, wait: &Wait<'_>) -> Result<Vec<SocketAddr>> {
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

    fn heard(&self, service: &str, wanted: &Wanted, outcome: Outcome) -> RegistryUpdate {
        let name = template::host(&wanted.name).unwrap_or_default();
        let endpoints =
            outcome.places.into_iter().map(|place| self.endpoint(service, &name, place)).collect();
        let listing = Listing { endpoints, removed: Vec::new() };
        RegistryUpdate {
            epoch: Some(self.source.to_string()),
            absence: Absence::Final,
            lists: vec![(service.to_owned(), listing)],
            ..RegistryUpdate::default()
        }
    }

    fn endpoint(&self, service: &str, name: &str, place: Place) -> Endpoint {
        let mut endpoint = Endpoint::new(service, place.ip, place.port);
        endpoint.host = place.host.unwrap_or_else(|| name.to_owned());
        endpoint.weight = place.weight;
        endpoint.protocol.clone_from(&self.protocol);
        endpoint.source = self.source.to_string();
        endpoint
    }
}

impl Registry for Dns {
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
        match self.look(service, wait) {
            Ok((heard, _)) => Ok(heard),
            Err(failure) => Err(failure.error),
        }
    }

    fn services(&self, _: &Wait<'_>) -> Result<Vec<String>> {
        let message = format!("{}: DNS does not say which services there are", self.source);
        Err(Error::new(Kind::Unsupported, message))
    }

    fn watch(self: Arc<Self>, sink: Arc<dyn Sink>) -> Box<dyn Watch> {
        watch::begin(self, sink)
    }

    fn local_ip(&self, _: &Wait<'_>) -> Option<IpAddr> {
        None
    }
}
