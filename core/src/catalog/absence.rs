//! Decides what happens to an endpoint that a registry no longer lists.
//!
//! A registry that restarted empty, or was suspended and resumed, lists no endpoints although all of them are alive. The
//! absence of an endpoint therefore counts only if the registry is **settled**: it has answered every request for a
//! whole TTL without a change of its epoch. By then every live instance has renewed its registration there. Until
//! then a missing endpoint stays listed as *unconfirmed*, for two TTLs or until its first failure.
//!
//! ```text
//!   listed ──missing, settled──────────────────────────► gone
//!     ▲  └───missing, not settled──► unconfirmed ──2 TTL, or a failure──► gone
//!     └──────────listed again────────────┘           └──deleted on purpose──► gone
//! ```
//!
//! Pure: time is an argument.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Tick;
use crate::membership::ListedEndpoint;
use crate::model::{Endpoint, EndpointKey};
use crate::registry::{Absence, Listing, RecordId, RemovalReason};

/// Tracks the epoch of one registry, and whether it is settled.
#[derive(Debug, Default)]
pub(super) struct EpochTracker {
    epoch: Option<String>,
    /// When this epoch first answered, if it has answered every request since.
    since: Option<Tick>,
}

impl EpochTracker {
    /// The registry answered; `epoch` is `None` if the response does not contain it.
    pub(super) fn answered(&mut self, epoch: Option<&str>, now: Tick) {
        let Some(epoch) = epoch else { return };
        if self.epoch.as_deref() != Some(epoch) {
            self.epoch = Some(epoch.to_owned());
            self.since = None;
        }
        self.since.get_or_insert(now);
    }

    /// The registry did not answer.
    pub(super) fn failed(&mut self) {
        self.since = None;
    }

    /// Whether the registry is settled.
    pub(super) fn is_settled(&self, ttl: Duration, now: Tick) -> bool {
        self.since.is_some_and(|since| now.since(since) >= ttl)
    }
}

/// The endpoints of one service at one registry, with those that are unconfirmed.
#[derive(Debug, Default)]
pub(super) struct SourceRecords {
    records: BTreeMap<(RecordId, IpAddr), Record>,
}

#[derive(Debug)]
struct Record {
    endpoint: Arc<Endpoint>,
    /// Until when it stays listed although the registry no longer lists it.
    unconfirmed_until: Option<Tick>,
}

/// The effect of an update on the list.
#[derive(Debug, Default)]
pub(super) struct ListChanges {
    /// Whether the list changed.
    pub(super) changed: bool,
    /// The removed endpoints, with the reason.
    pub(super) gone: Vec<(Arc<Endpoint>, &'static str)>,
    /// The endpoints that were registered again or are listed again.
    pub(super) returned: Vec<EndpointKey>,
}

/// How the absence of an endpoint in an update is treated.
#[derive(Clone, Copy, Debug)]
pub(super) struct AbsencePolicy {
    /// The policy of the registry.
    pub(super) absence: Absence,
    /// Whether it is settled.
    pub(super) settled: bool,
    /// How long the registry keeps an instance.
    pub(super) ttl: Duration,
}

impl SourceRecords {
    /// Applies a complete list of the service.
    pub(super) fn apply_list(&mut self, listing: Listing, trust: AbsencePolicy, now: Tick) -> ListChanges {
        let mut changes = ListChanges::default();
        let why: HashMap<RecordId, RemovalReason> =
            listing.removed.into_iter().map(|removed| (removed.id, removed.reason)).collect();
        let listed: BTreeMap<(RecordId, IpAddr), Endpoint> = listing
            .endpoints
            .into_iter()
            .map(|endpoint| ((RecordId::of(&endpoint), endpoint.ip), endpoint))
            .collect();
        let believed = self.believes_absence(trust, |key| listed.contains_key(key));
        self.records.retain(|key, record| {
            if listed.contains_key(key) {
                return true;
            }
            let why = why.get(&key.0).copied();
            if why == Some(RemovalReason::Deleted) || (believed && record.unconfirmed_until.is_none()) {
                changes.gone.push((record.endpoint.clone(), name_of(why)));
                changes.changed = true;
                return false;
            }
            if record.unconfirmed_until.is_none() {
                record.unconfirmed_until = Some(now.after(trust.ttl * 2));
                changes.changed = true;
            }
            true
        });
        for (key, endpoint) in listed {
            self.confirm(key, endpoint, &mut changes);
        }
        changes
    }

    /// Whether missing endpoints are removed at once.
    fn believes_absence(
        &self,
        trust: AbsencePolicy,
        is_listed: impl Fn(&(RecordId, IpAddr)) -> bool,
    ) -> bool {
        match trust.absence {
            Absence::Authoritative => true,
            Absence::AfterSettling => trust.settled,
            Absence::AfterSettlingIfFew => {
                let confirmed = self.records.iter().filter(|(_, record)| record.unconfirmed_until.is_none());
                let (all, missing) = confirmed.fold((0, 0), |(all, missing), (key, _)| {
                    (all + 1, missing + usize::from(!is_listed(key)))
                });
                trust.settled && missing * 2 <= all
            }
        }
    }

