//! Who is registered: registrations and heartbeats.
//!
//! The same rows hang in two places, under their service for those who ask and under their instance for those who
//! beat. A write locks the instance's shard, then the service; a heartbeat that changes nothing but time locks
//! the shard alone. Time comes in as an argument.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::Now;
use super::changes::Changes;
use super::deadlines::Deadlines;
use super::instances::{Instance, Instances, Shard};
use super::journal::Journal;
use super::refused::Refused;
use super::row::{Content, Identity, Lease, Row};
use super::service::{Service, State};
use super::tick::Graveyard;
use plumline_wire::body::{EndpointHealth, RegisterEndpoint, RegisterRequest};
use plumline_wire::digest::MANUAL_NODE;

/// Why a write was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The generation was closed.
    Closed,
    /// Another endpoint has this identity.
    Taken,
    /// The instance would have more endpoints than one instance has.
    TooMany,
}

/// Endpoints of one instance. They are searched in turn, so that a body with a hundred thousand of them would
/// keep a shard locked for seconds; nobody serves so many from one program.
const MOST_PER_INSTANCE: usize = 1_000;

/// One endpoint by the text of its identity, as requests name it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Address<'a> {
    pub(crate) service: &'a str,
    pub(crate) instance: &'a str,
    pub(crate) ip: &'a str,
    pub(crate) port: i64,
    pub(crate) protocol: &'a str,
}

impl Address<'_> {
    pub(super) fn to_identity(self) -> Identity {
        Identity {
            service: self.service.into(),
            instance: self.instance.into(),
            ip: self.ip.into(),
            port: self.port,
            protocol: self.protocol.into(),
        }
    }
}

pub(crate) struct Services {
    pub(super) by_name: RwLock<HashMap<Arc<str>, Arc<Service>>>,
    pub(super) instances: Instances,
    pub(super) changes: Changes,
    pub(super) deadlines: Mutex<Deadlines>,
    pub(super) refused: Mutex<Refused>,
    pub(super) graveyard: Mutex<Graveyard>,
    /// Milliseconds that an endpoint is believed after its last sign of life.
    pub(super) ttl: u64,
    pub(super) journal: Journal,
    /// Rung after each change.
    bell: Box<dyn Fn() + Send + Sync>,
}

impl Services {
    pub(crate) fn new(ttl: u64, journal: Journal, bell: Box<dyn Fn() + Send + Sync>) -> Self {
        Self {
            by_name: RwLock::default(),
            instances: Instances::new(),
            changes: Changes::default(),
            deadlines: Mutex::default(),
            refused: Mutex::default(),
            graveyard: Mutex::default(),
            ttl,
            journal,
            bell,
        }
    }

    /// Whether the registration would be stored; asked before probes, which take seconds.
    pub(crate) fn admits(&self, body: &RegisterRequest<'_>, now: Now) -> Result<(), Denied> {
        self.admits_to(&self.instances.shard(&body.instance_id), body, now)
    }

