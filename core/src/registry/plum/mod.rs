//! `plum://`: Plumline controllers, and original Plum controllers.
//!
//! ```text
//!  client         the controllers: which one is in use, one request to it, and the meaning of its status
//!  controller     one controller: its connections, its features, its TTL
//!  wire           the JSON of both kinds of controllers
//!  digest         the digest by which both sides verify that they hold the same records
//!  read           reads lists of endpoints
//!  watch          long polls (Plumline controller) or regular reads (original)
//!  registrations  register, heartbeat, deregister
//! ```
//!
//! A Plumline controller sends the header `PlumRegistry-Features` with every response; any other one is treated as an original.
//! Several hosts are independent stores. Reads use one of them, and move to the next when it fails, which starts a new
//! epoch. Registrations go to each of them, so every host is a registry of its own for registrations.

mod client;
mod controller;
mod digest;
mod read;
mod registrations;
mod watch;
mod wire;

use self::client::PlumRegistry;
pub(super) use self::client::open;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::registry::types::{
    HeartbeatResult, Registry, RegistryEntry, RegistryUpdate, UpdateSink, WaitLimit, WatchHandle,
};
use crate::runtime::TaskQueue;

pub use digest::digest;

impl Registry for PlumRegistry {
    fn source(&self) -> &Arc<str> {
        &self.source
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn ttl(&self) -> Duration {
        self.active().ttl()
    }

    fn batch_size(&self) -> usize {
        if self.active().is_plumline() { plumline_wire::MAX_BATCH } else { 1 }
    }

    fn queue(&self) -> &Arc<TaskQueue> {
        &self.queue
    }

    fn read(&self, service: &str, wait: &WaitLimit<'_>) -> Result<RegistryUpdate> {
        self.with_failover(wait, |controller| self.read_at(controller, service, wait))
    }

    fn services(&self, wait: &WaitLimit<'_>) -> Result<Vec<String>> {
        self.with_failover(wait, |controller| self.services_at(controller, wait))
    }

    fn watch(self: Arc<Self>, sink: Arc<dyn UpdateSink>) -> Box<dyn WatchHandle> {
        watch::start(self, sink)
    }

    fn register(&self, entries: &[RegistryEntry], wait: &WaitLimit<'_>) -> Vec<Result<()>> {
        self.register_at(self.active(), entries, wait)
    }

    fn heartbeat(&self, entries: &[RegistryEntry], wait: &WaitLimit<'_>) -> Vec<Result<HeartbeatResult>> {
        self.heartbeat_at(self.active(), entries, wait)
    }

    fn deregister(&self, entry: &RegistryEntry, doubtful: bool, wait: &WaitLimit<'_>) -> Result<()> {
        self.deregister_at(self.active(), entry, doubtful, wait)
    }

    fn local_ip(&self, wait: &WaitLimit<'_>) -> Option<IpAddr> {
        self.active().host.local_ip(&self.resolver, wait)
    }
}
