//! The registrations of this process: one set per service, sent again on every new connection.
//!
//! ```text
//!  register ───► added to the set ─────┐
//!  heartbeat ──► health, verified ─────┼─► send: everything that this connection has not sent for the service, in turn
//!  deregister ─► removed from the set ─┤
//!  a new connection ───────────────────┘
//! ```
//!
//! The set is the desired state, even while the server is down. The next connection sends the latest one.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::hub::{Hub, State};
use super::link::Link;
use super::message::{Message, Told};
use super::names;
use super::plan::{Ours, Place, Step, Written, place_of};
use super::record::{Listed, bare, instance, too_much};
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::registry::reconnect::ReconnectBackoff;
use crate::registry::timestamp;
use crate::registry::types::{DEFAULT_TTL, HeartbeatResult, RegistryEntry};
use crate::sync::Mutex;

/// How many services are sent or verified at the same time.
const SIDE_BY_SIDE: usize = 64;
/// How long after a change the list of a server may be out of date.
const BEHIND: Duration = Duration::from_millis(500);

/// The smallest TTL that affects how soon the client reconnects.
const LEAST_TTL: Duration = Duration::from_secs(1);

/// All registrations, by service.
#[derive(Default)]
pub(super) struct Book {
    shelves: Mutex<HashMap<String, Arc<Shelf>>>,
}

/// The registrations of one service.
#[derive(Default)]
struct Shelf {
    /// Held by the task that sends requests for this service.
    turn: tokio::sync::Mutex<()>,
    ours: Mutex<Ours>,
    /// Whether a task retries deregistrations that failed.
    is_seeing_off: AtomicBool,
}

impl Shelf {
    /// Whether this connection may still hold an instance that was deregistered.
    fn has_leaving(&self, epoch: u64) -> bool {
        self.ours.lock().leaving.values().any(|(_, by)| *by == epoch)
    }
}

impl Book {
    fn shelf(&self, service: &str) -> Arc<Shelf> {
        self.shelves.lock().entry(service.to_owned()).or_default().clone()
    }

    /// The shortest TTL of all registrations, but at least a second. It limits how long to wait before reconnecting.
    pub(super) fn ttl(&self) -> Duration {
        let shelves = self.shelves.lock();
        let shortest = |shelf: &Arc<Shelf>| {
            shelf.ours.lock().held.values().filter_map(|held| held.entry.instance.ttl).min()
        };
        shelves.values().filter_map(shortest).fold(DEFAULT_TTL, Duration::min).max(LEAST_TTL)
    }

    /// Removes an entry from its set.
    pub(super) fn strike(&self, entry: &RegistryEntry) {
        self.shelf(&entry.instance.service).ours.lock().strike(entry);
    }

    /// Forgets a service without registrations.
    fn tidy(&self, service: &str) {
        let mut shelves = self.shelves.lock();
        let is_empty = |shelf: &Shelf| {
            let ours = shelf.ours.lock();
            ours.held.is_empty() && ours.leaving.is_empty()
        };
        // Another holder of the service is about to add a registration.
        if shelves.get(service).is_some_and(|shelf| Arc::strong_count(shelf) == 1 && is_empty(shelf)) {
            shelves.remove(service);
        }
    }
}

/// Registers entries.
pub(super) async fn register(hub: &Arc<Hub>, entries: Vec<RegistryEntry>) -> Vec<Result<()>> {
    let refusals: HashMap<String, Error> = services_of(&entries)
        .into_iter()
        .filter_map(|service| Some((service.to_owned(), names::escape(service).err()?)))
        .collect();
    let now = timestamp::now();
    for entry in entries.iter().filter(|entry| !refusals.contains_key(&entry.instance.service)) {
        hub.book.shelf(&entry.instance.service).ours.lock().put(entry, &now);
    }
    let services = services_of(&entries).into_iter().filter(|service| !refusals.contains_key(*service));
    let mut told =
        side_by_side(hub, services, |hub, service| async move { tell(&hub, &service).await }).await;
    told.extend(refusals.into_iter().map(|(service, error)| (service, Err(error))));
    entries
        .iter()
        .map(|entry| {
            let service = &entry.instance.service;
            told.get(service).cloned().unwrap_or_else(|| Err(lost_sight()))?;
            let shelf = hub.book.shelf(service);
            let mut ours = shelf.ours.lock();
            if let Some(held) = ours.held.get_mut(&place_of(entry)) {
                if let Some((_, error)) = &held.refused {
                    return Err(error.clone());
                }
                held.confirmed = held.written.as_ref().map_or(0, |written| written.epoch);
            }
            Ok(())
        })
        .collect()
}

