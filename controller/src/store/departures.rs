//! Leaving and moving: what programs take out of the registry, or put in another place.
//!
//! A delete may name the generation that it means. It then removes only what that `register()` wrote, and has the
//! generation refused for a while, so that a heartbeat still on its way cannot bring it back.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::Now;
use super::instances::Shard;
use super::row::{Content, Row};
use super::service::Why;
use super::services::{Address, Denied, Services};

impl Services {
    /// Removes the instance's rows, or those of one generation.
    pub(crate) fn delete_instance(&self, instance: &str, generation: Option<&str>, now: Now) {
        let mut shard = self.instances.shard(instance);
        self.refuse(instance, generation, now);
        let rows = shard.get(instance).map_or_else(Vec::new, |instance| instance.rows.clone());
        for row in rows.iter().filter(|row| is_of(row, generation)) {
            self.remove(&mut shard, row, now);
        }
    }

    /// Removes one endpoint, if it is of the generation.
    pub(crate) fn delete_endpoint(&self, address: Address<'_>, generation: Option<&str>, now: Now) {
        let mut shard = self.instances.shard(address.instance);
        self.refuse(address.instance, generation, now);
        if let Some(row) = find(&shard, address).filter(|row| is_of(row, generation)) {
            self.remove(&mut shard, &row, now);
        }
    }

    fn refuse(&self, instance: &str, generation: Option<&str>, now: Now) {
        if let Some(generation) = generation {
            self.refused.lock().add(instance, generation, now.lease);
        }
    }

    /// Gives an endpoint another identity and content. Unknown endpoints are left unknown, as the contract has it.
    pub(crate) fn move_endpoint(
        &self,
        from: Address<'_>,
        to: Address<'_>,
        content: Content,
        healthy: bool,
        now: Now,
    ) -> Result<(), Denied> {
        let mut shards = self.instances.pair(from.instance, to.instance);
        let Some(old) = find(&shards.from, from) else { return Ok(()) };
        let content = Content { generation: old.content.generation.clone(), ..content };
        let moves = **old.identity() != to.to_identity();
        if moves && find(shards.to(), to).is_some() {
            return Err(Denied::Taken);
        }
        if moves {
            self.remove(&mut shards.from, &old, now);
        }
        self.write(shards.to(), to, content, healthy, now);
        Ok(())
    }

    /// Takes a deleted row out of everything.
    fn remove(&self, shard: &mut Shard, row: &Arc<Row>, now: Now) {
        let identity = row.identity();
        self.alter(&identity.service, |service, state| {
            state.rows.remove(identity);
            let revision = state.change(service, &self.changes);
            state.note_removed(identity, Why::Deleted, &self.changes);
            self.journal.delete(identity);
            self.graveyard.lock().add(now.lease, service, revision);
        });
        self.deadlines.lock().cancel(&row.lease);
        if let Entry::Occupied(mut entry) = shard.entry(Arc::clone(&identity.instance)) {
            entry.get_mut().remove(row);
            if entry.get().rows.is_empty() {
                entry.remove();
            }
        }
        self.ring();
    }
}

fn find(shard: &Shard, address: Address<'_>) -> Option<Arc<Row>> {
    let instance = shard.get(address.instance)?;
    instance.find(address.service, address.ip, address.port, address.protocol).map(Arc::clone)
}

fn is_of(row: &Row, generation: Option<&str>) -> bool {
    generation.is_none_or(|generation| *row.content.generation == *generation)
}
