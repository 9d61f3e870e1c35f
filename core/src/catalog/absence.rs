//! Absence is not death: what to make of an endpoint that a registry no longer lists.
//!
//! A registry that was restarted empty, or stopped and continued, lists nobody although everybody lives. So
//! only a registry that is **settled** is believed about what it leaves out: one that has answered everything
//! for a whole TTL without a change of its epoch. Everything that lives has been heard of by it by then.
//! Until then the missing stay listed, *unconfirmed*, for two TTLs or until their first failure.
//!
//! ```text
//!   listed ──missing, settled──────────────────────────► gone
//!     ▲  └───missing, not settled──► unconfirmed ──2 TTL, or a failure──► gone
//!     └──────────listed again────────────┘           └──deleted on purpose──► gone
//! ```
//!
//! Pure: time comes in as an argument, nothing waits.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Tick;
use crate::membership::Listed;
use crate::model::{Endpoint, EndpointKey};
use crate::registry::{Absence, Listing, RecordId, RemovalReason};

/// Whether one registry is settled.
#[derive(Debug, Default)]
pub(super) struct Settling {
    epoch: Option<String>,
    /// When this epoch first answered, if it has answered everything since.
    since: Option<Tick>,
}

impl Settling {
    /// It answered; `epoch` is `None` where the answer does not tell.
    pub(super) fn answered(&mut self, epoch: Option<&str>, now: Tick) {
        let Some(epoch) = epoch else { return };
        if self.epoch.as_deref() != Some(epoch) {
            self.epoch = Some(epoch.to_owned());
            self.since = None;
        }
        self.since.get_or_insert(now);
    }

    /// It did not answer.
    pub(super) fn failed(&mut self) {
        self.since = None;
    }

    /// Whether it is settled.
    pub(super) fn is_settled(&self, ttl: Duration, now: Tick) -> bool {
        self.since.is_some_and(|since| now.since(since) >= ttl)
    }
}

/// What one registry has made us believe of one service.
#[derive(Debug, Default)]
pub(super) struct Belief {
    records: BTreeMap<(RecordId, IpAddr), Record>,
}

#[derive(Debug)]
struct Record {
    endpoint: Arc<Endpoint>,
    /// Until when it stays although it is missing.
    unconfirmed_until: Option<Tick>,
}

/// What a piece of news changed.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Whether the list is another one.
    pub(super) changed: bool,
    /// What is gone, and why.
    pub(super) gone: Vec<(Arc<Endpoint>, &'static str)>,
    /// What was registered anew, or is listed again.
    pub(super) returned: Vec<EndpointKey>,
}

/// How far a registry is trusted at the moment it speaks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trust {
    /// What it says of itself.
    pub(super) absence: Absence,
    /// Whether it is settled.
    pub(super) settled: bool,
    /// How long it keeps an instance.
    pub(super) ttl: Duration,
}

