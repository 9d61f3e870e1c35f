//! Registrations: one ephemeral node for each, created, verified and deleted.
//!
//! A node is ours if its owner is our current session. If the node exists already, the owner decides: our own node is
//! overwritten. Any other one belongs to an expired session of ours, or to another process with the same instance id; it is
//! deleted and ours is created, so that the end of the other session does not delete it.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::client::{WrittenNode, ZooKeeperClient};
use super::connection::is_temporary;
use super::connection::{MAX_IN_FLIGHT, ZooKeeperConnection, ZooKeeperError};
use crate::error::{Error, Kind, Result};
use crate::registry::json_record::{InstanceKey, JsonRecord, service_path};
use crate::registry::timestamp;
use crate::registry::types::{HeartbeatResult, RegistryEntry, ReportedHealth, fail_all};

/// How often a change is tried if other clients change the node at the same time.
const MAX_TRIES: usize = 5;
/// The size limit of a server for one message (`jute.maxbuffer`), minus room for everything but the record.
const MAX_BYTES: usize = 0xf_ffff - 1024;
/// How long a registration may be in flight.
const MAX_REQUEST_AGE: Duration = Duration::from_mins(1);

impl ZooKeeperClient {
    pub(super) async fn register(self: Arc<Self>, entries: &[RegistryEntry]) -> Vec<Result<()>> {
        let mut outcomes = Vec::with_capacity(entries.len());
        let mut away = None;
        for batch in entries.chunks(MAX_IN_FLIGHT) {
            match away.clone() {
                Some(error) => outcomes.extend(fail_all(batch, &error)),
                None => outcomes.extend(self.register_batch(batch).await),
            }
            let last = outcomes.last().and_then(|outcome| outcome.as_ref().err());
            away = away.or_else(|| last.filter(|error| is_temporary(error)).cloned());
        }
        outcomes
    }

    async fn register_batch(self: &Arc<Self>, entries: &[RegistryEntry]) -> Vec<Result<()>> {
        let connection = match self.connection().await {
            Ok(connection) => connection,
            Err(error) => return fail_all(entries, &error),
        };
        self.create_parents_ahead(&connection, entries);
        let mut puts = JoinSet::new();
        for (index, entry) in entries.iter().enumerate() {
            let (client, connection, entry) = (self.clone(), connection.clone(), entry.clone());
            puts.spawn(async move { (index, client.put(&connection, &entry).await) });
        }
        let panicked = || Error::new(Kind::Internal, "a registration panicked; please report it");
        let mut outcomes: Vec<Result<()>> = entries.iter().map(|_| Err(panicked())).collect();
        while let Some(put) = puts.join_next().await {
            if let Ok((index, outcome)) = put {
                outcomes[index] = outcome;
            }
        }
        outcomes
    }

    /// Sends requests that create the parents of these nodes. If they fail, creating the nodes fails, too.
    fn create_parents_ahead(&self, connection: &Arc<ZooKeeperConnection>, entries: &[RegistryEntry]) {
        let mut made = self.parents.lock();
        if made.0 != connection.session {
            *made = (connection.session, HashSet::new());
        }
        for entry in entries {
            let parent = service_path(&self.prefix, &entry.instance.service);
            if !made.1.contains(&parent) {
                for path in ancestors(&format!("{parent}/")) {
                    if made.1.insert(path.to_owned()) {
                        drop(connection.create(path, b"", false));
                    }
                }
            }
        }
    }

    async fn put(&self, connection: &Arc<ZooKeeperConnection>, entry: &RegistryEntry) -> Result<()> {
        let path = InstanceKey::of(entry).path(&self.prefix);
        let data = JsonRecord::of(entry, &timestamp::now()).write()?;
        let size = path.len() + data.len();
        if size > MAX_BYTES {
            return Err(Error::invalid(format!(
                "{}: the record has {size} bytes; ZooKeeper takes {MAX_BYTES}",
                entry.instance.instance_id
            )));
        }
        let key = (path, entry.generation.clone());
        let is_ended = || self.ended.lock().contains_key(&key);
        create_or_overwrite(connection, &key.0, &data, is_ended).await?;
        self.written.lock().insert(key.0, WrittenNode::of(entry, connection.session));
        Ok(())
    }