    fn admits_to(&self, shard: &Shard, body: &RegisterRequest<'_>, now: Now) -> Result<(), Denied> {
        let closed = !body.generation.is_empty()
            && self.refused.lock().contains(&body.instance_id, &body.generation, now.lease);
        if closed {
            return Err(Denied::Closed);
        }
        let instance = shard.get(&*body.instance_id);
        let known = instance.map_or(0, |instance| instance.rows.len());
        let is_new = |endpoint: &&RegisterEndpoint<'_>| {
            instance.is_none_or(|instance| find_endpoint(instance, body, endpoint).is_none())
        };
        let too_many = body.endpoints.len() > MOST_PER_INSTANCE
            || (known + body.endpoints.len() > MOST_PER_INSTANCE
                && known + body.endpoints.iter().filter(is_new).count() > MOST_PER_INSTANCE);
        if too_many { Err(Denied::TooMany) } else { Ok(()) }
    }

    /// Writes each endpoint of the registration; `health` says how each was found.
    pub(crate) fn register(
        &self,
        body: &RegisterRequest<'_>,
        health: impl Fn(usize) -> bool,
        now: Now,
    ) -> Result<(), Denied> {
        let mut shard = self.instances.shard(&body.instance_id);
        // Asked under the shard's lock: a delete that closes the generation waits for us, or we for it.
        self.admits_to(&shard, body, now)?;
        for (index, endpoint) in body.endpoints.iter().enumerate() {
            self.put(&mut shard, body, endpoint, health(index), now);
        }
        Ok(())
    }

    fn put(
        &self,
        shard: &mut Shard,
        body: &RegisterRequest<'_>,
        endpoint: &RegisterEndpoint<'_>,
        healthy: bool,
        now: Now,
    ) {
        let known = shard.get(&*body.instance_id).and_then(|known| find_endpoint(known, body, endpoint));
        let same = known.filter(|row| says_the_same(&row.content, body, endpoint));
        match same.map(Arc::clone) {
            Some(row) => {
                let instance = shard.get_mut(&*body.instance_id).expect("the row was found in it");
                self.beat(instance, &row, Some(healthy), now);
            }
            None => self.write(
                shard,
                Address {
                    service: &endpoint.service_name,
                    instance: &body.instance_id,
                    ip: &body.ip,
                    port: endpoint.port,
                    protocol: &endpoint.protocol,
                },
                content_of(body, endpoint),
                healthy,
                now,
            ),
        }
    }

    /// Adds a row, or replaces the content of the one with this identity.
    pub(super) fn write(
        &self,
        shard: &mut Shard,
        address: Address<'_>,
        content: Content,
        healthy: bool,
        now: Now,
    ) {
        let name: Arc<str> = address.instance.into();
        let instance = shard.entry(name).or_default();
        let known =
            instance.find(address.service, address.ip, address.port, address.protocol).map(Arc::clone);
        let row = self.alter(address.service, |service, state| {
            let lease = known.as_ref().map_or_else(
                || {
                    Arc::new(Lease::new(
                        Arc::new(address.to_identity()),
                        healthy,
                        Arc::clone(&service.touched),
                    ))
                },
                |row| Arc::clone(&row.lease),
            );
            let enters = known.is_none() || lease.is_expired();
            lease.set_healthy(healthy);
            lease.set_expired(false);
            lease.touch(now, self.ttl);
            if enters {
                self.deadlines.lock().enter(lease.deadline(), &lease);
            }
            let row = Arc::new(Row::new(content, lease));
            state.rows.insert(Arc::clone(row.identity()), Arc::clone(&row));
            state.change(service, &self.changes);
            self.journal.put(&row);
            row
        });
        instance.put(row);
        self.ring();
    }

    /// A heartbeat with health: exactly the endpoints that it names.
    pub(crate) fn heartbeat(&self, instance: &str, health: &[EndpointHealth<'_>], now: Now) {
        let mut shard = self.instances.shard(instance);
        let Some(instance) = shard.get_mut(instance) else { return };
        self.beat_named(instance, health, now);
    }

    /// A heartbeat that stands for what was registered. Answers whether the digest is the stored rows'.
    /// Without health every live row is touched, and keeps the health it has.
    pub(crate) fn heartbeat_with_digest(
        &self,
        instance: &str,
        digest: Option<u64>,
        health: &[EndpointHealth<'_>],
        now: Now,
    ) -> bool {
        let mut shard = self.instances.shard(instance);
        let Some(instance) = shard.get_mut(instance) else { return false };
        let known = instance.has_live() && digest == Some(instance.digest());
        if health.is_empty() {
            instance.live().for_each(|row| row.lease.touch(now, self.ttl));
        } else {
            self.beat_named(instance, health, now);
        }
        known
    }

    fn beat_named(&self, instance: &mut Instance, health: &[EndpointHealth<'_>], now: Now) {
        for entry in health {
            let row =
                instance.find(&entry.service_name, &entry.ip, entry.port, &entry.protocol).map(Arc::clone);
            if let Some(row) = row {
                self.beat(instance, &row, Some(entry.healthy), now);
            }
        }
    }

    /// Touches the row. Only a new health, or a return from expiry, is a change.
    fn beat(&self, instance: &mut Instance, row: &Arc<Row>, healthy: Option<bool>, now: Now) {
        row.lease.touch(now, self.ttl);
        let healthy = healthy.unwrap_or(row.lease.is_healthy());
        if healthy == row.lease.is_healthy() && !row.lease.is_expired() {
            return;
        }
        self.alter(&row.identity().service, |service, state| {
            if row.lease.is_expired() {
                row.lease.set_expired(false);
                instance.liveness_changed();
                self.deadlines.lock().enter(row.lease.deadline(), &row.lease);
            }
            row.lease.set_healthy(healthy);
            state.change(service, &self.changes);
            self.journal.put(row);
        });
        self.ring();
    }

    /// The rows of an instance, to be probed.
    pub(crate) fn rows_of(&self, instance: &str) -> Vec<Arc<Row>> {
        self.instances.shard(instance).get(instance).map_or_else(Vec::new, |instance| instance.rows.clone())
    }

    /// Puts back a row of an earlier run.
    pub(crate) fn restore(&self, restored: Restored, now: Now) {
        let mut shard = self.instances.shard(&restored.identity.instance);
        let due = now.lease + restored.forget_in.unwrap_or(self.ttl);
        let row = self.alter(&restored.identity.service.clone(), |service, state| {
            let touched = Arc::clone(&service.touched);
            let lease = Arc::new(Lease::new(Arc::new(restored.identity), restored.healthy, touched));
            lease.restore(restored.last_seen, due, restored.forget_in.is_some());
            self.deadlines.lock().enter(due, &lease);
            let row = Arc::new(Row::new(restored.content, lease));
            state.rows.insert(Arc::clone(row.identity()), Arc::clone(&row));
            state.change(service, &self.changes);
            row
        });
        shard.entry(Arc::clone(&row.identity().instance)).or_default().put(row);
    }

    pub(super) fn ring(&self) {
        (self.bell)();
    }

    pub(crate) fn find_service(&self, name: &str) -> Option<Arc<Service>> {
        self.by_name.read().get(name).map(Arc::clone)
    }

    /// Works on the service of this name, made if need be, under its lock.
    pub(super) fn alter<T>(&self, name: &str, act: impl FnOnce(&Arc<Service>, &mut State) -> T) -> T {
        loop {
            let service = self.find_service(name).unwrap_or_else(|| {
                let mut by_name = self.by_name.write();
                let made = by_name
                    .entry(name.into())
                    .or_insert_with(|| Arc::new(Service::new(name, self.changes.floor())));
                Arc::clone(made)
            });
            let mut state = service.lock();
            if !state.retired {
                return act(&service, &mut state);
            }
        }
    }
}

/// A row as an earlier run left it.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) identity: Identity,
    pub(crate) content: Content,
    pub(crate) healthy: bool,
    pub(crate) last_seen: i64,
    /// Set for a row that had expired: milliseconds until it is forgotten.
    pub(crate) forget_in: Option<u64>,
}

fn find_endpoint<'a>(
    instance: &'a Instance,
    body: &RegisterRequest<'_>,
    endpoint: &RegisterEndpoint<'_>,
) -> Option<&'a Arc<Row>> {
    instance.find(&endpoint.service_name, &body.ip, endpoint.port, &endpoint.protocol)
}

fn says_the_same(content: &Content, body: &RegisterRequest<'_>, endpoint: &RegisterEndpoint<'_>) -> bool {
    *content.node == *node_of(body)
        && *content.version == *endpoint.version
        && *content.generation == *body.generation
        && endpoint.labels == content.labels
}

fn content_of(body: &RegisterRequest<'_>, endpoint: &RegisterEndpoint<'_>) -> Content {
    Content {
        node: node_of(body).into(),
        version: (*endpoint.version).into(),
        labels: endpoint.labels.clone(),
        generation: (*body.generation).into(),
    }
}

fn node_of<'a>(body: &'a RegisterRequest<'_>) -> &'a str {
    named_node(&body.node_id)
}

/// The node as it is stored: an empty name is `manual`.
pub(crate) fn named_node(node: &str) -> &str {
    if node.is_empty() { MANUAL_NODE } else { node }
}