    fn confirm(&mut self, key: (RecordId, IpAddr), endpoint: Endpoint, changes: &mut ListChanges) {
        let Some(entry) = self.records.get_mut(&key) else {
            changes.changed = true;
            self.records.insert(key, Record { endpoint: Arc::new(endpoint), unconfirmed_until: None });
            return;
        };
        let is_reregistered = entry.endpoint.generation != endpoint.generation;
        if is_reregistered || entry.unconfirmed_until.is_some() {
            changes.returned.push(endpoint.key());
        }
        let is_same = entry.endpoint.same_as(&endpoint) && entry.endpoint.source == endpoint.source;
        if entry.unconfirmed_until.take().is_some() || !is_same {
            changes.changed = true;
            entry.endpoint = Arc::new(endpoint);
        }
    }

    /// An endpoint failed: removes it if it is unconfirmed.
    pub(super) fn distrust(&mut self, key: &EndpointKey) -> ListChanges {
        self.drop_unconfirmed("unreachable", |record, _| record.endpoint.key() == *key)
    }

    /// Removes unconfirmed endpoints whose time has passed.
    pub(super) fn expire(&mut self, now: Tick) -> ListChanges {
        self.drop_unconfirmed("missing", |_, until| until <= now)
    }

    fn drop_unconfirmed(&mut self, why: &'static str, ends: impl Fn(&Record, Tick) -> bool) -> ListChanges {
        let mut changes = ListChanges::default();
        self.records.retain(|_, record| {
            let ended = record.unconfirmed_until.is_some_and(|until| ends(record, until));
            if ended {
                changes.gone.push((record.endpoint.clone(), why));
                changes.changed = true;
            }
            !ended
        });
        changes
    }

    /// When [`SourceRecords::expire`] next has something to do.
    pub(super) fn next_due(&self) -> Option<Tick> {
        self.records.values().filter_map(|record| record.unconfirmed_until).min()
    }

    /// The endpoints of the list.
    pub(super) fn listed(&self) -> impl Iterator<Item = ListedEndpoint> + '_ {
        self.records.values().map(|record| ListedEndpoint {
            endpoint: record.endpoint.clone(),
            unconfirmed: record.unconfirmed_until.is_some(),
        })
    }

    /// The number of endpoints.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }
}

