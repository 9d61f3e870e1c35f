//! The rows by instance, for heartbeats.
//!
//! Instances are spread over shards, each with its own lock, so that heartbeats of different instances seldom contend.
//! A shard's lock is taken before a service's, never after.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use plumline_wire::digest::digest;

use super::row::Row;

const SHARDS: usize = 64;

#[derive(Debug)]
pub(super) struct Instances {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
}

pub(super) type Shard = HashMap<Arc<str>, Instance>;

/// The rows of one instance id.
#[derive(Debug, Default)]
pub(super) struct Instance {
    pub(super) rows: Vec<Arc<Row>>,
    /// The digest of the live rows; computed when a heartbeat first needs it.
    digest: Option<u64>,
}

impl Instances {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }

    pub(super) fn shard(&self, instance: &str) -> MutexGuard<'_, Shard> {
        self.shards[self.index(instance)].lock()
    }

    /// Both shards, locked in index order so that two moves cannot deadlock. One lock if they are the same shard.
    pub(super) fn pair(&self, from: &str, to: &str) -> ShardPair<'_> {
        let (from, to) = (self.index(from), self.index(to));
        match from.cmp(&to) {
            std::cmp::Ordering::Equal => ShardPair { from: self.shards[from].lock(), to: None },
            std::cmp::Ordering::Less => {
                let from = self.shards[from].lock();
                ShardPair { from, to: Some(self.shards[to].lock()) }
            }
            std::cmp::Ordering::Greater => {
                let to = self.shards[to].lock();
                ShardPair { from: self.shards[from].lock(), to: Some(to) }
            }
        }
    }

    fn index(&self, instance: &str) -> usize {
        self.hasher.hash_one(instance) as usize % SHARDS
    }
}

/// The two shards of an endpoint that moves from one instance to another.
pub(super) struct ShardPair<'a> {
    pub(super) from: MutexGuard<'a, Shard>,
    to: Option<MutexGuard<'a, Shard>>,
}

impl ShardPair<'_> {
    pub(super) fn to(&mut self) -> &mut Shard {
        self.to.as_mut().unwrap_or(&mut self.from)
    }
}

impl Instance {
    pub(super) fn find(&self, service: &str, ip: &str, port: i64, protocol: &str) -> Option<&Arc<Row>> {
        self.rows.iter().find(|row| row.identity().matches(service, ip, port, protocol))
    }

    /// Adds the row, or replaces the one with its identity.
    pub(super) fn put(&mut self, row: Arc<Row>) {
        self.digest = None;
        match self.rows.iter_mut().find(|known| known.identity() == row.identity()) {
            Some(known) => *known = row,
            None => self.rows.push(row),
        }
    }

    pub(super) fn remove(&mut self, row: &Arc<Row>) {
        self.digest = None;
        self.rows.retain(|known| !Arc::ptr_eq(known, row));
    }

    /// A row expired or was restored.
    pub(super) fn liveness_changed(&mut self) {
        self.digest = None;
    }

    pub(super) fn live(&self) -> impl Iterator<Item = &Arc<Row>> {
        self.rows.iter().filter(|row| !row.lease.is_expired())
    }

    pub(super) fn has_live(&self) -> bool {
        self.live().next().is_some()
    }

    pub(super) fn digest(&mut self) -> u64 {
        if let Some(known) = self.digest {
            return known;
        }
        let computed = digest(self.live().map(|row| row.digest_row()));
        self.digest = Some(computed);
        computed
    }
}
