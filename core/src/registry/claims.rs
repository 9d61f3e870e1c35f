//! Which registration, identified by its generation, owns a record in a registry.
//!
//! Another registration may claim the same record: one of another client that shares the registry, or one of the same
//! instance after it has moved. When the earlier registration ends, only its claim ends; the record stays.

use std::collections::HashMap;
use std::hash::Hash;

use crate::registry::types::RegistryEntry;
use crate::sync::Mutex;

/// The owning generation of each record, by the key of the record in that registry.
pub(super) struct Claims<K> {
    owners: Mutex<HashMap<K, String>>,
}

impl<K: Hash + Eq> Claims<K> {
    pub(super) fn new() -> Claims<K> {
        Claims { owners: Mutex::default() }
    }

    /// Makes this registration the owner.
    pub(super) fn claim(&self, key: K, entry: &RegistryEntry) {
        self.owners.lock().insert(key, entry.generation.clone());
    }

    /// Ends the claim of this registration; false if another one owns the record now.
    pub(super) fn release(&self, key: &K, entry: &RegistryEntry) -> bool {
        let mut owners = self.owners.lock();
        let is_taken = owners.get(key).is_some_and(|generation| *generation != entry.generation);
        if !is_taken {
            owners.remove(key);
        }
        !is_taken
    }

    /// Whether another registration owns the record.
    pub(super) fn is_claimed_by_other(&self, key: &K, entry: &RegistryEntry) -> bool {
        self.owners.lock().get(key).is_some_and(|generation| *generation != entry.generation)
    }
}

#[cfg(feature = "etcd")]
impl<K: Hash + Eq + Clone> Claims<K> {
    /// Whether this registration owns the record.
    pub(super) fn is_claimed_by(&self, key: &K, entry: &RegistryEntry) -> bool {
        self.owners.lock().get(key) == Some(&entry.generation)
    }

    /// Whether any registration owns the record.
    pub(super) fn is_claimed(&self, key: &K) -> bool {
        self.owners.lock().contains_key(key)
    }

    /// The keys of all records that have an owner.
    pub(super) fn keys(&self) -> std::collections::HashSet<K> {
        self.owners.lock().keys().cloned().collect()
    }
}
