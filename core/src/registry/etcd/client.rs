//! The state that all parts of an etcd registry share.

use super::connection::EtcdCluster;
use super::leases::EtcdLeases;
use super::read::EtcdReader;
use crate::registry::claims::Claims;
use crate::registry::json_record::InstanceKey;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The part that runs on the tokio thread.
pub(super) struct EtcdClient {
    pub(super) cluster: EtcdCluster,
    pub(super) reader: EtcdReader,
    pub(super) claims: Claims<InstanceKey>,
    pub(super) leases: tokio::sync::Mutex<EtcdLeases>,
    /// The shortest TTL of our registrations, in milliseconds.
    pub(super) ttl: Arc<AtomicU64>,
}

impl EtcdClient {
    /// The shortest TTL of our registrations.
    pub(super) fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl.load(Ordering::Relaxed))
    }
}
