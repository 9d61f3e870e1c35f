//! Several registries in an order: the first that answers is believed, the others wait for it to fail.
//!
//! ```text
//!   first ── answers ──► told
//!     └─ lost ─► second is watched and told, under another epoch ─┐
//!     ┌─────────────── first answers again ◄───────────────────────┘
//!     └─► first is told again, in full, under another epoch; the second is let go
//! ```
//!
//! Only when all are lost is the catalog told of a loss. Every switch is another epoch, so that what the one does
//! not list although the other did is not believed gone before it has had time to register there. Registrations
//! take no part in this: they go to each of the registries, whichever is read.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use super::web::is_away;
use super::{Absence, Registry, RegistryUpdate, Sink, Wait, Watch};
use crate::error::{Error, Kind, Result};
use crate::runtime::TaskQueue;
use crate::sync::Mutex;

/// Registries in the order in which they are asked.
pub struct Failover {
    source: Arc<str>,
    registries: Vec<Arc<dyn Registry>>,
    /// Which of them did not answer when last heard of.
    down: Mutex<Vec<bool>>,
}

impl Failover {
    /// At least two of them.
    pub fn new(registries: Vec<Arc<dyn Registry>>) -> Failover {
        let sources: Vec<&str> = registries.iter().map(|registry| &**registry.source()).collect();
        let source = sources.join(", ").into();
        let down = Mutex::new(vec![false; registries.len()]);
        Failover { source, registries, down }
    }

    /// Which one is believed: the first that is not down; the first of all where all are.
    fn active(&self) -> usize {
        self.down.lock().iter().position(|down| !down).unwrap_or_default()
    }

    fn set_down(&self, index: usize, is_down: bool) {
        self.down.lock()[index] = is_down;
    }

    fn is_all_down(&self) -> bool {
        self.down.lock().iter().all(|down| *down)
    }

    /// Asks in order; those that are down only when nobody else answers.
    fn ask<T>(&self, wait: &Wait<'_>, question: impl Fn(usize, &dyn Registry) -> Result<T>) -> Result<T> {
        let mut order: Vec<usize> = (0..self.registries.len()).collect();
        let down = self.down.lock().clone();
        order.sort_by_key(|index| down[*index]);
        let mut outcome = Err(Error::new(Kind::Internal, "no registry"));
        for index in order {
            outcome = question(index, &*self.registries[index]);
            match &outcome {
                Err(error) if is_away(error) && wait.left().is_ok() => self.set_down(index, true),
                Err(_) => return outcome,
                Ok(_) => {
                    self.set_down(index, false);
                    return outcome;
                }
            }
        }
        outcome
    }
}

/// What one of them said, as what all of them say: even one that cannot forget knows nothing of what only another
/// one was told.
fn under_its_name(index: usize, heard: RegistryUpdate) -> RegistryUpdate {
    let epoch = format!("{index} {}", heard.epoch.unwrap_or_default());
    let absence = if heard.absence == Absence::Final { Absence::WhenSettled } else { heard.absence };
    RegistryUpdate { epoch: Some(epoch), absence, ..heard }
}

impl Registry for Failover {
    fn source(&self) -> &Arc<str> {
        &self.source
    }

    fn is_writable(&self) -> bool {
        false
    }

    fn ttl(&self) -> Duration {
        self.registries[self.active()].ttl()
    }

    fn lane(&self) -> &Arc<TaskQueue> {
        self.registries[0].lane()
    }

    fn read(&self, service: &str, wait: &Wait<'_>) -> Result<RegistryUpdate> {
        self.ask(wait, |index, registry| Ok(under_its_name(index, registry.read(service, wait)?)))
    }

    fn services(&self, wait: &Wait<'_>) -> Result<Vec<String>> {
        self.ask(wait, |_, registry| registry.services(wait))
    }

    fn watch(self: Arc<Self>, sink: Arc<dyn Sink>) -> Box<dyn Watch> {
        let wishes = Wishes { watches: self.registries.iter().map(|_| None).collect(), ..Wishes::default() };
        let hub =
            Arc::new(Hub { failover: self, sink, wishes: Mutex::new(wishes), speaking: Mutex::new(()) });
        let active = hub.failover.active();
        hub.turn_to(active);
        Box::new(Following(hub))
    }

    fn local_ip(&self, wait: &Wait<'_>) -> Option<IpAddr> {
        self.registries.iter().find_map(|registry| registry.local_ip(wait))
    }
}

/// A watch on one of them, from the moment it is begun.
type Begun = OnceLock<Box<dyn Watch>>;

/// The watch on whichever is believed.
struct Following(Arc<Hub>);

