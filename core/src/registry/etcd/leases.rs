//! The leases and the records under them, as far as this client knows them.

use crate::error::{Error, Result};
use crate::registry::json_record::{InstanceKey, JsonRecord};
use crate::registry::timestamp;
use crate::registry::types::{DEFAULT_TTL, RegistryEntry};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// How many records share a lease.
pub(super) const RECORDS_PER_LEASE: usize = 200;
/// The limits for one transaction; those of etcd are 128 operations and 1.5 MiB.
pub(super) const MAX_OPERATIONS: usize = 100;
pub(super) const MAX_BYTES: usize = 1 << 20;

/// The registered records, and their leases.
pub(super) struct EtcdLeases {
    pub(super) prefix: String,
    pub(super) granted: BTreeMap<i64, GrantedLease>,
    pub(super) written: HashMap<InstanceKey, LeasedRecord>,
}

pub(super) struct GrantedLease {
    /// In seconds, as requested.
    pub(super) ttl: i64,
    pub(super) records: usize,
}

/// A record that was written.
pub(super) struct LeasedRecord {
    pub(super) lease: i64,
    pub(super) is_healthy: bool,
}

/// A record to be written.
pub(super) struct PendingPut<'a> {
    pub(super) index: usize,
    pub(super) entry: &'a RegistryEntry,
    pub(super) instance: InstanceKey,
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
}

impl EtcdLeases {
    pub(super) fn new(prefix: &str) -> EtcdLeases {
        EtcdLeases { prefix: prefix.to_owned(), granted: BTreeMap::new(), written: HashMap::new() }
    }

    pub(super) fn record_written(&mut self, instance: InstanceKey, lease: i64, entry: &RegistryEntry) {
        self.forget_record(&instance);
        if let Some(held) = self.granted.get_mut(&lease) {
            held.records += 1;
        }
        self.written.insert(instance, LeasedRecord { lease, is_healthy: entry.is_healthy() });
    }

    pub(super) fn forget_record(&mut self, instance: &InstanceKey) -> Option<i64> {
        let lease = self.written.remove(instance)?.lease;
        if let Some(held) = self.granted.get_mut(&lease) {
            held.records -= 1;
        }
        Some(lease)
    }

    /// Forgets a lease that is gone, and all its records.
    pub(super) fn lease_lost(&mut self, lease: i64) {
        self.granted.remove(&lease);
        self.written.retain(|_, written| written.lease != lease);
    }

    /// A lease with this TTL and room for another record, and how many records fit.
    pub(super) fn with_room(&self, ttl: i64) -> Option<(i64, usize)> {
        let room = |lease: &GrantedLease| RECORDS_PER_LEASE.saturating_sub(lease.records);
        self.granted
            .iter()
            .find(|(_, lease)| lease.ttl == ttl && room(lease) > 0)
            .map(|(id, lease)| (*id, room(lease)))
    }

    /// The write for an entry; an error if it can never succeed.
    pub(super) fn put<'a>(&self, index: usize, entry: &'a RegistryEntry) -> Result<PendingPut<'a>> {
        let instance = InstanceKey::of(entry);
        let value = JsonRecord::of(entry, &timestamp::now()).write()?;
        if value.len() > MAX_BYTES {
            return Err(Error::invalid(format!(
                "the record of {} has {} bytes, but etcd allows {MAX_BYTES}: its labels are too long",
                instance.instance_id,
                value.len()
            )));
        }
        Ok(PendingPut { index, entry, key: instance.path(&self.prefix).into_bytes(), instance, value })
    }
}

/// A TTL in whole seconds, as leases use it.
pub(super) fn seconds(ttl: Option<Duration>) -> i64 {
    let ttl = ttl.unwrap_or(DEFAULT_TTL);
    i64::try_from(ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0)).unwrap_or(i64::MAX).max(1)
}
