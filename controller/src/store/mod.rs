//! The store: services, nodes and key-value entries, and how they survive a restart.
//!
//! All reads are served from memory. The store reads no clock: each call passes its `Now`, so expiry can be tested
//! without waiting. With SQLite, key-value writes are on disk before they are acknowledged, and registrations are
//! written behind.

mod change_log;
mod closed_generations;
mod deadlines;
mod deregister;
mod expiry;
mod instances;
mod journal;
mod kv;
mod nodes;
mod queries;
mod removal_history;
mod row;
mod service;
mod services;
mod sqlite;
#[cfg(test)]
mod stress_test;

use std::path::Path;
use std::sync::Arc;

pub(crate) use self::journal::Journal;
pub(crate) use self::kv::{KeyValues, KvValue, KvWrite, ValueType};
pub(crate) use self::nodes::Nodes;
pub(crate) use self::queries::{PendingUpdate, WatchQuery};
pub(crate) use self::row::{Row, RowContent, write_text};
pub(crate) use self::service::Filter;
pub(crate) use self::services::{EndpointKey, RegisterError, Services, node_or_manual};
pub(crate) use self::sqlite::{OpenError, SqliteStore, WriteFailed};

/// The time of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Now {
    /// Milliseconds of the lease clock, which stops while the process is stopped.
    pub(crate) lease: u64,
    /// Unix seconds, for display only.
    pub(crate) unix: i64,
}

/// Everything that the controller stores.
pub(crate) struct Store {
    pub(crate) services: Services,
    pub(crate) nodes: Nodes,
    pub(crate) values: Arc<KeyValues>,
    disk: Option<SqliteStore>,
}

impl Store {
    /// A store in memory only.
    pub(crate) fn in_memory(ttl: u64, on_change: Box<dyn Fn() + Send + Sync>) -> Self {
        Self {
            services: Services::new(ttl, Journal::default(), on_change),
            nodes: Nodes::default(),
            values: Arc::default(),
            disk: None,
        }
    }

    /// A store in an SQLite file; loads what an earlier run wrote.
    pub(crate) fn in_file(
        path: &Path,
        ttl: u64,
        now: Now,
        on_change: Box<dyn Fn() + Send + Sync>,
    ) -> Result<Self, OpenError> {
        let values = Arc::<KeyValues>::default();
        let (disk, journal, rows) = SqliteStore::open(path, &values, now)?;
        let services = Services::new(ttl, journal, on_change);
        for row in rows {
            services.restore(row, now);
        }
        Ok(Self { services, nodes: Nodes::default(), values, disk: Some(disk) })
    }

    /// Writes to the key-value store. With SQLite, the write is durable when this returns.
    pub(crate) async fn write(&self, write: KvWrite) -> Result<(), WriteFailed> {
        if let Some(disk) = &self.disk {
            return disk.write(write).await;
        }
        self.values.apply(write);
        Ok(())
    }

    /// Writes everything to disk and stops the writer.
    pub(crate) fn close(&self) {
        if let Some(disk) = &self.disk {
            disk.close();
        }
    }
}