struct Hub {
    failover: Arc<Failover>,
    sink: Arc<dyn Sink>,
    wishes: Mutex<Wishes>,
    /// Held while the catalog is told something, so that what one said last is not overtaken by another.
    speaking: Mutex<()>,
}

#[derive(Default)]
struct Wishes {
    watches: Vec<Option<Arc<Begun>>>,
    /// Whose word was told last.
    told: Option<usize>,
    wanted: BTreeSet<String>,
    all: bool,
}

impl Hub {
    /// Watches this registry, and those before it, which may answer again; lets go of those behind it.
    fn turn_to(self: &Arc<Self>, active: usize) {
        let mut released = Vec::new();
        for index in 0..self.failover.registries.len() {
            let begun = {
                let mut wishes = self.wishes.lock();
                match (&wishes.watches[index], index <= active) {
                    (None, true) => {
                        let watch = Arc::new(OnceLock::new());
                        wishes.watches[index] = Some(watch.clone());
                        Some(watch)
                    }
                    (Some(_), false) => {
                        released.push(wishes.watches[index].take());
                        None
                    }
                    _ => None,
                }
            };
            if let Some(watch) = begun {
                self.begin(index, &watch);
            }
        }
        drop(released); // after the lock: ending a watch may take locks of its own
    }

    fn begin(self: &Arc<Self>, index: usize, watch: &Begun) {
        let ear = Arc::new(Ear { hub: Arc::downgrade(self), index });
        let watch = watch.get_or_init(|| self.failover.registries[index].clone().watch(ear));
        // Read only now: what is wished for from here on finds the watch.
        let (wanted, all) = {
            let wishes = self.wishes.lock();
            (wishes.wanted.clone(), wishes.all)
        };
        wanted.iter().for_each(|service| watch.want(service));
        if all {
            watch.want_all();
        }
    }

    fn each(&self, tell: impl Fn(&(dyn Watch + 'static))) {
        let watches: Vec<_> = self.wishes.lock().watches.iter().flatten().cloned().collect();
        watches.iter().filter_map(|watch| watch.get()).for_each(|watch| tell(&**watch));
    }

    fn heard(self: &Arc<Self>, index: usize, heard: RegistryUpdate) {
        self.failover.set_down(index, false);
        let active = self.failover.active();
        if index != active {
            return;
        }
        self.turn_to(active);
        let speaking = self.speaking.lock();
        if index != self.failover.active() {
            return; // one before it answered meanwhile
        }
        let is_switch = {
            let mut wishes = self.wishes.lock();
            // A name once told is asked about ever after: its end is to be seen too.
            wishes.wanted.extend(heard.lists.iter().map(|(service, _)| service.clone()));
            wishes.told.replace(index).is_some_and(|told| told != index)
        };
        // What the other one told is not confirmed by this one.
        let confirms_all = heard.confirms_all && !is_switch;
        self.sink.heard(under_its_name(index, RegistryUpdate { confirms_all, ..heard }));
        drop(speaking);
        if is_switch {
            tracing::warn!(source = %self.failover.registries[index].source(), "this registry is read from now on");
            // It may take for told what was left out while another one was believed.
            let wanted = self.wishes.lock().wanted.clone();
            self.each(|watch| wanted.iter().for_each(|service| watch.refresh(service)));
        }
    }

    fn lost(self: &Arc<Self>, index: usize, error: Error) {
        self.failover.set_down(index, true);
        if self.failover.is_all_down() {
            // Whichever answers first is believed.
            self.turn_to(self.failover.registries.len() - 1);
            self.sink.lost(error);
        } else {
            self.turn_to(self.failover.active());
        }
    }
}

impl Watch for Following {
    fn want(&self, service: &str) {
        self.0.wishes.lock().wanted.insert(service.to_owned());
        self.0.each(|watch| watch.want(service));
    }

    fn forget(&self, service: &str) {
        self.0.wishes.lock().wanted.remove(service);
        self.0.each(|watch| watch.forget(service));
    }

    fn want_all(&self) {
        self.0.wishes.lock().all = true;
        self.0.each(Watch::want_all);
    }

    fn refresh(&self, service: &str) {
        self.0.each(|watch| watch.refresh(service));
    }
}

/// Hears one of them.
struct Ear {
    hub: Weak<Hub>,
    index: usize,
}

impl Sink for Ear {
    fn heard(&self, heard: RegistryUpdate) {
        if let Some(hub) = self.hub.upgrade() {
            hub.heard(self.index, heard);
        }
    }

    fn lost(&self, error: Error) {
        if let Some(hub) = self.hub.upgrade() {
            hub.lost(self.index, error);
        }
    }

    fn is_used(&self, service: &str) -> bool {
        self.hub.upgrade().is_some_and(|hub| hub.sink.is_used(service))
    }
}
