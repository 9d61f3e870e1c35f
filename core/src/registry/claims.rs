//! Which registration, told by its generation, a place in a registry belongs to.
//!
//! One place may be claimed again by another registration: of another client that shares the registry, or of the same
//! instance that has moved. What ends then is the earlier claim, and not what lies there.

use std::collections::HashMap;
use std::hash::Hash;

use super::Entry;
use crate::sync::Mutex;

/// Places by what names them in that registry.
pub(super) struct Claims<K> {
    by: Mutex<HashMap<K, String>>,
}

impl<K: Hash + Eq> Claims<K> {
    pub(super) fn new() -> Claims<K> {
        Claims { by: Mutex::default() }
    }

    /// From now on it is this one's.
    pub(super) fn make(&self, place: K, entry: &Entry) {
        self.by.lock().insert(place, entry.generation.clone());
    }

    /// It is no longer this one's; false where another one has taken it.
    pub(super) fn drop(&self, place: &K, entry: &Entry) -> bool {
        let mut by = self.by.lock();
        let is_taken = by.get(place).is_some_and(|generation| *generation != entry.generation);
        if !is_taken {
            by.remove(place);
        }
        !is_taken
    }

    /// Whether it is another one's.
    pub(super) fn is_taken(&self, place: &K, entry: &Entry) -> bool {
        self.by.lock().get(place).is_some_and(|generation| *generation != entry.generation)
    }
}

#[cfg(feature = "etcd")]
impl<K: Hash + Eq + Clone> Claims<K> {
    /// Whether it is this one's.
    pub(super) fn is_of(&self, place: &K, entry: &Entry) -> bool {
        self.by.lock().get(place) == Some(&entry.generation)
    }

    /// Whether it is anybody's.
    pub(super) fn is_claimed(&self, place: &K) -> bool {
        self.by.lock().contains_key(place)
    }

    /// Every place that is somebody's.
    pub(super) fn all(&self) -> std::collections::HashSet<K> {
        self.by.lock().keys().cloned().collect()
    }
}