/// Renews entries.
pub(super) async fn heartbeat(hub: &Arc<Hub>, entries: Vec<RegistryEntry>) -> Vec<Result<HeartbeatResult>> {
    let now = timestamp::now();
    for entry in &entries {
        let shelf = hub.book.shelf(&entry.instance.service);
        let mut ours = shelf.ours.lock();
        // Only the health can change here: every other change is registered.
        if ours.held.get(&place_of(entry)).is_some_and(|held| held.entry.generation == entry.generation) {
            ours.put(entry, &now);
        }
    }
    let services = services_of(&entries).into_iter();
    let looked = side_by_side(hub, services, |hub, service| async move {
        let link = hub.link().await?;
        let is_held = !hub.book.shelf(&service).ours.lock().held.is_empty();
        if is_held {
            tell_on(&hub, &link, &service).await?;
            look(&hub, &link, &service).await?;
        }
        Ok(link.epoch)
    })
    .await;
    let outcome = |entry: &RegistryEntry| {
        let service = &entry.instance.service;
        let epoch = looked.get(service).cloned().unwrap_or_else(|| Err(lost_sight()))?;
        let shelf = hub.book.shelf(service);
        let ours = shelf.ours.lock();
        let held = ours.held.get(&place_of(entry));
        if let Some(error) = held.and_then(|held| held.refusal(epoch)) {
            return Err(error.clone());
        }
        let is_kept = held.is_some_and(|held| held.is_told(epoch) && held.confirmed == epoch);
        Ok(if is_kept { HeartbeatResult::Renewed } else { HeartbeatResult::Unknown })
    };
    let outcomes = entries.iter().map(outcome).collect();
    services_of(&entries).into_iter().for_each(|service| hub.book.tidy(service));
    outcomes
}

/// Sends all registrations on a new connection.
pub(super) async fn redo(hub: Arc<Hub>, link: Arc<Link>) {
    let services: Vec<String> = hub.book.shelves.lock().keys().cloned().collect();
    let told = side_by_side(&hub, services.iter().map(String::as_str), |hub, service| {
        let link = link.clone();
        async move { tell_on(&hub, &link, &service).await }
    });
    for (service, outcome) in told.await {
        if let Err(error) = outcome {
            tracing::debug!(source = %hub.source, service, %error, "registering again failed; the next heartbeat retries");
        }
    }
    services.iter().for_each(|service| hub.book.tidy(service));
}

/// Sends a deregistration, and reports the result. After a failure it is retried until it succeeds or the connection is
/// replaced: a connection keeps its registrations, and after the last instance of a service no heartbeat would remove it.
pub(super) async fn see_off(hub: Weak<Hub>, service: String, answer: oneshot::Sender<Result<()>>) {
    let Some(now) = hub.upgrade() else { return };
    let outcome = tell(&now, &service).await;
    let is_first = outcome.is_err() && !now.book.shelf(&service).is_seeing_off.swap(true, Ordering::Relaxed);
    drop(now);
    // The caller may have given up.
    let _ = answer.send(outcome);
    if is_first {
        tell_on_and_on(&hub, &service).await;
    }
}

