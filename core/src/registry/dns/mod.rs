//! `dns://` and `dns+srv://`: services as names in DNS; read-only.
//!
//! ```text
//!  client           one lookup of a service, from its name to its endpoints
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

mod client;
mod exchange;
mod lookup;
mod message;
mod name_template;
mod resolver_config;
mod watch;

use self::client::DnsRegistry;
pub(super) use self::client::open;
use std::net::IpAddr;
use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::registry::types::{Registry, RegistryUpdate, UpdateSink, WaitLimit, WatchHandle};
use crate::runtime::TaskQueue;

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