    pub(super) async fn heartbeat(
        self: Arc<Self>,
        entries: &[RegistryEntry],
    ) -> Vec<Result<HeartbeatResult>> {
        let paths: Vec<String> =
            entries.iter().map(|entry| InstanceKey::of(entry).path(&self.prefix)).collect();
        let found = async {
            let connection = self.connection().await?;
            let own_nodes = self.own_nodes(&connection, &paths).await?;
            Ok::<_, Error>((connection, own_nodes))
        };
        let (connection, own_nodes) = match found.await {
            Ok(found) => found,
            Err(error) => return fail_all(entries, &error),
        };
        let mut outcomes = Vec::with_capacity(entries.len());
        for (path, entry) in paths.iter().zip(entries) {
            let is_this = |known: &WrittenNode| {
                known.session == connection.session
                    && known.generation == entry.generation
                    && own_nodes.contains(path)
            };
            let known = self.written.lock().get(path).cloned().filter(is_this);
            outcomes.push(match (known, entry.health) {
                (None, _) => Ok(HeartbeatResult::Unknown),
                (Some(known), ReportedHealth::Reported(is_healthy)) if is_healthy != known.is_healthy => {
                    self.overwrite(&connection, path, entry).await
                }
                _ => Ok(HeartbeatResult::Renewed),
            });
        }
        outcomes
    }

    /// The paths among these that are nodes of this session.
    async fn own_nodes(
        &self,
        connection: &Arc<ZooKeeperConnection>,
        paths: &[String],
    ) -> Result<HashSet<String>> {
        if self.lists_ephemerals.load(Ordering::Relaxed) {
            match connection.ephemerals(&format!("{}/", self.prefix)).await {
                Err(ZooKeeperError::Unimplemented) => self.lists_ephemerals.store(false, Ordering::Relaxed),
                listed => return Ok(listed?.into_iter().collect()),
            }
        }
        let mut own_nodes = HashSet::new();
        for batch in paths.chunks(MAX_IN_FLIGHT) {
            let response: Vec<_> = batch.iter().map(|path| connection.exists(path, false)).collect();
            for (path, stat) in batch.iter().zip(response) {
                if stat.await?.is_some_and(|stat| stat.owner == connection.session) {
                    own_nodes.insert(path.clone());
                }
            }
        }
        Ok(own_nodes)
    }

