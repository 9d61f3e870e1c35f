//! The registered services: registrations and heartbeats.
//!
//! Each row is indexed twice: by service for discovery, and by instance for heartbeats. A write locks the instance's
//! shard, then the service. A heartbeat that changes only times locks only the shard. The caller passes the time.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use plumline_wire::body::{EndpointHealth, RegisterEndpoint, RegisterRequest};
use plumline_wire::digest::MANUAL_NODE;

use super::Now;
use super::change_log::ChangeLog;
use super::closed_generations::ClosedGenerations;
use super::deadlines::Deadlines;
use super::instances::{Instance, Instances, Shard};
use super::journal::Journal;
use super::removal_history::RemovalHistory;
use super::row::{Identity, Lease, Row, RowContent};
use super::service::{RemovalReason, Service, ServiceState};

/// Why a write was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RegisterError {
    /// The generation was closed.
    GenerationClosed,
    /// Another endpoint has this identity.
    IdentityTaken,
    /// The instance would have too many endpoints.
    TooManyEndpoints,
}

/// The most endpoints of one instance. Lookups scan them one by one, so a request with 100,000 of them would keep a shard
/// locked for seconds.
const MAX_ENDPOINTS_PER_INSTANCE: usize = 1_000;

/// The identity of an endpoint, borrowed from a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EndpointKey<'a> {
    pub(crate) service: &'a str,
    pub(crate) instance: &'a str,
    pub(crate) ip: &'a str,
    pub(crate) port: i64,
    pub(crate) protocol: &'a str,
}

impl EndpointKey<'_> {
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
    pub(super) changes: ChangeLog,
    pub(super) deadlines: Mutex<Deadlines>,
    pub(super) closed_generations: Mutex<ClosedGenerations>,
    pub(super) removal_history: Mutex<RemovalHistory>,
    /// Milliseconds for which an endpoint stays listed after its last heartbeat.
    pub(super) ttl: u64,
    pub(super) journal: Journal,
    /// Called after each change.
    on_change: Box<dyn Fn() + Send + Sync>,
}

impl Services {
    pub(crate) fn new(ttl: u64, journal: Journal, on_change: Box<dyn Fn() + Send + Sync>) -> Self {
        Self {
            by_name: RwLock::default(),
            instances: Instances::new(),
            changes: ChangeLog::default(),
            deadlines: Mutex::default(),
            closed_generations: Mutex::default(),
            removal_history: Mutex::default(),
            ttl,
            journal,
            on_change,
        }
    }

    /// Whether the registration would be stored. Checked before the probes, which take seconds.
    pub(crate) fn check_registration(
        &self,
        body: &RegisterRequest<'_>,
        now: Now,
    ) -> Result<(), RegisterError> {
        self.check_against(&self.instances.shard(&body.instance_id), body, now)
    }

