//! Deletes and moves endpoints.
//!
//! A delete may name a generation. It then removes only the rows of that registration and refuses the generation for a
//! while, so that a heartbeat still in flight cannot restore it.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::Now;
use super::instances::Shard;
use super::row::{Row, RowContent};
use super::service::RemovalReason;
use super::services::{EndpointKey, RegisterError, Services};

impl Services {
    /// Removes the instance's rows, or those of one generation.
    pub(crate) fn delete_instance(&self, instance: &str, generation: Option<&str>, now: Now) {
        let mut shard = self.instances.shard(instance);
        self.close_generation(instance, generation, now);
        let rows = shard.get(instance).map_or_else(Vec::new, |instance| instance.rows.clone());
        for row in rows.iter().filter(|row| has_generation(row, generation)) {
            self.remove(&mut shard, row, now);
        }
    }

    /// Removes one endpoint, if it has this generation.
    pub(crate) fn delete_endpoint(&self, key: EndpointKey<'_>, generation: Option<&str>, now: Now) {
        let mut shard = self.instances.shard(key.instance);
        self.close_generation(key.instance, generation, now);
        if let Some(row) = find(&shard, key).filter(|row| has_generation(row, generation)) {
            self.remove(&mut shard, &row, now);
        }
    }

    fn close_generation(&self, instance: &str, generation: Option<&str>, now: Now) {
        if let Some(generation) = generation {
            self.closed_generations.lock().add(instance, generation, now.lease);
        }
    }

    /// Gives an endpoint another identity and content. Unknown endpoints are ignored, as the contract requires.
    pub(crate) fn move_endpoint(
        &self,
        from: EndpointKey<'_>,
        to: EndpointKey<'_>,
        content: RowContent,
        healthy: bool,
        now: Now,
    ) -> Result<(), RegisterError> {
        let mut shards = self.instances.pair(from.instance, to.instance);
        let Some(old) = find(&shards.from, from) else { return Ok(()) };
        let content = RowContent { generation: old.content.generation.clone(), ..content };
        let identity_changes = **old.identity() != to.to_identity();
        if identity_changes && find(shards.to(), to).is_some() {
            return Err(RegisterError::IdentityTaken);
        }
        if identity_changes {
            self.remove(&mut shards.from, &old, now);
        }
        self.write(shards.to(), to, content, healthy, now);
        Ok(())
    }

    /// Removes a deleted row from all indexes.
    fn remove(&self, shard: &mut Shard, row: &Arc<Row>, now: Now) {
        let identity = row.identity();
        self.with_service(&identity.service, |service, state| {
            state.rows.remove(identity);
            let revision = self.record_change(service, state);
            self.record_removal(state, identity, RemovalReason::Deleted);
            self.journal.delete(identity);
            self.removal_history.lock().add(now.lease, service, revision);
        });
        self.deadlines.lock().cancel(&row.lease);
        if let Entry::Occupied(mut entry) = shard.entry(Arc::clone(&identity.instance)) {
            entry.get_mut().remove(row);
            if entry.get().rows.is_empty() {
                entry.remove();
            }
        }
        self.notify_change();
    }
}

fn find(shard: &Shard, key: EndpointKey<'_>) -> Option<Arc<Row>> {
    let instance = shard.get(key.instance)?;
    instance.find(key.service, key.ip, key.port, key.protocol).map(Arc::clone)
}

fn has_generation(row: &Row, generation: Option<&str>) -> bool {
    generation.is_none_or(|generation| *row.content.generation == *generation)
}
