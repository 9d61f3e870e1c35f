//! The requests that bring a server up to date with the registrations of one service. Pure.
//!
//! **Nacos** keeps one set per connection and service. `registerInstance` replaces it by one instance, a batch replaces it
//! by several, and `deregisterInstance` empties it. So after any change the whole set is sent.
//!
//! **rnacos** keeps each instance separately, and a batch only adds instances. The first metadata of an instance outlives
//! it by a minute and overrides later registrations, even after a deregistration; but only if it was not empty. So an
//! instance is first announced without metadata and with weight 0, then registered: from then on each registration replaces
//! its metadata.

use std::collections::{BTreeMap, BTreeSet};

use super::link::Flavour;
use crate::error::Error;
use crate::model::Instance;
use crate::registry::types::{RegistryEntry, ReportedHealth};

/// The address an instance listens on. It identifies the instance within its service.
pub(super) type Place = (String, u16);

/// The registrations of this process for one service.
#[derive(Debug, Default)]
pub(super) struct Ours {
    pub(super) held: BTreeMap<Place, Held>,
    /// The instances that were deregistered, and the connection that may still hold each of them.
    pub(super) leaving: BTreeMap<Place, (RegistryEntry, u64)>,
}

/// A registered instance.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) entry: RegistryEntry,
    /// When it was registered, and when it was last changed.
    pub(super) since: (String, String),
    /// The connection that sent it last, whether the request succeeded or not; 0: none.
    pub(super) sent: u64,
    /// The state that the server has accepted.
    pub(super) written: Option<Written>,
    /// The connection on which its registration was confirmed to the caller.
    pub(super) confirmed: u64,
    /// How many reads in a row did not contain it.
    pub(super) missing: u32,
    /// Why the server rejects it in its current form, and the connection on which it did.
    pub(super) refused: Option<(u64, Error)>,
}

/// The state of an instance that the server has accepted.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) epoch: u64,
    pub(super) instance: Instance,
    pub(super) health: ReportedHealth,
    pub(super) at: crate::clock::Tick,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Registers these instances: as a batch if there are several.
    Tell(BTreeSet<Place>),
    /// Announces these instances without metadata and with weight 0.
    Announce(BTreeSet<Place>),
    /// Deregisters this instance.
    Remove(Place),
}

impl Held {
    /// Whether the server has accepted the current state on this connection.
    pub(super) fn is_told(&self, epoch: u64) -> bool {
        self.written.as_ref().is_some_and(|written| {
            written.epoch == epoch
                && written.instance == self.entry.instance
                && written.health == self.entry.health
        })
    }

    /// Why this connection must not send it.
    pub(super) fn refusal(&self, epoch: u64) -> Option<&Error> {
        self.refused.as_ref().filter(|(by, _)| *by == epoch).map(|(_, error)| error)
    }

    fn is_known(&self, epoch: u64) -> bool {
        self.written.as_ref().is_some_and(|written| written.epoch == epoch)
    }
}

impl Ours {
    /// Adds or replaces an entry.
    pub(super) fn put(&mut self, entry: &RegistryEntry, now: &str) {
        let place = place_of(entry);
        let held = self.held.entry(place).or_insert_with(|| Held {
            entry: entry.clone(),
            since: (now.to_owned(), now.to_owned()),
            sent: 0,
            written: None,
            confirmed: 0,
            missing: 0,
            refused: None,
        });
        if held.entry.instance != entry.instance {
            held.refused = None;
        }
        if held.entry.generation != entry.generation {
            held.since = (now.to_owned(), now.to_owned());
            // The server holds the state of another registration.
            held.confirmed = 0;
        } else if held.entry != *entry {
            now.clone_into(&mut held.since.1);
        }
        held.entry = entry.clone();
    }

    /// Removes an entry, unless another registration has replaced it.
    pub(super) fn strike(&mut self, entry: &RegistryEntry) {
        let place = place_of(entry);
        if self.held.get(&place).is_some_and(|held| held.entry.generation == entry.generation) {
            let Some(held) = self.held.remove(&place) else { return };
            if held.sent != 0 {
                self.leaving.insert(place, (held.entry, held.sent));
            }
        }
    }

    /// The requests that this connection has to send.
    pub(super) fn plan(&self, flavour: Flavour, epoch: u64) -> Vec<Step> {
        let leaving =
            self.leaving.iter().filter(|(place, (_, by))| *by == epoch && !self.held.contains_key(*place));
        let mut leaving = leaving.map(|(place, _)| place.clone());
        let meant = || self.held.iter().filter(|(_, held)| held.refusal(epoch).is_none());
        let untold = || meant().filter(|(_, held)| !held.is_told(epoch));
        let places = |of: &mut dyn Iterator<Item = (&Place, &Held)>| -> BTreeSet<Place> {
            of.map(|(place, _)| place.clone()).collect()
        };
        match flavour {
            Flavour::Nacos => match leaving.next() {
                Some(last) if meant().next().is_none() => vec![Step::Remove(last)],
                None if untold().next().is_none() => Vec::new(),
                _ => vec![Step::Tell(places(&mut meant()))],
            },
            Flavour::Rnacos => {
                let new = places(&mut untold().filter(|(_, held)| !held.is_known(epoch)));
                let mut steps: Vec<Step> = leaving.map(Step::Remove).collect();
                steps.extend([Step::Announce(new), Step::Tell(places(&mut untold()))]);
                steps.retain(|step| !step.is_empty());
                steps
            }
        }
    }
}