    /// Writes the record of a node again, with another health.
    async fn overwrite(
        &self,
        connection: &Arc<ZooKeeperConnection>,
        path: &str,
        entry: &RegistryEntry,
    ) -> Result<HeartbeatResult> {
        let data = JsonRecord::of(entry, &timestamp::now()).write()?;
        match connection.set_data(path, &data, -1).await {
            Ok(()) => {
                self.written.lock().insert(path.to_owned(), WrittenNode::of(entry, connection.session));
                Ok(HeartbeatResult::Renewed)
            }
            Err(ZooKeeperError::NoNode) => Ok(HeartbeatResult::Unknown),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Removes a registration. Returns its path, unless another registration owns the node now. A request in flight does not
    /// create the node any more.
    pub(super) fn remove_registration(&self, entry: &RegistryEntry, doubtful: bool) -> Option<String> {
        let path = InstanceKey::of(entry).path(&self.prefix);
        if doubtful {
            let (now, mut ended) = (Instant::now(), self.ended.lock());
            ended.retain(|_, at| now.duration_since(*at) < MAX_REQUEST_AGE);
            ended.insert((path.clone(), entry.generation.clone()), now);
        }
        let mut written = self.written.lock();
        if written.get(&path).is_some_and(|known| known.generation != entry.generation) {
            return None;
        }
        written.remove(&path);
        Some(path)
    }
}

/// Deletes a node of this session, and reports the result of the first attempt. While the servers are down, it retries until
/// the node is deleted or registered again, or the client is closed.
pub(super) async fn delete_node(
    client: Weak<ZooKeeperClient>,
    path: String,
    sender: oneshot::Sender<Result<()>>,
) {
    let mut sender = Some(sender);
    while let Some(client) = client.upgrade() {
        if sender.is_none() && client.written.lock().contains_key(&path) {
            return;
        }
        let outcome = match client.connection().await {
            Ok(connection) => remove(&connection, &path).await.map_err(Error::from),
            Err(error) => Err(error),
        };
        let is_over = !outcome.as_ref().is_err_and(is_temporary);
        if let Some(sender) = sender.take() {
            // The caller may have given up.
            let _ = sender.send(outcome);
        }
        if is_over {
            return;
        }
        let interval = client.config.session_timeout / 6;
        drop(client);
        sleep(interval).await;
    }
}

/// Creates a node, or overwrites our own.
async fn create_or_overwrite(
    connection: &Arc<ZooKeeperConnection>,
    path: &str,
    data: &[u8],
    is_ended: impl Fn() -> bool,
) -> Result<()> {
    let mut outcome = Error::from(ZooKeeperError::NoNode);
    for _ in 0..MAX_TRIES {
        if is_ended() {
            return Err(Error::new(Kind::Closed, "the registration was closed"));
        }
        // The request is sent at once, so a later deregistration deletes the node.
        match connection.create(path, data, true).await {
            Ok(()) => return Ok(()),
            Err(ZooKeeperError::NoNode) => {
                if let Some(refused) = create_parents(connection, path).await {
                    outcome = refused;
                }
            }
            Err(ZooKeeperError::NodeExists) => {
                let Some(stat) = connection.exists(path, false).await? else { continue };
                let changed = if stat.owner == connection.session {
                    connection.set_data(path, data, stat.version).await.map(|()| true)
                } else {
                    connection.delete(path, stat.version).await.map(|()| false)
                };
                match changed {
                    Ok(true) => return Ok(()),
                    Ok(false) | Err(ZooKeeperError::NoNode) => {}
                    Err(ZooKeeperError::BadVersion) => outcome = ZooKeeperError::BadVersion.into(),
                    Err(failure) => return Err(failure.into()),
                }
            }
            Err(failure) => return Err(failure.into()),
        }
    }
    Err(outcome)
}

/// Creates the parents of a path. Returns the error of a rejection.
async fn create_parents(connection: &Arc<ZooKeeperConnection>, path: &str) -> Option<Error> {
    let made: Vec<_> = ancestors(path).map(|path| connection.create(path, b"", false)).collect();
    let mut refused = None;
    for made in made {
        match made.await {
            // If a parent must not be created, its children fail with NoNode.
            Ok(()) | Err(ZooKeeperError::NodeExists | ZooKeeperError::NoNode) => {}
            Err(failure) => refused = Some(failure.into()),
        }
    }
    refused
}

/// The ancestors of a path, from the top.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').skip(1).map(move |(end, _)| &path[..end])
}

/// Deletes a node if it belongs to this session.
async fn remove(
    connection: &Arc<ZooKeeperConnection>,
    path: &str,
) -> std::result::Result<(), ZooKeeperError> {
    for _ in 0..MAX_TRIES {
        let Some(stat) =
            connection.exists(path, false).await?.filter(|stat| stat.owner == connection.session)
        else {
            return Ok(());
        };
        match connection.delete(path, stat.version).await {
            Err(ZooKeeperError::BadVersion) => {}
            Ok(()) | Err(ZooKeeperError::NoNode) => return Ok(()),
            Err(failure) => return Err(failure),
        }
    }
    Err(ZooKeeperError::BadVersion)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ancestors_are_listed_from_the_top() {
        assert_eq!(ancestors("/a/b/c").collect::<Vec<_>>(), ["/a", "/a/b"]);
        assert_eq!(ancestors("/a/b/").collect::<Vec<_>>(), ["/a", "/a/b"]);
        assert_eq!(ancestors("/a").count(), 0);
    }
}