async fn tell_on_and_on(hub: &Weak<Hub>, service: &str) {
    let mut reconnect = ReconnectBackoff::default();
    loop {
        sleep(reconnect.failed(DEFAULT_TTL, fastrand::f64())).await;
        let Some(hub) = hub.upgrade() else { return };
        let link = match &*hub.state.borrow() {
            State::Up(link) => Some(link.clone()),
            _ => None,
        };
        let shelf = hub.book.shelf(service);
        let is_left = || link.as_ref().is_some_and(|link| shelf.has_leaving(link.epoch));
        if let Some(link) = link.as_ref().filter(|_| is_left())
            && let Err(error) = tell_on(&hub, link, service).await
        {
            tracing::debug!(source = %hub.source, service, %error, "deregistration failed; retrying");
            continue;
        }
        shelf.is_seeing_off.store(false, Ordering::Release);
        // Tasks that failed in the meantime relied on this one; from now on they retry themselves.
        if is_left() && !shelf.is_seeing_off.swap(true, Ordering::Acquire) {
            continue;
        }
        drop(shelf);
        hub.book.tidy(service);
        return;
    }
}

/// Sends what the current connection has not sent for a service.
pub(super) async fn tell(hub: &Arc<Hub>, service: &str) -> Result<()> {
    let link = hub.link().await?;
    let outcome = tell_on(hub, &link, service).await;
    hub.book.tidy(service);
    outcome
}

async fn tell_on(hub: &Hub, link: &Link, service: &str) -> Result<()> {
    let name = names::escape(service)?;
    let shelf = hub.book.shelf(service);
    let _turn = shelf.turn.lock().await;
    loop {
        match tell_in_turn(hub, link, &name, &shelf).await {
            // One rejected instance fails its whole set: send the others without it.
            Err(error) if blame(hub, link, &mut shelf.ours.lock(), &error) => {}
            outcome => return outcome,
        }
    }
}

async fn tell_in_turn(hub: &Hub, link: &Link, name: &str, shelf: &Shelf) -> Result<()> {
    let (steps, left) = {
        let mut ours = shelf.ours.lock();
        let Ours { held, leaving } = &mut *ours;
        // The registrations of earlier connections ended with them (but this may be an earlier one that is late). A new
        // registration at the same address replaces the one that was deregistered.
        leaving.retain(|place, (_, by)| *by >= link.epoch && !held.contains_key(place));
        let mut left = ours.leaving.clone();
        left.retain(|_, (_, by)| *by == link.epoch);
        (ours.plan(link.flavour, link.epoch), left)
    };
    for step in steps {
        // The current state: registrations may have changed or ended in the meantime.
        let Some((message, about)) = write(hub, link, name, &step, &mut shelf.ours.lock()) else { continue };
        hub.ask(link, &message).await?;
        settle(&mut shelf.ours.lock(), &step, link.epoch, about);
    }
    // On Nacos, a set without an instance deregisters it. What was deregistered in the meantime must still be sent.
    let is_told = |place: &Place, entry: &RegistryEntry| {
        left.get(place).is_some_and(|(told, _)| told.generation == entry.generation)
    };
    shelf.ours.lock().leaving.retain(|place, (entry, _)| !is_told(place, entry));
    Ok(())
}

/// Marks the instances that caused a rejection. False if the cause is unknown.
fn blame(hub: &Hub, link: &Link, ours: &mut Ours, refusal: &Error) -> bool {
    if refusal.kind() != Kind::InvalidArgument {
        return false;
    }
    let mut is_found = false;
    for held in ours.held.values_mut().filter(|held| held.refusal(link.epoch).is_none()) {
        let row = instance(&held.entry, &held.since, hub.cluster.as_deref(), link.flavour);
        if let Some(why) = too_much(&row) {
            held.refused = Some((link.epoch, Error::invalid(format!("{}: {why}", refusal.message()))));
            is_found = true;
        }
    }
    is_found
}

