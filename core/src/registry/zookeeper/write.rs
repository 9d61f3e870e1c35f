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

use super::line::{Fault, Line, TOGETHER};
use super::{Core, Written, may_pass};
use crate::error::{Error, Kind, Result};
use crate::registry::json_record::{InstanceKey, JsonRecord, service_path};
use crate::registry::timestamp;
use crate::registry::types::{HeartbeatResult, RegistryEntry, ReportedHealth, fail_all};

/// How often a change is tried if other clients change the node at the same time.
const TRIES: usize = 5;
/// The size limit of a server for one message (`jute.maxbuffer`), minus room for everything but the record.
const LARGEST: usize = 0xf_ffff - 1024;
/// How long a registration may be in flight.
const ON_ITS_WAY: Duration = Duration::from_mins(1);

impl Core {
    pub(super) async fn register(self: Arc<Self>, entries: &[RegistryEntry]) -> Vec<Result<()>> {
        let mut outcomes = Vec::with_capacity(entries.len());
        let mut away = None;
        for together in entries.chunks(TOGETHER) {
            match away.clone() {
                Some(error) => outcomes.extend(fail_all(together, &error)),
                None => outcomes.extend(self.register_together(together).await),
            }
            let last = outcomes.last().and_then(|outcome| outcome.as_ref().err());
            away = away.or_else(|| last.filter(|error| may_pass(error)).cloned());
        }
        outcomes
    }