impl Belief {
    /// The registry listed the whole service.
    pub(super) fn heard(&mut self, listing: Listing, trust: Trust, now: Tick) -> Verdict {
        let mut verdict = Verdict::default();
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
                verdict.gone.push((record.endpoint.clone(), name_of(why)));
                verdict.changed = true;
                return false;
            }
            if record.unconfirmed_until.is_none() {
                record.unconfirmed_until = Some(now.after(trust.ttl * 2));
                verdict.changed = true;
            }
            true
        });
        for (key, endpoint) in listed {
            self.confirm(key, endpoint, &mut verdict);
        }
        verdict
    }

    /// Whether what is missing now is to be taken for gone.
    fn believes_absence(&self, trust: Trust, is_listed: impl Fn(&(RecordId, IpAddr)) -> bool) -> bool {
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

    fn confirm(&mut self, key: (RecordId, IpAddr), endpoint: Endpoint, verdict: &mut Verdict) {
        let Some(known) = self.records.get_mut(&key) else {
            verdict.changed = true;
            self.records.insert(key, Record { endpoint: Arc::new(endpoint), unconfirmed_until: None });
            return;
        };
        let anew = known.endpoint.generation != endpoint.generation;
        if anew || known.unconfirmed_until.is_some() {
            verdict.returned.push(endpoint.key());
        }
        let is_same = known.endpoint.same_as(&endpoint) && known.endpoint.source == endpoint.source;
        if known.unconfirmed_until.take().is_some() || !is_same {
            verdict.changed = true;
            known.endpoint = Arc::new(endpoint);
        }
    }

    /// An endpoint failed: if it was only kept because its absence was not believed, it is gone.
    pub(super) fn distrust(&mut self, key: &EndpointKey) -> Verdict {
        self.drop_unconfirmed("unreachable", |record, _| record.endpoint.key() == *key)
    }

    /// Those that were kept long enough are gone.
    pub(super) fn expire(&mut self, now: Tick) -> Verdict {
        self.drop_unconfirmed("missing", |_, until| until <= now)
    }

    fn drop_unconfirmed(&mut self, why: &'static str, ends: impl Fn(&Record, Tick) -> bool) -> Verdict {
        let mut verdict = Verdict::default();
        self.records.retain(|_, record| {
            let ended = record.unconfirmed_until.is_some_and(|until| ends(record, until));
            if ended {
                verdict.gone.push((record.endpoint.clone(), why));
                verdict.changed = true;
            }
            !ended
        });
        verdict
    }

    /// When [`Belief::expire`] next has something to do.
    pub(super) fn next_due(&self) -> Option<Tick> {
        self.records.values().filter_map(|record| record.unconfirmed_until).min()
    }

    /// What is believed to exist.
    pub(super) fn listed(&self) -> impl Iterator<Item = Listed> + '_ {
        self.records.values().map(|record| Listed {
            endpoint: record.endpoint.clone(),
            unconfirmed: record.unconfirmed_until.is_some(),
        })
    }

    /// How many that is.
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

    fn without(ports: impl IntoIterator<Item = u16>, removed: u16, why: RemovalReason) -> Listing {
        Listing {
            removed: vec![RemovedRecord { id: RecordId::of(&endpoint(removed)), reason: why }],
            ..list(ports)
        }
    }

    fn trust(absence: Absence, settled: bool) -> Trust {
        Trust { absence, settled, ttl: TTL }
    }

    fn at(seconds: u64) -> Tick {
        Tick::from_nanos(1).after(Duration::from_secs(seconds))
    }

    fn ports(belief: &Belief) -> Vec<(u16, bool)> {
        let mut all: Vec<_> = belief.listed().map(|l| (l.endpoint.port, l.unconfirmed)).collect();
        all.sort_unstable();
        all
    }

    fn believing(count: u16) -> Belief {
        let mut belief = Belief::default();
        belief.heard(list(1..=count), trust(Absence::AfterSettling, false), at(0));
        belief
    }

    #[test]
    fn a_registry_settles_after_a_ttl_of_answers_from_one_epoch() {
        let mut settling = Settling::default();
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
    fn a_registry_that_restarted_empty_is_not_believed() {
        let mut belief = believing(3);
        let verdict = belief.heard(list([]), trust(Absence::AfterSettling, false), at(100));
        assert!(verdict.gone.is_empty() && verdict.changed);
        assert_eq!(ports(&belief), [(1, true), (2, true), (3, true)]);
        let verdict = belief.heard(list([2]), trust(Absence::AfterSettling, false), at(103));
        assert_eq!(verdict.returned, [endpoint(2).key()]);
        assert_eq!(ports(&belief), [(1, true), (2, false), (3, true)]);
        assert_eq!(belief.next_due(), Some(at(130)));
        assert!(!belief.expire(at(129)).changed);
        assert_eq!(belief.expire(at(130)).gone.len(), 2);
        assert_eq!(ports(&belief), [(2, false)]);
    }

    #[test]
    fn a_settled_registry_is_believed_to_the_last_endpoint() {
        let mut belief = believing(1);
        let verdict = belief.heard(list([]), trust(Absence::AfterSettling, true), at(100));
        assert_eq!((verdict.gone.len(), belief.len()), (1, 0));
    }

    #[test]
    fn what_was_deleted_on_purpose_is_gone_at_once() {
        let mut belief = believing(2);
        let trust = trust(Absence::AfterSettling, false);
        let verdict = belief.heard(without([2], 1, RemovalReason::Deleted), trust, at(1));
        assert_eq!(verdict.gone.iter().map(|(_, why)| *why).collect::<Vec<_>>(), ["deleted"]);
        belief.heard(without([], 2, RemovalReason::Expired), trust, at(1));
        assert_eq!(ports(&belief), [(2, true)], "expiry of an unsettled registry is only absence");
        belief.heard(without([], 2, RemovalReason::Deleted), trust, at(2));
        assert!(ports(&belief).is_empty(), "even while unconfirmed");
    }

    #[test]
    fn the_polled_original_is_not_believed_about_more_than_half() {
        let settled = trust(Absence::AfterSettlingIfFew, true);
        let mut belief = believing(4);
        belief.heard(list([1, 2]), settled, at(1));
        assert_eq!(ports(&belief), [(1, false), (2, false)]);
        belief.heard(list([]), settled, at(2));
        assert_eq!(ports(&belief), [(1, true), (2, true)]);
        belief.heard(list([]), settled, at(7));
        assert_eq!(belief.next_due(), Some(at(32)), "a second look does not prolong it");
    }

    #[test]
    fn an_unconfirmed_endpoint_goes_with_its_first_failure() {
        let mut belief = believing(2);
        belief.heard(list([2]), trust(Absence::AfterSettling, false), at(1));
        assert!(!belief.distrust(&endpoint(2).key()).changed, "a confirmed one stays");
        assert_eq!(belief.distrust(&endpoint(1).key()).gone.len(), 1);
        assert_eq!(ports(&belief), [(2, false)]);
    }

    #[test]
    fn another_generation_is_a_return() {
        let mut belief = believing(1);
        let mut listing = list([1]);
        listing.endpoints[0].generation = "g2".into();
        assert_eq!(belief.heard(listing, trust(Absence::Authoritative, true), at(1)).returned.len(), 1);
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

        /// Whatever a registry says: who is listed is listed; who is kept was listed less than two TTLs ago, or
        /// was missing from a registry that was not settled; nothing is kept past its time.
        #[test]
        fn nothing_listed_is_lost_and_nothing_is_kept_for_ever(events in prop::collection::vec(event(), 1..60)) {
            let (mut belief, mut settling, mut now) = (Belief::default(), Settling::default(), 0);
            for event in events {
                match event {
                    Event::Answer { lives, deleted, epoch } => {
                        settling.answered(Some(&epoch.to_string()), at(now));
                        let settled = settling.is_settled(TTL, at(now));
                        let before = ports(&belief);
                        let deleted = deleted.filter(|port| !lives.contains(port));
                        let mut listing = list(lives.clone());
                        listing.removed.extend(deleted.map(|port| RemovedRecord { id: RecordId::of(&endpoint(port)), reason: RemovalReason::Deleted }));
                        belief.heard(listing, trust(Absence::AfterSettling, settled), at(now));
                        let after = ports(&belief);
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
                        belief.expire(at(now));
                        prop_assert!(belief.next_due().is_none_or(|due| due > at(now) && due <= at(now).after(TTL * 2)));
                    }
                }
            }
            belief.expire(at(now + 31));
            prop_assert!(ports(&belief).iter().all(|(_, unconfirmed)| !unconfirmed));
        }
    }
}
