//! What has to be sent so that a server knows what this program has registered of one service. Pure.
//!
//! **Nacos** keeps one set for each connection and service: `registerInstance` makes it a set of one, a batch replaces
//! it, `deregisterInstance` empties it. So whatever changes, the whole set is sent.
//!
//! **rnacos** keeps each instance by itself, and a batch only adds to them. Its first metadata outlives an instance by
//! a minute, and stands against whatever is registered meanwhile, deregistered before or not; but only if there was any.
//! So an instance is registered without a word first, not to be called, and then as it is: from then on each
//! registration replaces what it says.

use std::collections::{BTreeMap, BTreeSet};

use super::link::Flavour;
use crate::error::Error;
use crate::model::Instance;
use crate::registry::{Entry, Health};

/// Where an instance listens: what tells it from others of its service.
pub(super) type Place = (String, u16);

/// What this program has registered of one service.
#[derive(Debug, Default)]
pub(super) struct Ours {
    pub(super) held: BTreeMap<Place, Held>,
    /// What is registered no more, and the connection that may still hold it.
    pub(super) leaving: BTreeMap<Place, (Entry, u64)>,
}

/// One of these.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) entry: Entry,
    /// Since when it is registered, and since when so.
    pub(super) since: (String, String),
    /// What was sent last, whether it arrived or not, and by which connection; 0: none.
    pub(super) sent: u64,
    /// What the server has taken.
    pub(super) written: Option<Written>,
    /// The connection under which its registration was answered.
    pub(super) confirmed: u64,
    /// How many looks in a row have not found it.
    pub(super) missing: u32,
    /// Why the server does not take it as it is, and the connection that was told so.
    pub(super) refused: Option<(u64, Error)>,
}

/// What the server has taken.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) epoch: u64,
    pub(super) instance: Instance,
    pub(super) health: Health,
    pub(super) at: crate::clock::Tick,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// These, as they are: one by one where it is only one.
    Tell(BTreeSet<Place>),
    /// These, without a word and not to be called.
    Announce(BTreeSet<Place>),
    /// This one is no more.
    Remove(Place),
}

impl Held {
    /// Whether the server has taken what is to be said, by this connection.
    pub(super) fn is_told(&self, epoch: u64) -> bool {
        self.written.as_ref().is_some_and(|written| {
            written.epoch == epoch
                && written.instance == self.entry.instance
                && written.health == self.entry.health
        })
    }

    /// Why this connection has nothing to say of it.
    pub(super) fn refusal(&self, epoch: u64) -> Option<&Error> {
        self.refused.as_ref().filter(|(by, _)| *by == epoch).map(|(_, error)| error)
    }

    fn is_known(&self, epoch: u64) -> bool {
        self.written.as_ref().is_some_and(|written| written.epoch == epoch)
    }
}

impl Ours {
    /// An entry as it is from now on.
    pub(super) fn put(&mut self, entry: &Entry, now: &str) {
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
            // What the server holds is somebody else's.
            held.confirmed = 0;
        } else if held.entry != *entry {
            now.clone_into(&mut held.since.1);
        }
        held.entry = entry.clone();
    }

    /// The entry is no more; where another has taken its place, that one stays.
    pub(super) fn strike(&mut self, entry: &Entry) {
        let place = place_of(entry);
        if self.held.get(&place).is_some_and(|held| held.entry.generation == entry.generation) {
            let Some(held) = self.held.remove(&place) else { return };
            if held.sent != 0 {
                self.leaving.insert(place, (held.entry, held.sent));
            }
        }
    }

    /// What this connection has to send.
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

/// Where an entry listens.
pub(super) fn place_of(entry: &Entry) -> Place {
    (entry.instance.host.clone(), entry.instance.port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn entry(port: u16, generation: &str) -> Entry {
        let instance = Instance::new("orders", port).host("h").weight(5);
        Entry { instance, generation: generation.into(), health: Health::Unsaid }
    }

    fn at(ports: impl IntoIterator<Item = u16>) -> BTreeSet<Place> {
        ports.into_iter().map(|port| ("h".to_owned(), port)).collect()
    }

    fn one(port: u16) -> Place {
        ("h".into(), port)
    }

    fn put(ours: &mut Ours, entry: &Entry) {
        ours.put(entry, "now");
    }

    /// As if the server had taken all of it.
    fn taken(ours: &mut Ours, epoch: u64) {
        ours.leaving.clear();
        for held in ours.held.values_mut() {
            let Entry { instance, health, .. } = held.entry.clone();
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
    fn nacos_is_told_the_whole_set_whatever_changes() {
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
        assert!(ours.plan(Flavour::Nacos, 2).is_empty(), "another connection holds nothing of it");
    }

    #[test]
    fn rnacos_is_told_what_is_new_twice_and_what_changed_once() {
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
    fn whoever_has_taken_a_place_is_not_struck_with_whoever_had_it() {
        let mut ours = holding([1]);
        put(&mut ours, &entry(1, "later"));
        ours.strike(&entry(1, "g"));
        assert_eq!((ours.held.len(), ours.leaving.len()), (1, 0));
    }

    #[test]
    fn whoever_is_refused_is_left_out_until_it_is_another_or_the_connection_is() {
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
    fn health_is_told_like_anything_else() {
        let mut ours = holding([1]);
        put(&mut ours, &Entry { health: Health::Says(false), ..entry(1, "g") });
        for flavour in [Flavour::Nacos, Flavour::Rnacos] {
            assert_eq!(ours.plan(flavour, 1), [Step::Tell(at([1]))]);
        }
    }
}