const fn name_of(why: Option<RemovalReason>) -> &'static str {
    match why {
        Some(RemovalReason::Deleted) => "deleted",
        Some(RemovalReason::Expired) => "expired",
        None => "missing",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;
    use crate::registry::RemovedRecord;

    const TTL: Duration = Duration::from_secs(15);

    fn endpoint(port: u16) -> Endpoint {
        Endpoint::new("orders", "10.0.0.7".parse().unwrap(), port)
    }

    fn list(ports: impl IntoIterator<Item = u16>) -> Listing {
        Listing { endpoints: ports.into_iter().map(endpoint).collect(), removed: Vec::new() }
    }

    fn without(ports: impl IntoIterator<Item = u16>, removed: u16, reason: RemovalReason) -> Listing {
        Listing {
            removed: vec![RemovedRecord { id: RecordId::of(&endpoint(removed)), reason }],
            ..list(ports)
        }
    }

    fn trust(absence: Absence, settled: bool) -> AbsencePolicy {
        AbsencePolicy { absence, settled, ttl: TTL }
    }

    fn at(seconds: u64) -> Tick {
        Tick::from_nanos(1).after(Duration::from_secs(seconds))
    }

    fn ports(records: &SourceRecords) -> Vec<(u16, bool)> {
        let mut all: Vec<_> = records.listed().map(|l| (l.endpoint.port, l.unconfirmed)).collect();
        all.sort_unstable();
        all
    }

    fn believing(count: u16) -> SourceRecords {
        let mut records = SourceRecords::default();
        records.apply_list(list(1..=count), trust(Absence::AfterSettling, false), at(0));
        records
    }

    #[test]
    fn registry_settles_after_one_ttl_in_one_epoch() {
        let mut settling = EpochTracker::default();
        settling.answered(Some("a"), at(0));
        settling.answered(Some("a"), at(10));
        assert!(!settling.is_settled(TTL, at(14)) && settling.is_settled(TTL, at(15)));
        settling.answered(None, at(15));
        assert!(settling.is_settled(TTL, at(15)));
        settling.failed();
        settling.answered(Some("a"), at(20));
        assert!(!settling.is_settled(TTL, at(30)) && settling.is_settled(TTL, at(35)));
        settling.answered(Some("b"), at(40));
        assert!(!settling.is_settled(TTL, at(54)) && settling.is_settled(TTL, at(55)));
    }

    #[test]
    fn empty_list_of_unsettled_registry_removes_no_endpoint() {
        let mut records = believing(3);
        let changes = records.apply_list(list([]), trust(Absence::AfterSettling, false), at(100));
        assert!(changes.gone.is_empty() && changes.changed);
        assert_eq!(ports(&records), [(1, true), (2, true), (3, true)]);
        let changes = records.apply_list(list([2]), trust(Absence::AfterSettling, false), at(103));
        assert_eq!(changes.returned, [endpoint(2).key()]);
        assert_eq!(ports(&records), [(1, true), (2, false), (3, true)]);
        assert_eq!(records.next_due(), Some(at(130)));
        assert!(!records.expire(at(129)).changed);
        assert_eq!(records.expire(at(130)).gone.len(), 2);
        assert_eq!(ports(&records), [(2, false)]);
    }

    #[test]
    fn empty_list_of_settled_registry_removes_endpoints() {
        let mut records = believing(1);
        let changes = records.apply_list(list([]), trust(Absence::AfterSettling, true), at(100));
        assert_eq!((changes.gone.len(), records.len()), (1, 0));
    }

    #[test]
    fn deleted_endpoints_are_removed_at_once() {
        let mut records = believing(2);
        let trust = trust(Absence::AfterSettling, false);
        let changes = records.apply_list(without([2], 1, RemovalReason::Deleted), trust, at(1));
        assert_eq!(changes.gone.iter().map(|(_, why)| *why).collect::<Vec<_>>(), ["deleted"]);
        records.apply_list(without([], 2, RemovalReason::Expired), trust, at(1));
        assert_eq!(ports(&records), [(2, true)], "expiry of an unsettled registry is only absence");
        records.apply_list(without([], 2, RemovalReason::Deleted), trust, at(2));
        assert!(ports(&records).is_empty(), "even while unconfirmed");
    }

    #[test]
    fn polled_registry_cannot_remove_more_than_half_at_once() {
        let settled = trust(Absence::AfterSettlingIfFew, true);
        let mut records = believing(4);
        records.apply_list(list([1, 2]), settled, at(1));
        assert_eq!(ports(&records), [(1, false), (2, false)]);
        records.apply_list(list([]), settled, at(2));
        assert_eq!(ports(&records), [(1, true), (2, true)]);
        records.apply_list(list([]), settled, at(7));
        assert_eq!(records.next_due(), Some(at(32)), "a second look does not prolong it");
    }

    #[test]
    fn unconfirmed_endpoint_is_removed_at_its_first_failure() {
        let mut records = believing(2);
        records.apply_list(list([2]), trust(Absence::AfterSettling, false), at(1));
        assert!(!records.distrust(&endpoint(2).key()).changed, "a confirmed one stays");
        assert_eq!(records.distrust(&endpoint(1).key()).gone.len(), 1);
        assert_eq!(ports(&records), [(2, false)]);
    }

    #[test]
    fn new_generation_counts_as_returned() {
        let mut records = believing(1);
        let mut listing = list([1]);
        listing.endpoints[0].generation = "g2".into();
        assert_eq!(records.apply_list(listing, trust(Absence::Authoritative, true), at(1)).returned.len(), 1);
    }

    #[derive(Clone, Debug)]
    enum Event {
        Answer { lives: Vec<u16>, deleted: Option<u16>, epoch: u8 },
        Lost,
        Pass(u64),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            (prop::collection::vec(1u16..6, 0..6), prop::option::of(1u16..6), 0u8..3)
                .prop_map(|(lives, deleted, epoch)| Event::Answer { lives, deleted, epoch }),
            Just(Event::Lost),
            (1u64..20).prop_map(Event::Pass),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

        /// A listed endpoint is in the list; a kept endpoint was listed less than two TTLs ago, or the registry was not
        /// settled; no endpoint is kept past its time.
        #[test]
        fn keeps_listed_endpoints_and_drops_absent_ones_in_time(events in prop::collection::vec(event(), 1..60)) {
            let (mut records, mut settling, mut now) = (SourceRecords::default(), EpochTracker::default(), 0);
            for event in events {
                match event {
                    Event::Answer { lives, deleted, epoch } => {
                        settling.answered(Some(&epoch.to_string()), at(now));
                        let settled = settling.is_settled(TTL, at(now));
                        let before = ports(&records);
                        let deleted = deleted.filter(|port| !lives.contains(port));
                        let mut listing = list(lives.clone());
                        listing.removed.extend(deleted.map(|port| RemovedRecord { id: RecordId::of(&endpoint(port)), reason: RemovalReason::Deleted }));
                        records.apply_list(listing, trust(Absence::AfterSettling, settled), at(now));
                        let after = ports(&records);
                        for port in &lives {
                            prop_assert!(after.contains(&(*port, false)));
                        }
                        for (port, _) in before.iter().filter(|(port, _)| !lives.contains(port)) {
                            let kept = after.contains(&(*port, true));
                            prop_assert!(!(kept && deleted == Some(*port)));
                            prop_assert!(kept || settled || deleted == Some(*port));
                        }
                    }
                    Event::Lost => settling.failed(),
                    Event::Pass(seconds) => {
                        now += seconds;
                        records.expire(at(now));
                        prop_assert!(records.next_due().is_none_or(|due| due > at(now) && due <= at(now).after(TTL * 2)));
                    }
                }
            }
            records.expire(at(now + 31));
            prop_assert!(ports(&records).iter().all(|(_, unconfirmed)| !unconfirmed));
        }
    }
}