    fn check_against(
        &self,
        shard: &Shard,
        body: &RegisterRequest<'_>,
        now: Now,
    ) -> Result<(), RegisterError> {
        let closed = !body.generation.is_empty()
            && self.closed_generations.lock().contains(&body.instance_id, &body.generation, now.lease);
        if closed {
            return Err(RegisterError::GenerationClosed);
        }
        let instance = shard.get(&*body.instance_id);
        let known = instance.map_or(0, |instance| instance.rows.len());
        let is_new = |endpoint: &&RegisterEndpoint<'_>| {
            instance.is_none_or(|instance| find_endpoint(instance, body, endpoint).is_none())
        };
        let too_many = body.endpoints.len() > MAX_ENDPOINTS_PER_INSTANCE
            || (known + body.endpoints.len() > MAX_ENDPOINTS_PER_INSTANCE
                && known + body.endpoints.iter().filter(is_new).count() > MAX_ENDPOINTS_PER_INSTANCE);
        if too_many { Err(RegisterError::TooManyEndpoints) } else { Ok(()) }
    }

    /// Writes each endpoint of the registration; `health` returns the health of the endpoint at an index.
    pub(crate) fn register(
        &self,
        body: &RegisterRequest<'_>,
        health: impl Fn(usize) -> bool,
        now: Now,
    ) -> Result<(), RegisterError> {
        let mut shard = self.instances.shard(&body.instance_id);
        // Checked under the shard's lock, so that it cannot overlap with a delete that closes the generation.
        self.check_against(&shard, body, now)?;
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
        let same = known.filter(|row| is_unchanged(&row.content, body, endpoint));
        match same.map(Arc::clone) {
            Some(row) => {
                let instance = shard.get_mut(&*body.instance_id).expect("the row was found in it");
                self.renew(instance, &row, Some(healthy), now);
            }
            None => self.write(
                shard,
                EndpointKey {
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
        key: EndpointKey<'_>,
        content: RowContent,
        healthy: bool,
        now: Now,
    ) {
        let name: Arc<str> = key.instance.into();
        let instance = shard.entry(name).or_default();
        let known = instance.find(key.service, key.ip, key.port, key.protocol).map(Arc::clone);
        let row = self.with_service(key.service, |service, state| {
            let lease = known.as_ref().map_or_else(
                || {
                    Arc::new(Lease::new(
                        Arc::new(key.to_identity()),
                        healthy,
                        Arc::clone(&service.last_seen_changed),
                    ))
                },
                |row| Arc::clone(&row.lease),
            );
            let needs_deadline = known.is_none() || lease.is_expired();
            lease.set_healthy(healthy);
            lease.set_expired(false);
            lease.touch(now, self.ttl);
            if needs_deadline {
                self.deadlines.lock().schedule_lease(lease.deadline(), &lease);
            }
            let row = Arc::new(Row::new(content, lease));
            state.rows.insert(Arc::clone(row.identity()), Arc::clone(&row));
            self.record_change(service, state);
            self.journal.put(&row);
            row
        });
        instance.put(row);
        self.notify_change();
    }

    /// A heartbeat with health: renews exactly the endpoints that it names.
    pub(crate) fn heartbeat(&self, instance: &str, health: &[EndpointHealth<'_>], now: Now) {
        let mut shard = self.instances.shard(instance);
        let Some(instance) = shard.get_mut(instance) else { return };
        self.heartbeat_named(instance, health, now);
    }

    /// A heartbeat with a digest. Returns whether the digest matches the stored rows.
    /// Without health, every live row is renewed and keeps its health.
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
            self.heartbeat_named(instance, health, now);
        }
        known
    }

    fn heartbeat_named(&self, instance: &mut Instance, health: &[EndpointHealth<'_>], now: Now) {
        for entry in health {
            let row =
                instance.find(&entry.service_name, &entry.ip, entry.port, &entry.protocol).map(Arc::clone);
            if let Some(row) = row {
                self.renew(instance, &row, Some(entry.healthy), now);
            }
        }
    }

    /// Renews the row. Only a new health, or a return from expiry, is a change.
    fn renew(&self, instance: &mut Instance, row: &Arc<Row>, healthy: Option<bool>, now: Now) {
        row.lease.touch(now, self.ttl);
        let healthy = healthy.unwrap_or(row.lease.is_healthy());
        if healthy == row.lease.is_healthy() && !row.lease.is_expired() {
            return;
        }
        self.with_service(&row.identity().service, |service, state| {
            if row.lease.is_expired() {
                row.lease.set_expired(false);
                instance.liveness_changed();
                self.deadlines.lock().schedule_lease(row.lease.deadline(), &row.lease);
            }
            row.lease.set_healthy(healthy);
            self.record_change(service, state);
            self.journal.put(row);
        });
        self.notify_change();
    }

    /// The rows of an instance, for probing.
    pub(crate) fn rows_of(&self, instance: &str) -> Vec<Arc<Row>> {
        self.instances.shard(instance).get(instance).map_or_else(Vec::new, |instance| instance.rows.clone())
    }

    /// Restores a row of an earlier run.
    pub(crate) fn restore(&self, restored: RestoredRow, now: Now) {
        let mut shard = self.instances.shard(&restored.identity.instance);
        let due = now.lease + restored.forget_in.unwrap_or(self.ttl);
        let row = self.with_service(&restored.identity.service.clone(), |service, state| {
            let last_seen_changed = Arc::clone(&service.last_seen_changed);
            let lease =
                Arc::new(Lease::new(Arc::new(restored.identity), restored.healthy, last_seen_changed));
            lease.restore(restored.last_seen, due, restored.forget_in.is_some());
            self.deadlines.lock().schedule_lease(due, &lease);
            let row = Arc::new(Row::new(restored.content, lease));
            state.rows.insert(Arc::clone(row.identity()), Arc::clone(&row));
            self.record_change(service, state);
            row
        });
        shard.entry(Arc::clone(&row.identity().instance)).or_default().put(row);
    }

    /// Assigns the next revision to a change of the service, which is locked.
    pub(super) fn record_change(&self, service: &Arc<Service>, state: &mut ServiceState) -> u64 {
        let revision = self.changes.record(service, state.changed_at);
        state.mark_changed(revision);
        revision
    }

    /// Remembers a removal for watchers. The caller has already recorded the change.
    pub(super) fn record_removal(
        &self,
        state: &mut ServiceState,
        identity: &Arc<Identity>,
        why: RemovalReason,
    ) {
        if let Some(forgotten) = state.remember_removal(identity, why) {
            self.changes.raise_floor(forgotten);
        }
    }

    pub(super) fn notify_change(&self) {
        (self.on_change)();
    }

    pub(crate) fn find_service(&self, name: &str) -> Option<Arc<Service>> {
        self.by_name.read().get(name).map(Arc::clone)
    }

    /// Calls `act` with the service of this name under its lock. Creates the service if it does not exist.
    pub(super) fn with_service<T>(
        &self,
        name: &str,
        act: impl FnOnce(&Arc<Service>, &mut ServiceState) -> T,
    ) -> T {
        loop {
            let service = self.find_service(name).unwrap_or_else(|| {
                let mut by_name = self.by_name.write();
                let created = by_name
                    .entry(name.into())
                    .or_insert_with(|| Arc::new(Service::new(name, self.changes.floor())));
                Arc::clone(created)
            });
            let mut state = service.lock();
            if !state.retired {
                return act(&service, &mut state);
            }
        }
    }
}

/// A row as an earlier run stored it.
#[derive(Debug)]
pub(crate) struct RestoredRow {
    pub(crate) identity: Identity,
    pub(crate) content: RowContent,
    pub(crate) healthy: bool,
    pub(crate) last_seen: i64,
    /// For a row that had expired: milliseconds until it is forgotten.
    pub(crate) forget_in: Option<u64>,
}

fn find_endpoint<'a>(
    instance: &'a Instance,
    body: &RegisterRequest<'_>,
    endpoint: &RegisterEndpoint<'_>,
) -> Option<&'a Arc<Row>> {
    instance.find(&endpoint.service_name, &body.ip, endpoint.port, &endpoint.protocol)
}

fn is_unchanged(content: &RowContent, body: &RegisterRequest<'_>, endpoint: &RegisterEndpoint<'_>) -> bool {
    *content.node == *node_of(body)
        && *content.version == *endpoint.version
        && *content.generation == *body.generation
        && endpoint.labels == content.labels
}

fn content_of(body: &RegisterRequest<'_>, endpoint: &RegisterEndpoint<'_>) -> RowContent {
    RowContent {
        node: node_of(body).into(),
        version: (*endpoint.version).into(),
        labels: endpoint.labels.clone(),
        generation: (*body.generation).into(),
    }
}

fn node_of<'a>(body: &'a RegisterRequest<'_>) -> &'a str {
    node_or_manual(&body.node_id)
}

/// The node as it is stored; an empty one is `manual`.
pub(crate) fn node_or_manual(node: &str) -> &str {
    if node.is_empty() { MANUAL_NODE } else { node }
}
