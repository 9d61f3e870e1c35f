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

use super::connection::ServerKind;
use crate::error::Error;
use crate::model::Instance;
use crate::registry::types::{RegistryEntry, ReportedHealth};

/// The address an instance listens on. It identifies the instance within its service.
pub(super) type InstanceAddress = (String, u16);

/// The registrations of this process for one service.
#[derive(Debug, Default)]
pub(super) struct RegistrationSet {
    pub(super) registered: BTreeMap<InstanceAddress, RegisteredInstance>,
    /// The instances that were deregistered, and the connection that may still hold each of them.
    pub(super) deregistered: BTreeMap<InstanceAddress, (RegistryEntry, u64)>,
}

/// A registered instance.
#[derive(Debug)]
pub(super) struct RegisteredInstance {
    pub(super) entry: RegistryEntry,
    /// When it was registered, and when it was last changed.
    pub(super) since: (String, String),
    /// The connection that sent it last, whether the request succeeded or not; 0: none.
    pub(super) sent: u64,
    /// The state that the server has accepted.
    pub(super) accepted: Option<AcceptedState>,
    /// The connection on which its registration was confirmed to the caller.
    pub(super) confirmed: u64,
    /// How many reads in a row did not contain it.
    pub(super) missing: u32,
    /// Why the server rejects it in its current form, and the connection on which it did.
    pub(super) rejected: Option<(u64, Error)>,
}

/// The state of an instance that the server has accepted.
#[derive(Clone, Debug)]
pub(super) struct AcceptedState {
    pub(super) epoch: u64,
    pub(super) instance: Instance,
    pub(super) health: ReportedHealth,
    pub(super) at: crate::clock::Tick,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RegistrationStep {
    /// Registers these instances: as a batch if there are several.
    Register(BTreeSet<InstanceAddress>),
    /// Announces these instances without metadata and with weight 0.
    Announce(BTreeSet<InstanceAddress>),
    /// Deregisters this instance.
    Deregister(InstanceAddress),
}

impl RegisteredInstance {
    /// Whether the server has accepted the current state on this connection.
    pub(super) fn is_accepted(&self, epoch: u64) -> bool {
        self.accepted.as_ref().is_some_and(|accepted| {
            accepted.epoch == epoch
                && accepted.instance == self.entry.instance
                && accepted.health == self.entry.health
        })
    }

    /// Why this connection must not send it.
    pub(super) fn rejection(&self, epoch: u64) -> Option<&Error> {
        self.rejected.as_ref().filter(|(by, _)| *by == epoch).map(|(_, error)| error)
    }

    fn is_known_to(&self, epoch: u64) -> bool {
        self.accepted.as_ref().is_some_and(|accepted| accepted.epoch == epoch)
    }
}

impl RegistrationSet {
    /// Adds or replaces an entry.
    pub(super) fn put(&mut self, entry: &RegistryEntry, now: &str) {
        let address = address_of(entry);
        let registered = self.registered.entry(address).or_insert_with(|| RegisteredInstance {
            entry: entry.clone(),
            since: (now.to_owned(), now.to_owned()),
            sent: 0,
            accepted: None,
            confirmed: 0,
            missing: 0,
            rejected: None,
        });
        if registered.entry.instance != entry.instance {
            registered.rejected = None;
        }
        if registered.entry.generation != entry.generation {
            registered.since = (now.to_owned(), now.to_owned());
            // The server holds the state of another registration.
            registered.confirmed = 0;
        } else if registered.entry != *entry {
            now.clone_into(&mut registered.since.1);
        }
        registered.entry = entry.clone();
    }

    /// Removes an entry, unless another registration has replaced it.
    pub(super) fn remove(&mut self, entry: &RegistryEntry) {
        let address = address_of(entry);
        if self
            .registered
            .get(&address)
            .is_some_and(|registered| registered.entry.generation == entry.generation)
        {
            let Some(registered) = self.registered.remove(&address) else { return };
            if registered.sent != 0 {
                self.deregistered.insert(address, (registered.entry, registered.sent));
            }
        }
    }

