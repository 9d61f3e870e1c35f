//! Expiry: endpoints expire, expired rows are forgotten after a day, and removals after ten minutes.

use std::sync::Arc;

use super::Now;
use super::instances::Shard;
use super::row::{Lease, Row};
use super::service::{RemovalReason, Service};
use super::services::Services;

/// How long an expired row is kept, in lease milliseconds: 24 h.
pub(crate) const FORGET_AFTER: u64 = 24 * 60 * 60 * 1_000;

impl Services {
    /// Processes everything that is due.
    pub(crate) fn tick(&self, now: Now) {
        let due = self.deadlines.lock().pop_due(now.lease);
        for lease in due {
            self.check_lease(&lease, now);
        }
        self.closed_generations.lock().drop_ended(now.lease);
        let old = self.removal_history.lock().pop_old(now.lease);
        for (service, revision) in old {
            self.forget_removals(&service, revision);
        }
    }

    /// Processes a due lease: it was renewed meanwhile, it expires now, or it expired a day ago and is forgotten.
    fn check_lease(&self, lease: &Arc<Lease>, now: Now) {
        let mut shard = self.instances.shard(&lease.identity.instance);
        let Some(instance) = shard.get_mut(&lease.identity.instance) else { return };
        let Some(row) = instance.rows.iter().find(|row| Arc::ptr_eq(&row.lease, lease)).map(Arc::clone)
        else {
            return;
        };
        if lease.is_expired() {
            // A heartbeat that restored the row in the meantime has cleared the mark.
            self.forget(&mut shard, &row);
        } else if lease.deadline() > now.lease {
            self.deadlines.lock().schedule_lease(lease.deadline(), lease);
            self.journal.put(&row);
        } else {
            self.with_service(&lease.identity.service, |service, state| {
                lease.set_expired(true);
                let revision = self.record_change(service, state);
                self.record_removal(state, &lease.identity, RemovalReason::Expired);
                self.journal.put(&row);
                self.removal_history.lock().add(now.lease, service, revision);
            });
            instance.liveness_changed();
            self.deadlines.lock().schedule_lease(now.lease + FORGET_AFTER, lease);
            self.notify_change();
        }
    }

    /// Removes an expired row without a change: watchers were notified when it expired.
    fn forget(&self, shard: &mut Shard, row: &Arc<Row>) {
        let identity = row.identity();
        let empty_service = self.with_service(&identity.service, |service, state| {
            state.rows.remove(identity);
            self.journal.delete(identity);
            state.is_forgettable().then(|| Arc::clone(service))
        });
        if let Some(instance) = shard.get_mut(&identity.instance) {
            instance.remove(row);
            if instance.rows.is_empty() {
                shard.remove(&identity.instance);
            }
        }
        if let Some(service) = empty_service {
            self.retire(&service);
        }
    }

    fn forget_removals(&self, service: &Arc<Service>, revision: u64) {
        service.forget_removals(revision);
        self.changes.raise_floor(revision);
        if service.lock().is_forgettable() {
            self.retire(service);
        }
    }

    /// Removes a service that has neither rows nor removals.
    fn retire(&self, service: &Arc<Service>) {
        let mut by_name = self.by_name.write();
        let mut state = service.lock();
        if state.is_forgettable() && !state.retired {
            state.retired = true;
            by_name.remove(&service.name);
            self.changes.forget(state.changed_at);
            self.changes.raise_floor(state.changed_at);
        }
    }
}

#[cfg(test)]
mod tests {
    use plumline_wire::body::RegisterRequest;

    use super::*;
    use crate::store::Journal;
    use crate::store::queries::{PendingUpdate, WatchQuery};
    use crate::store::removal_history::REMEMBER_REMOVALS_FOR;
    use crate::store::service::Filter;

    const TTL: u64 = 15_000;
    const ANY: Filter<'_> = Filter { version: "", protocol: "" };

    fn services() -> Services {
        Services::new(TTL, Journal::default(), Box::new(|| ()))
    }

    fn at(lease: u64) -> Now {
        Now { lease, unix: 1_000_000 + (lease / 1_000) as i64 }
    }