impl Step {
    fn is_empty(&self) -> bool {
        match self {
            Step::Tell(places) | Step::Announce(places) => places.is_empty(),
            Step::Remove(_) => false,
        }
    }
}

/// The address of an entry.
pub(super) fn place_of(entry: &RegistryEntry) -> Place {
    (entry.instance.host.clone(), entry.instance.port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn entry(port: u16, generation: &str) -> RegistryEntry {
        let instance = Instance::new("orders", port).host("h").weight(5);
        RegistryEntry { instance, generation: generation.into(), health: ReportedHealth::Unspecified }
    }

    fn at(ports: impl IntoIterator<Item = u16>) -> BTreeSet<Place> {
        ports.into_iter().map(|port| ("h".to_owned(), port)).collect()
    }

    fn one(port: u16) -> Place {
        ("h".into(), port)
    }

    fn put(ours: &mut Ours, entry: &RegistryEntry) {
        ours.put(entry, "now");
    }

    /// Marks all registrations as accepted by the server.
    fn taken(ours: &mut Ours, epoch: u64) {
        ours.leaving.clear();
        for held in ours.held.values_mut() {
            let RegistryEntry { instance, health, .. } = held.entry.clone();
            held.sent = epoch;
            held.written = Some(Written { epoch, instance, health, at: clock::now() });
        }
    }

    fn holding(ports: impl IntoIterator<Item = u16>) -> Ours {
        let mut ours = Ours::default();
        ports.into_iter().for_each(|port| put(&mut ours, &entry(port, "g")));
        taken(&mut ours, 1);
        ours
    }

    #[test]
    fn sends_the_whole_set_to_nacos_after_any_change() {
        let mut ours = Ours::default();
        assert!(ours.plan(Flavour::Nacos, 1).is_empty());
        put(&mut ours, &entry(1, "g"));
        assert_eq!(ours.plan(Flavour::Nacos, 1), [Step::Tell(at([1]))]);
        taken(&mut ours, 1);
        assert!(ours.plan(Flavour::Nacos, 1).is_empty());
        put(&mut ours, &entry(2, "g"));
        assert_eq!(ours.plan(Flavour::Nacos, 1), [Step::Tell(at([1, 2]))]);
        taken(&mut ours, 1);
        ours.strike(&entry(1, "g"));
        assert_eq!(ours.plan(Flavour::Nacos, 1), [Step::Tell(at([2]))]);
        taken(&mut ours, 1);
        ours.strike(&entry(2, "g"));
        assert_eq!(ours.plan(Flavour::Nacos, 1), [Step::Remove(one(2))]);
        assert!(ours.plan(Flavour::Nacos, 2).is_empty(), "another connection holds nothing");
    }

    #[test]
    fn announces_new_instances_to_rnacos_before_registering() {
        let mut ours = holding([1, 2, 3]);
        put(&mut ours, &entry(4, "g"));
        let mut changed = entry(2, "g");
        changed.instance.version = "v2".into();
        put(&mut ours, &changed);
        ours.strike(&entry(3, "g"));
        let steps = ours.plan(Flavour::Rnacos, 1);
        assert_eq!(steps, [Step::Remove(one(3)), Step::Announce(at([4])), Step::Tell(at([2, 4]))]);
        assert_eq!(ours.plan(Flavour::Rnacos, 2), [Step::Announce(at([1, 2, 4])), Step::Tell(at([1, 2, 4]))]);
    }

    #[test]
    fn removal_keeps_a_newer_registration() {
        let mut ours = holding([1]);
        put(&mut ours, &entry(1, "later"));
        ours.strike(&entry(1, "g"));
        assert_eq!((ours.held.len(), ours.leaving.len()), (1, 0));
    }

    #[test]
    fn skips_rejected_instances_until_they_or_the_connection_change() {
        let mut ours = holding([1]);
        put(&mut ours, &entry(2, "g"));
        ours.held.get_mut(&one(2)).unwrap().refused = Some((1, Error::invalid("too much")));
        assert!(ours.plan(Flavour::Nacos, 1).is_empty() && ours.plan(Flavour::Rnacos, 1).is_empty());
        assert_eq!(ours.plan(Flavour::Nacos, 2), [Step::Tell(at([1, 2]))]);
        ours.strike(&entry(1, "g"));
        assert_eq!(ours.plan(Flavour::Nacos, 1), [Step::Remove(one(1))]);
        let mut changed = entry(2, "g");
        changed.instance.version = "v2".into();
        put(&mut ours, &changed);
        assert_eq!(ours.plan(Flavour::Nacos, 1), [Step::Tell(at([2]))]);
    }

    #[test]
    fn sends_a_change_of_health() {
        let mut ours = holding([1]);
        put(&mut ours, &RegistryEntry { health: ReportedHealth::Reported(false), ..entry(1, "g") });
        for flavour in [Flavour::Nacos, Flavour::Rnacos] {
            assert_eq!(ours.plan(flavour, 1), [Step::Tell(at([1]))]);
        }
    }
}