    /// The requests that this connection has to send.
    pub(super) fn plan(&self, server_kind: ServerKind, epoch: u64) -> Vec<RegistrationStep> {
        let deregistered = self
            .deregistered
            .iter()
            .filter(|(address, (_, by))| *by == epoch && !self.registered.contains_key(*address));
        let mut deregistered = deregistered.map(|(address, _)| address.clone());
        let meant = || self.registered.iter().filter(|(_, registered)| registered.rejection(epoch).is_none());
        let untold = || meant().filter(|(_, registered)| !registered.is_accepted(epoch));
        let addresses = |of: &mut dyn Iterator<Item = (&InstanceAddress, &RegisteredInstance)>| -> BTreeSet<InstanceAddress> {
            of.map(|(address, _)| address.clone()).collect()
        };
        match server_kind {
            ServerKind::Nacos => match deregistered.next() {
                Some(last) if meant().next().is_none() => vec![RegistrationStep::Deregister(last)],
                None if untold().next().is_none() => Vec::new(),
                _ => vec![RegistrationStep::Register(addresses(&mut meant()))],
            },
            ServerKind::Rnacos => {
                let new = addresses(&mut untold().filter(|(_, registered)| !registered.is_known_to(epoch)));
                let mut steps: Vec<RegistrationStep> =
                    deregistered.map(RegistrationStep::Deregister).collect();
                steps.extend([
                    RegistrationStep::Announce(new),
                    RegistrationStep::Register(addresses(&mut untold())),
                ]);
                steps.retain(|step| !step.is_empty());
                steps
            }
        }
    }
}

impl RegistrationStep {
    fn is_empty(&self) -> bool {
        match self {
            RegistrationStep::Register(addresses) | RegistrationStep::Announce(addresses) => {
                addresses.is_empty()
            }
            RegistrationStep::Deregister(_) => false,
        }
    }
}

/// The address of an entry.
pub(super) fn address_of(entry: &RegistryEntry) -> InstanceAddress {
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

    fn at(ports: impl IntoIterator<Item = u16>) -> BTreeSet<InstanceAddress> {
        ports.into_iter().map(|port| ("h".to_owned(), port)).collect()
    }

    fn one(port: u16) -> InstanceAddress {
        ("h".into(), port)
    }

    fn put(set: &mut RegistrationSet, entry: &RegistryEntry) {
        set.put(entry, "now");
    }

    /// Marks all registrations as accepted by the server.
    fn taken(set: &mut RegistrationSet, epoch: u64) {
        set.deregistered.clear();
        for registered in set.registered.values_mut() {
            let RegistryEntry { instance, health, .. } = registered.entry.clone();
            registered.sent = epoch;
            registered.accepted = Some(AcceptedState { epoch, instance, health, at: clock::now() });
        }
    }

    fn holding(ports: impl IntoIterator<Item = u16>) -> RegistrationSet {
        let mut set = RegistrationSet::default();
        ports.into_iter().for_each(|port| put(&mut set, &entry(port, "g")));
        taken(&mut set, 1);
        set
    }

    #[test]
    fn sends_the_whole_set_to_nacos_after_any_change() {
        let mut set = RegistrationSet::default();
        assert!(set.plan(ServerKind::Nacos, 1).is_empty());
        put(&mut set, &entry(1, "g"));
        assert_eq!(set.plan(ServerKind::Nacos, 1), [RegistrationStep::Register(at([1]))]);
        taken(&mut set, 1);
        assert!(set.plan(ServerKind::Nacos, 1).is_empty());
        put(&mut set, &entry(2, "g"));
        assert_eq!(set.plan(ServerKind::Nacos, 1), [RegistrationStep::Register(at([1, 2]))]);
        taken(&mut set, 1);
        set.remove(&entry(1, "g"));
        assert_eq!(set.plan(ServerKind::Nacos, 1), [RegistrationStep::Register(at([2]))]);
        taken(&mut set, 1);
        set.remove(&entry(2, "g"));
        assert_eq!(set.plan(ServerKind::Nacos, 1), [RegistrationStep::Deregister(one(2))]);
        assert!(set.plan(ServerKind::Nacos, 2).is_empty(), "another connection holds nothing");
    }

    #[test]
    fn announces_new_instances_to_rnacos_before_registering() {
        let mut set = holding([1, 2, 3]);
        put(&mut set, &entry(4, "g"));
        let mut changed = entry(2, "g");
        changed.instance.version = "v2".into();
        put(&mut set, &changed);
        set.remove(&entry(3, "g"));
        let steps = set.plan(ServerKind::Rnacos, 1);
        assert_eq!(
            steps,
            [
                RegistrationStep::Deregister(one(3)),
                RegistrationStep::Announce(at([4])),
                RegistrationStep::Register(at([2, 4]))
            ]
        );
        assert_eq!(
            set.plan(ServerKind::Rnacos, 2),
            [RegistrationStep::Announce(at([1, 2, 4])), RegistrationStep::Register(at([1, 2, 4]))]
        );
    }

    #[test]
    fn removal_keeps_a_newer_registration() {
        let mut set = holding([1]);
        put(&mut set, &entry(1, "later"));
        set.remove(&entry(1, "g"));
        assert_eq!((set.registered.len(), set.deregistered.len()), (1, 0));
    }

    #[test]
    fn skips_rejected_instances_until_they_or_the_connection_change() {
        let mut set = holding([1]);
        put(&mut set, &entry(2, "g"));
        set.registered.get_mut(&one(2)).unwrap().rejected = Some((1, Error::invalid("too much")));
        assert!(set.plan(ServerKind::Nacos, 1).is_empty() && set.plan(ServerKind::Rnacos, 1).is_empty());
        assert_eq!(set.plan(ServerKind::Nacos, 2), [RegistrationStep::Register(at([1, 2]))]);
        set.remove(&entry(1, "g"));
        assert_eq!(set.plan(ServerKind::Nacos, 1), [RegistrationStep::Deregister(one(1))]);
        let mut changed = entry(2, "g");
        changed.instance.version = "v2".into();
        put(&mut set, &changed);
        assert_eq!(set.plan(ServerKind::Nacos, 1), [RegistrationStep::Register(at([2]))]);
    }

    #[test]
    fn sends_a_change_of_health() {
        let mut set = holding([1]);
        put(&mut set, &RegistryEntry { health: ReportedHealth::Reported(false), ..entry(1, "g") });
        for server_kind in [ServerKind::Nacos, ServerKind::Rnacos] {
            assert_eq!(set.plan(server_kind, 1), [RegistrationStep::Register(at([1]))]);
        }
    }
}