    fn register(services: &Services, service: &str, instance: &str, now: Now) {
        let json = format!(
            r#"{{"instanceId":"{instance}","ip":"10.0.0.1","endpoints":[{{"serviceName":"{service}","port":1}}]}}"#
        );
        let body: RegisterRequest<'_> = serde_json::from_str(&json).unwrap();
        services.register(&body, |_| true, now).unwrap();
    }

    fn is_listed(services: &Services) -> bool {
        services.discover("orders", ANY, None).len() > 2
    }

    fn pending_since(services: &Services, since: u64) -> PendingUpdate {
        services.pending_update(&WatchQuery { names: None, fresh: &[], since: Some(since) })
    }

    #[test]
    fn endpoint_expires_at_its_ttl_and_not_before() {
        let services = services();
        register(&services, "orders", "o-1", at(0));
        services.tick(at(TTL - 1));
        assert!(is_listed(&services));
        services.tick(at(TTL));
        assert!(!is_listed(&services));
    }

    #[test]
    fn heartbeat_restarts_the_ttl() {
        let services = services();
        for lease in (0..100_000).step_by(5_000) {
            register(&services, "orders", "o-1", at(lease));
            services.tick(at(lease));
        }
        services.tick(at(95_000 + TTL - 1));
        assert!(is_listed(&services));
        services.tick(at(95_000 + TTL));
        assert!(!is_listed(&services));
    }

    #[test]
    fn expired_endpoints_are_forgotten_after_a_day() {
        let services = services();
        register(&services, "orders", "o-1", at(0));
        services.tick(at(TTL));
        services.tick(at(TTL + FORGET_AFTER - 1));
        assert_eq!(services.names().len(), 1);
        services.tick(at(TTL + FORGET_AFTER));
        assert!(services.names().is_empty());
        assert!(services.find_service("orders").is_none(), "the service is removed");
        assert!(services.rows_of("o-1").is_empty());
    }

    #[test]
    fn restored_endpoint_is_not_forgotten_for_an_old_expiry() {
        let services = services();
        register(&services, "orders", "o-1", at(0));
        services.tick(at(TTL));
        for lease in (FORGET_AFTER - TTL..FORGET_AFTER + 3 * TTL).step_by(5_000) {
            register(&services, "orders", "o-1", at(lease));
            services.tick(at(lease));
        }
        assert!(is_listed(&services));
    }

    #[test]
    fn registering_and_deleting_leaves_nothing_behind() {
        let services = services();
        for number in 0..2_000 {
            register(&services, &format!("s-{number}"), "o-1", at(number));
            services.delete_instance("o-1", None, at(number));
        }
        services.tick(at(2_000 + REMEMBER_REMOVALS_FOR));
        assert!(services.find_service("s-7").is_none());
        assert_eq!(services.deadlines.lock().len(), 0);
        assert!(services.removal_history.lock().removals.is_empty());
    }

    #[test]
    fn watcher_away_too_long_receives_full_lists() {
        let services = services();
        register(&services, "orders", "o-1", at(0));
        register(&services, "orders", "o-2", at(0));
        let before = services.revision();
        services.delete_instance("o-1", None, at(0));
        services.tick(at(REMEMBER_REMOVALS_FOR - 1));
        assert_eq!(pending_since(&services, before), PendingUpdate::Changes);
        services.tick(at(REMEMBER_REMOVALS_FOR));
        assert_eq!(pending_since(&services, before), PendingUpdate::AtOnce);
        assert_eq!(pending_since(&services, services.revision()), PendingUpdate::None);
    }

    #[test]
    fn too_many_removals_force_full_lists_for_their_service() {
        let services = services();
        let before = services.revision();
        for number in 0..1_100 {
            register(&services, "orders", &format!("o-{number}"), at(0));
            services.delete_instance(&format!("o-{number}"), None, at(0));
        }
        let names = ["orders".into()];
        let since = |since| WatchQuery { names: Some(&names), fresh: &[], since: Some(since) };
        assert_eq!(services.pending_update(&since(before)), PendingUpdate::AtOnce);
        assert_eq!(services.pending_update(&since(services.revision() - 1)), PendingUpdate::Changes);
    }
}