/// The request of a step, and the entries in it.
fn write(
    hub: &Hub,
    link: &Link,
    name: &str,
    step: &Step,
    ours: &mut Ours,
) -> Option<(Message, BTreeMap<Place, RegistryEntry>)> {
    let cluster = hub.cluster.as_deref();
    let places = match step {
        Step::Remove(place) => {
            let left = ours.leaving.get(place).map(|(entry, _)| entry);
            let entry = left.or_else(|| ours.held.get(place).map(|held| &held.entry))?;
            return Some((hub.space.deregister(name, &bare(entry, cluster)), BTreeMap::new()));
        }
        Step::Tell(places) | Step::Announce(places) => places,
    };
    let mut rows = Vec::with_capacity(places.len());
    let mut about = BTreeMap::new();
    for place in places {
        let Some(held) = ours.held.get_mut(place) else { continue };
        held.sent = held.sent.max(link.epoch);
        rows.push(match step {
            Step::Announce(_) => bare(&held.entry, cluster),
            _ => instance(&held.entry, &held.since, cluster, link.flavour),
        });
        about.insert(place.clone(), held.entry.clone());
    }
    match rows.as_slice() {
        [] => None,
        [row] => Some((hub.space.register(name, row), about)),
        rows => Some((hub.space.batch(name, rows), about)),
    }
}

/// Records that the server has accepted a step.
fn settle(ours: &mut Ours, step: &Step, epoch: u64, about: BTreeMap<Place, RegistryEntry>) {
    match step {
        Step::Remove(place) => {
            ours.leaving.remove(place);
            if let Some(held) = ours.held.get_mut(place) {
                held.written = None;
            }
        }
        Step::Announce(_) => {}
        Step::Tell(_) => {
            for (place, RegistryEntry { instance, health, .. }) in about {
                if let Some(held) = ours.held.get_mut(&place) {
                    held.written = Some(Written { epoch, instance, health, at: clock::now() });
                }
            }
        }
    }
}

/// Verifies that the server still lists what it has accepted. A missing instance is sent again: at once the first time, then
/// at growing intervals, because an operator may have disabled it on purpose.
async fn look(hub: &Hub, link: &Link, service: &str) -> Result<()> {
    let asked = clock::now();
    let told: Told = hub.ask_for(link, &hub.space.query(&names::escape(service)?)).await?;
    let rows = told.service_info.and_then(|info| info.hosts).unwrap_or_default();
    let listed: HashSet<Place> =
        rows.iter().filter_map(|row| Some(Listed::read(row).ok()?.place())).collect();
    let shelf = hub.book.shelf(service);
    let mut ours = shelf.ours.lock();
    for (place, held) in &mut ours.held {
        if listed.contains(place) {
            held.missing = 0;
        } else if held.written.as_ref().is_some_and(|written| asked.since(written.at) > BEHIND) {
            held.missing += 1;
            if held.missing.is_power_of_two() {
                held.written = None;
            }
        }
    }
    Ok(())
}

/// Runs a future for each of many services, some of them at the same time.
async fn side_by_side<'a, T, F>(
    hub: &Arc<Hub>,
    services: impl Iterator<Item = &'a str>,
    what: impl Fn(Arc<Hub>, String) -> F,
) -> HashMap<String, Result<T>>
where
    T: Send + 'static,
    F: std::future::Future<Output = Result<T>> + Send + 'static,
{
    let (mut all, gate) = (JoinSet::new(), Arc::new(Semaphore::new(SIDE_BY_SIDE)));
    for service in services {
        let (work, service, gate) = (what(hub.clone(), service.to_owned()), service.to_owned(), gate.clone());
        all.spawn(async move {
            let _place = gate.acquire_owned().await;
            (service, work.await)
        });
    }
    let mut outcomes = HashMap::new();
    while let Some(done) = all.join_next().await {
        match done {
            Ok((service, outcome)) => {
                outcomes.insert(service, outcome);
            }
            Err(error) => {
                tracing::error!(source = %hub.source, %error, "a request panicked; please report it");
            }
        }
    }
    outcomes
}

/// The services of some entries.
fn services_of(entries: &[RegistryEntry]) -> BTreeSet<&str> {
    entries.iter().map(|entry| entry.instance.service.as_str()).collect()
}

fn lost_sight() -> Error {
    Error::new(Kind::Internal, "a request panicked; please report it")
}
