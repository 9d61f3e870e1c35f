//! What time does by itself: endpoints expire, the long expired are forgotten, and so are old departures.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Now;
use super::instances::Shard;
use super::row::{Lease, Row};
use super::service::{Service, Why};
use super::services::Services;

/// Lease milliseconds from expiry until a row is forgotten: 24 h.
pub(crate) const FORGET_AFTER: u64 = 24 * 60 * 60 * 1_000;
/// Lease milliseconds for which a departure is told to watchers who missed it.
const REMEMBER_DEPARTURES_FOR: u64 = 10 * 60 * 1_000;
/// Departures remembered over all services.
const MOST_DEPARTURES: usize = 65_536;

/// Every departure still remembered, oldest first.
#[derive(Debug, Default)]
pub(super) struct Graveyard {
    departures: VecDeque<(u64, Arc<Service>, u64)>,
}

impl Graveyard {
    pub(super) fn add(&mut self, now: u64, service: &Arc<Service>, revision: u64) {
        self.departures.push_back((now, Arc::clone(service), revision));
    }

    /// Takes out what is too old or too much.
    fn pop_old(&mut self, now: u64) -> Vec<(Arc<Service>, u64)> {
        let too_much = self.departures.len().saturating_sub(MOST_DEPARTURES);
        let too_old = self.departures.partition_point(|(at, ..)| at + REMEMBER_DEPARTURES_FOR <= now);
        let out = self.departures.drain(..too_much.max(too_old));
        out.map(|(_, service, revision)| (service, revision)).collect()
    }
}

impl Services {
    /// Does what is due. Costs nothing for what is not.
    pub(crate) fn tick(&self, now: Now) {
        let due = self.deadlines.lock().pop_due(now.lease);
        for lease in due {
            self.attend(&lease, now);
        }
        self.refused.lock().drop_ended(now.lease);
        let old = self.graveyard.lock().pop_old(now.lease);
        for (service, revision) in old {
            self.bury(&service, revision);
        }
    }

    /// A lease whose turn has come: touched meanwhile, now expired, or expired so long that it is forgotten.
    fn attend(&self, lease: &Arc<Lease>, now: Now) {
        let mut shard = self.instances.shard(&lease.identity.instance);
        let Some(instance) = shard.get_mut(&lease.identity.instance) else { return };
        let Some(row) = instance.rows.iter().find(|row| Arc::ptr_eq(&row.lease, lease)).map(Arc::clone)
        else {
            return;
        };
        if lease.is_expired() {
            // A heartbeat that brought it back between the agenda and here has cleared the mark.
            self.forget(&mut shard, &row);
        } else if lease.deadline() > now.lease {
            self.deadlines.lock().enter(lease.deadline(), lease);
            self.journal.put(&row);
        } else {
            self.alter(&lease.identity.service, |service, state| {
                lease.set_expired(true);
                let revision = state.change(service, &self.changes);
                state.note_removed(&lease.identity, Why::Expired, &self.changes);
                self.journal.put(&row);
                self.graveyard.lock().add(now.lease, service, revision);
            });
            instance.liveness_changed();
            self.deadlines.lock().enter(now.lease + FORGET_AFTER, lease);
            self.ring();
        }
    }

    /// Takes out an expired row without a word: watchers were told when it expired.
    fn forget(&self, shard: &mut Shard, row: &Arc<Row>) {
        let identity = row.identity();
        let emptied = self.alter(&identity.service, |service, state| {
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
        if let Some(service) = emptied {
            self.retire(&service);
        }
    }

    fn bury(&self, service: &Arc<Service>, revision: u64) {
        service.bury(revision, &self.changes);
        if service.lock().is_forgettable() {
            self.retire(service);
        }
    }

    /// Takes a service out in which nothing is left to tell.
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
    use super::super::Journal;
    use super::super::service::Filter;
    use super::super::watching::{Owed, Wanted};
    use super::*;
    use plumline_wire::body::RegisterRequest;

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

    fn owed_since(services: &Services, since: u64) -> Owed {
        services.owed(&Wanted { names: None, fresh: &[], since: Some(since) })
    }

    #[test]
    fn nothing_expires_before_its_ttl_and_everything_after() {
        let services = services();
        register(&services, "orders", "o-1", at(0));
        services.tick(at(TTL - 1));
        assert!(is_listed(&services));
        services.tick(at(TTL));
        assert!(!is_listed(&services));
    }

    #[test]
    fn each_beat_starts_the_ttl_anew() {
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
    fn the_expired_are_forgotten_after_a_day() {
        let services = services();
        register(&services, "orders", "o-1", at(0));
        services.tick(at(TTL));
        services.tick(at(TTL + FORGET_AFTER - 1));
        assert_eq!(services.names().len(), 1);
        services.tick(at(TTL + FORGET_AFTER));
        assert!(services.names().is_empty());
        assert!(services.find_service("orders").is_none(), "nothing is left of it");
        assert!(services.rows_of("o-1").is_empty());
    }

    #[test]
    fn one_that_came_back_is_not_forgotten_for_an_old_expiry() {
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
    fn registering_and_deleting_for_ever_leaves_nothing_behind() {
        let services = services();
        for number in 0..2_000 {
            register(&services, &format!("s-{number}"), "o-1", at(number));
            services.delete_instance("o-1", None, at(number));
        }
        services.tick(at(2_000 + REMEMBER_DEPARTURES_FOR));
        assert!(services.find_service("s-7").is_none());
        assert_eq!(services.deadlines.lock().len(), 0);
        assert!(services.graveyard.lock().departures.is_empty());
    }

    #[test]
    fn a_watcher_that_was_away_too_long_is_told_everything() {
        let services = services();
        register(&services, "orders", "o-1", at(0));
        register(&services, "orders", "o-2", at(0));
        let before = services.revision();
        services.delete_instance("o-1", None, at(0));
        services.tick(at(REMEMBER_DEPARTURES_FOR - 1));
        assert_eq!(owed_since(&services, before), Owed::Changes);
        services.tick(at(REMEMBER_DEPARTURES_FOR));
        assert_eq!(owed_since(&services, before), Owed::AtOnce);
        assert_eq!(owed_since(&services, services.revision()), Owed::Nothing);
    }

    #[test]
    fn more_departures_than_are_remembered_raise_the_floor_of_their_service() {
        let services = services();
        let before = services.revision();
        for number in 0..1_100 {
            register(&services, "orders", &format!("o-{number}"), at(0));
            services.delete_instance(&format!("o-{number}"), None, at(0));
        }
        let names = ["orders".into()];
        let since = |since| Wanted { names: Some(&names), fresh: &[], since: Some(since) };
        assert_eq!(services.owed(&since(before)), Owed::AtOnce);
        assert_eq!(services.owed(&since(services.revision() - 1)), Owed::Changes);
    }
}