    async fn register_together(self: &Arc<Self>, entries: &[RegistryEntry]) -> Vec<Result<()>> {
        let line = match self.line().await {
            Ok(line) => line,
            Err(error) => return fail_all(entries, &error),
        };
        self.foresee_parents(&line, entries);
        let mut puts = JoinSet::new();
        for (index, entry) in entries.iter().enumerate() {
            let (core, line, entry) = (self.clone(), line.clone(), entry.clone());
            puts.spawn(async move { (index, core.put(&line, &entry).await) });
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
    fn foresee_parents(&self, line: &Arc<Line>, entries: &[RegistryEntry]) {
        let mut made = self.parents.lock();
        if made.0 != line.session {
            *made = (line.session, HashSet::new());
        }
        for entry in entries {
            let parent = service_path(&self.prefix, &entry.instance.service);
            if !made.1.contains(&parent) {
                for path in ancestors(&format!("{parent}/")) {
                    if made.1.insert(path.to_owned()) {
                        drop(line.create(path, b"", false));
                    }
                }
            }
        }
    }

    async fn put(&self, line: &Arc<Line>, entry: &RegistryEntry) -> Result<()> {
        let path = InstanceKey::of(entry).path(&self.prefix);
        let data = JsonRecord::of(entry, &timestamp::now()).write()?;
        let size = path.len() + data.len();
        if size > LARGEST {
            return Err(Error::invalid(format!(
                "{}: the record has {size} bytes; ZooKeeper takes {LARGEST}",
                entry.instance.instance_id
            )));
        }
        let key = (path, entry.generation.clone());
        let is_ended = || self.ended.lock().contains_key(&key);
        place(line, &key.0, &data, is_ended).await?;
        self.written.lock().insert(key.0, Written::of(entry, line.session));
        Ok(())
    }

    pub(super) async fn heartbeat(
        self: Arc<Self>,
        entries: &[RegistryEntry],
    ) -> Vec<Result<HeartbeatResult>> {
        let paths: Vec<String> =
            entries.iter().map(|entry| InstanceKey::of(entry).path(&self.prefix)).collect();
        let owned = async {
            let line = self.line().await?;
            let ours = self.ours(&line, &paths).await?;
            Ok::<_, Error>((line, ours))
        };
        let (line, ours) = match owned.await {
            Ok(owned) => owned,
            Err(error) => return fail_all(entries, &error),
        };
        let mut outcomes = Vec::with_capacity(entries.len());
        for (path, entry) in paths.iter().zip(entries) {
            let is_this = |known: &Written| {
                known.session == line.session && known.generation == entry.generation && ours.contains(path)
            };
            let known = self.written.lock().get(path).cloned().filter(is_this);
            outcomes.push(match (known, entry.health) {
                (None, _) => Ok(HeartbeatResult::Unknown),
                (Some(known), ReportedHealth::Reported(well)) if well != known.well => {
                    self.write_anew(&line, path, entry).await
                }
                _ => Ok(HeartbeatResult::Renewed),
            });
        }
        outcomes
    }

    /// The paths among these that are nodes of this session.
    async fn ours(&self, line: &Arc<Line>, paths: &[String]) -> Result<HashSet<String>> {
        if self.lists_ephemerals.load(Ordering::Relaxed) {
            match line.ephemerals(&format!("{}/", self.prefix)).await {
                Err(Fault::Unimplemented) => self.lists_ephemerals.store(false, Ordering::Relaxed),
                listed => return Ok(listed?.into_iter().collect()),
            }
        }
        let mut ours = HashSet::new();
        for together in paths.chunks(TOGETHER) {
            let asked: Vec<_> = together.iter().map(|path| line.exists(path, false)).collect();
            for (path, stat) in together.iter().zip(asked) {
                if stat.await?.is_some_and(|stat| stat.owner == line.session) {
                    ours.insert(path.clone());
                }
            }
        }
        Ok(ours)
    }

    /// Writes the record of a node again, with another health.
    async fn write_anew(
        &self,
        line: &Arc<Line>,
        path: &str,
        entry: &RegistryEntry,
    ) -> Result<HeartbeatResult> {
        let data = JsonRecord::of(entry, &timestamp::now()).write()?;
        match line.set_data(path, &data, -1).await {
            Ok(()) => {
                self.written.lock().insert(path.to_owned(), Written::of(entry, line.session));
                Ok(HeartbeatResult::Renewed)
            }
            Err(Fault::NoNode) => Ok(HeartbeatResult::Unknown),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Removes a registration. Returns its path, unless another registration owns the node now. A request in flight does not
    /// create the node any more.
    pub(super) fn forget(&self, entry: &RegistryEntry, doubtful: bool) -> Option<String> {
        let path = InstanceKey::of(entry).path(&self.prefix);
        if doubtful {
            let (now, mut ended) = (Instant::now(), self.ended.lock());
            ended.retain(|_, at| now.duration_since(*at) < ON_ITS_WAY);
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
pub(super) async fn see_off(core: Weak<Core>, path: String, tell: oneshot::Sender<Result<()>>) {
    let mut tell = Some(tell);
    while let Some(core) = core.upgrade() {
        if tell.is_none() && core.written.lock().contains_key(&path) {
            return;
        }
        let outcome = match core.line().await {
            Ok(line) => remove(&line, &path).await.map_err(Error::from),
            Err(error) => Err(error),
        };
        let is_over = !outcome.as_ref().is_err_and(may_pass);
        if let Some(tell) = tell.take() {
            // The caller may have given up.
            let _ = tell.send(outcome);
        }
        if is_over {
            return;
        }
        let pace = core.terms.session_timeout / 6;
        drop(core);
        sleep(pace).await;
    }
}

/// Creates a node, or overwrites our own.
async fn place(line: &Arc<Line>, path: &str, data: &[u8], is_ended: impl Fn() -> bool) -> Result<()> {
    let mut outcome = Error::from(Fault::NoNode);
    for _ in 0..TRIES {
        if is_ended() {
            return Err(Error::new(Kind::Closed, "the registration was closed"));
        }
        // The request is sent at once, so a later deregistration deletes the node.
        match line.create(path, data, true).await {
            Ok(()) => return Ok(()),
            Err(Fault::NoNode) => {
                if let Some(refused) = make_parents(line, path).await {
                    outcome = refused;
                }
            }
            Err(Fault::NodeExists) => {
                let Some(stat) = line.exists(path, false).await? else { continue };
                let changed = if stat.owner == line.session {
                    line.set_data(path, data, stat.version).await.map(|()| true)
                } else {
                    line.delete(path, stat.version).await.map(|()| false)
                };
                match changed {
                    Ok(true) => return Ok(()),
                    Ok(false) | Err(Fault::NoNode) => {}
                    Err(Fault::BadVersion) => outcome = Fault::BadVersion.into(),
                    Err(fault) => return Err(fault.into()),
                }
            }
            Err(fault) => return Err(fault.into()),
        }
    }
    Err(outcome)
}

/// Creates the parents of a path. Returns the error of a rejection.
async fn make_parents(line: &Arc<Line>, path: &str) -> Option<Error> {
    let made: Vec<_> = ancestors(path).map(|path| line.create(path, b"", false)).collect();
    let mut refused = None;
    for made in made {
        match made.await {
            // If a parent must not be created, its children fail with NoNode.
            Ok(()) | Err(Fault::NodeExists | Fault::NoNode) => {}
            Err(fault) => refused = Some(fault.into()),
        }
    }
    refused
}

/// The ancestors of a path, from the top.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').skip(1).map(move |(end, _)| &path[..end])
}

/// Deletes a node if it belongs to this session.
async fn remove(line: &Arc<Line>, path: &str) -> std::result::Result<(), Fault> {
    for _ in 0..TRIES {
        let Some(stat) = line.exists(path, false).await?.filter(|stat| stat.owner == line.session) else {
            return Ok(());
        };
        match line.delete(path, stat.version).await {
            Err(Fault::BadVersion) => {}
            Ok(()) | Err(Fault::NoNode) => return Ok(()),
            Err(fault) => return Err(fault),
        }
    }
    Err(Fault::BadVersion)
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
