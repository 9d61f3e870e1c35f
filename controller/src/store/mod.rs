//! What the controller knows: services, nodes, key-value, and how they survive a restart.
//!
//! Everything is answered from memory. The store knows no clock: each call brings its `Now`, so that expiry can
//! be tested without waiting. With SQLite, key-value writes are on disk before they are acknowledged, and
//! registrations are written behind.

mod changes;
mod deadlines;
mod departures;
mod instances;
mod journal;
mod kv;
mod nodes;
mod refused;
mod row;
mod service;
mod services;
mod sqlite;
mod tick;
#[cfg(test)]
mod turmoil;
mod watching;

use std::path::Path;
use std::sync::Arc;

pub(crate) use self::journal::Journal;
pub(crate) use self::kv::{KeyValues, Kind, Value, Write};
pub(crate) use self::nodes::Nodes;
pub(crate) use self::row::{Content, Row, write_text};
pub(crate) use self::service::Filter;
pub(crate) use self::services::{Address, Denied, Services, named_node};
pub(crate) use self::sqlite::{Disk, OpenError, WriteFailed};
pub(crate) use self::watching::{Owed, Wanted};

/// The time of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Now {
    /// Milliseconds of the lease clock, which stands still while the process does.
    pub(crate) lease: u64,
    /// Unix seconds, for people.
    pub(crate) unix: i64,
}

/// All that is stored.
pub(crate) struct Store {
    pub(crate) services: Services,
    pub(crate) nodes: Nodes,
    pub(crate) values: Arc<KeyValues>,
    disk: Option<Disk>,
}

impl Store {
    /// A store that forgets everything when it ends.
    pub(crate) fn in_memory(ttl: u64, bell: Box<dyn Fn() + Send + Sync>) -> Self {
        Self {
            services: Services::new(ttl, Journal::default(), bell),
            nodes: Nodes::default(),
            values: Arc::default(),
            disk: None,
        }
    }

    /// A store in an SQLite file, with what an earlier run left there.
    pub(crate) fn in_file(
        path: &Path,
        ttl: u64,
        now: Now,
        bell: Box<dyn Fn() + Send + Sync>,
    ) -> Result<Self, OpenError> {
        let values = Arc::<KeyValues>::default();
        let (disk, journal, rows) = Disk::open(path, &values, now)?;
        let services = Services::new(ttl, journal, bell);
        for row in rows {
            services.restore(row, now);
        }
        Ok(Self { services, nodes: Nodes::default(), values, disk: Some(disk) })
    }

    /// Writes to the key-value store; durable, if the store is, once this returns.
    pub(crate) async fn write(&self, write: Write) -> Result<(), WriteFailed> {
        if let Some(disk) = &self.disk {
            return disk.write(write).await;
        }
        self.values.apply(write);
        Ok(())
    }

    /// Brings everything to disk and ends the writer.
    pub(crate) fn close(&self) {
        if let Some(disk) = &self.disk {
            disk.close();
        }
    }
}
