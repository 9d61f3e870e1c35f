//! The state that all parts of a ZooKeeper registry share: the session, and the nodes that were written.

use super::connection::ZooKeeperConnection;
use super::session;
use super::session::{SessionConfig, ZooKeeperSession};
use crate::error::{Error, Kind, Result};
use crate::registry::record_warnings::RecordWarnings;
use crate::registry::types::RegistryEntry;
use crate::runtime::Runtime;
use crate::sync::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::time::Instant;

/// The state that all tasks on the tokio thread share.
pub(super) struct ZooKeeperClient {
    pub(super) source: Arc<str>,
    /// The parent path of all services.
    pub(super) prefix: String,
    pub(super) config: Arc<SessionConfig>,
    pub(super) runtime: Runtime,
    /// `None` before the first use.
    pub(super) session: Mutex<Option<ZooKeeperSession>>,
    /// The nodes that were written, by path.
    pub(super) written: Mutex<HashMap<String, WrittenNode>>,
    /// The parent nodes that were created in a session, so that they are not created again for each node.
    pub(super) parents: Mutex<(i64, HashSet<String>)>,
    /// Registrations (path and generation) that ended while a request for them might be in flight, and when they ended.
    pub(super) ended: Mutex<HashMap<(String, String), Instant>>,
    pub(super) record_warnings: RecordWarnings,
    /// Whether the server can list the nodes of a session. Servers before 3.6 cannot.
    pub(super) lists_ephemerals: AtomicBool,
}

/// A node that was written.
#[derive(Clone)]
pub(super) struct WrittenNode {
    pub(super) session: i64,
    /// The generation of its registration.
    pub(super) generation: String,
    pub(super) is_healthy: bool,
}

impl WrittenNode {
    pub(super) fn of(entry: &RegistryEntry, session: i64) -> WrittenNode {
        WrittenNode { session, generation: entry.generation.clone(), is_healthy: entry.is_healthy() }
    }
}

impl ZooKeeperClient {
    /// Accesses the session. It is started if necessary.
    pub(super) fn with_session<T>(&self, access: impl FnOnce(&ZooKeeperSession) -> T) -> Result<T> {
        let mut session = self.session.lock();
        if session.is_none() {
            *session = ZooKeeperSession::start(self.config.clone(), &self.runtime);
        }
        let closed = || Error::new(Kind::Closed, "the client was closed");
        session.as_ref().map(access).ok_or_else(closed)
    }

    /// The connection. Waits while it is being opened.
    pub(super) async fn connection(&self) -> Result<Arc<ZooKeeperConnection>> {
        session::connection(self.with_session(ZooKeeperSession::state)?).await
    }
}
