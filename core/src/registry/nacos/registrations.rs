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

use super::client::{ConnectionState, NacosClient};
use super::connection::NacosConnection;
use super::message::{NacosMessage, ServiceInfoResponse};
use super::names;
use super::plan::{AcceptedState, InstanceAddress, RegistrationSet, RegistrationStep, address_of};
use super::record::{ListedInstance, announcement, instance, metadata_too_long};
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::registry::reconnect::ReconnectBackoff;
use crate::registry::timestamp;
use crate::registry::types::{DEFAULT_TTL, HeartbeatResult, RegistryEntry};
use crate::sync::Mutex;

/// How many services are sent or verified at the same time.
const MAX_IN_FLIGHT: usize = 64;
/// How long after a change the list of a server may be out of date.
const LIST_DELAY: Duration = Duration::from_millis(500);

/// The smallest TTL that affects how soon the client reconnects.
const MIN_TTL: Duration = Duration::from_secs(1);

/// All registrations, by service.
#[derive(Default)]
pub(super) struct NacosRegistrations {
    services: Mutex<HashMap<String, Arc<ServiceRegistrations>>>,
}

/// The registrations of one service.
#[derive(Default)]
struct ServiceRegistrations {
    /// Held by the task that sends requests for this service.
    turn: tokio::sync::Mutex<()>,
    set: Mutex<RegistrationSet>,
    /// Whether a task retries deregistrations that failed.
    is_retrying: AtomicBool,
}

impl ServiceRegistrations {
    /// Whether this connection may still hold an instance that was deregistered.
    fn has_deregistered(&self, epoch: u64) -> bool {
        self.set.lock().deregistered.values().any(|(_, by)| *by == epoch)
    }
}

impl NacosRegistrations {
    fn service_set(&self, service: &str) -> Arc<ServiceRegistrations> {
        self.services.lock().entry(service.to_owned()).or_default().clone()
    }

    /// The shortest TTL of all registrations, but at least a second. It limits how long to wait before reconnecting.
    pub(super) fn ttl(&self) -> Duration {
        let services = self.services.lock();
        let shortest = |service_set: &Arc<ServiceRegistrations>| {
            service_set
                .set
                .lock()
                .registered
                .values()
                .filter_map(|registered| registered.entry.instance.ttl)
                .min()
        };
        services.values().filter_map(shortest).fold(DEFAULT_TTL, Duration::min).max(MIN_TTL)
    }

    /// Removes an entry from its set.
    pub(super) fn remove(&self, entry: &RegistryEntry) {
        self.service_set(&entry.instance.service).set.lock().remove(entry);
    }

    /// Forgets a service without registrations.
    fn remove_if_empty(&self, service: &str) {
        let mut services = self.services.lock();
        let is_empty = |service_set: &ServiceRegistrations| {
            let set = service_set.set.lock();
            set.registered.is_empty() && set.deregistered.is_empty()
        };
        // Another holder of the service is about to add a registration.
        if services
            .get(service)
            .is_some_and(|service_set| Arc::strong_count(service_set) == 1 && is_empty(service_set))
        {
            services.remove(service);
        }
    }
}

/// Registers entries.
pub(super) async fn register(client: &Arc<NacosClient>, entries: Vec<RegistryEntry>) -> Vec<Result<()>> {
    let refusals: HashMap<String, Error> = services_of(&entries)
        .into_iter()
        .filter_map(|service| Some((service.to_owned(), names::escape(service).err()?)))
        .collect();
    let now = timestamp::now();
    for entry in entries.iter().filter(|entry| !refusals.contains_key(&entry.instance.service)) {
        client.registrations.service_set(&entry.instance.service).set.lock().put(entry, &now);
    }
    let services = services_of(&entries).into_iter().filter(|service| !refusals.contains_key(*service));
    let mut outcomes =
        for_each_service(
            client,
            services,
            |client, service| async move { send_pending(&client, &service).await },
        )
        .await;
    outcomes.extend(refusals.into_iter().map(|(service, error)| (service, Err(error))));
    entries
        .iter()
        .map(|entry| {
            let service = &entry.instance.service;
            outcomes.get(service).cloned().unwrap_or_else(|| Err(panicked_error()))?;
            let service_set = client.registrations.service_set(service);
            let mut set = service_set.set.lock();
            if let Some(registered) = set.registered.get_mut(&address_of(entry)) {
                if let Some((_, error)) = &registered.rejected {
                    return Err(error.clone());
                }
                registered.confirmed = registered.accepted.as_ref().map_or(0, |accepted| accepted.epoch);
            }
            Ok(())
        })
        .collect()
}

/// Renews entries.
pub(super) async fn heartbeat(
    client: &Arc<NacosClient>,
    entries: Vec<RegistryEntry>,
) -> Vec<Result<HeartbeatResult>> {
    let now = timestamp::now();
    for entry in &entries {
        let service_set = client.registrations.service_set(&entry.instance.service);
        let mut set = service_set.set.lock();
        // Only the health can change here: every other change is registered.
        if set
            .registered
            .get(&address_of(entry))
            .is_some_and(|registered| registered.entry.generation == entry.generation)
        {
            set.put(entry, &now);
        }
    }
    let services = services_of(&entries).into_iter();
    let looked = for_each_service(client, services, |client, service| async move {
        let connection = client.connection().await?;
        let is_held = !client.registrations.service_set(&service).set.lock().registered.is_empty();
        if is_held {
            send_pending_on(&client, &connection, &service).await?;
            verify(&client, &connection, &service).await?;
        }
        Ok(connection.epoch)
    })
    .await;
    let outcome = |entry: &RegistryEntry| {
        let service = &entry.instance.service;
        let epoch = looked.get(service).cloned().unwrap_or_else(|| Err(panicked_error()))?;
        let service_set = client.registrations.service_set(service);
        let set = service_set.set.lock();
        let registered = set.registered.get(&address_of(entry));
        if let Some(error) = registered.and_then(|registered| registered.rejection(epoch)) {
            return Err(error.clone());
        }
        let is_kept = registered
            .is_some_and(|registered| registered.is_accepted(epoch) && registered.confirmed == epoch);
        Ok(if is_kept { HeartbeatResult::Renewed } else { HeartbeatResult::Unknown })
    };
    let outcomes = entries.iter().map(outcome).collect();
    services_of(&entries).into_iter().for_each(|service| client.registrations.remove_if_empty(service));
    outcomes
}

/// Sends all registrations on a new connection.
pub(super) async fn register_again(client: Arc<NacosClient>, connection: Arc<NacosConnection>) {
    let services: Vec<String> = client.registrations.services.lock().keys().cloned().collect();
    let outcomes = for_each_service(&client, services.iter().map(String::as_str), |client, service| {
        let connection = connection.clone();
        async move { send_pending_on(&client, &connection, &service).await }
    });
    for (service, outcome) in outcomes.await {
        if let Err(error) = outcome {
            tracing::debug!(source = %client.source, service, %error, "registering again failed; the next heartbeat retries");
        }
    }
    services.iter().for_each(|service| client.registrations.remove_if_empty(service));
}

/// Sends a deregistration, and reports the result. After a failure it is retried until it succeeds or the connection is
/// replaced: a connection keeps its registrations, and after the last instance of a service no heartbeat would remove it.
pub(super) async fn deregister(
    client: Weak<NacosClient>,
    service: String,
    response: oneshot::Sender<Result<()>>,
) {
    let Some(now) = client.upgrade() else { return };
    let outcome = send_pending(&now, &service).await;
    let is_first = outcome.is_err()
        && !now.registrations.service_set(&service).is_retrying.swap(true, Ordering::Relaxed);
    drop(now);
    // The caller may have given up.
    let _ = response.send(outcome);
    if is_first {
        retry_deregistration(&client, &service).await;
    }
}

async fn retry_deregistration(client: &Weak<NacosClient>, service: &str) {
    let mut reconnect = ReconnectBackoff::default();
    loop {
        sleep(reconnect.failed(DEFAULT_TTL, fastrand::f64())).await;
        let Some(client) = client.upgrade() else { return };
        let connection = match &*client.state.borrow() {
            ConnectionState::Connected(connection) => Some(connection.clone()),
            _ => None,
        };
        let service_set = client.registrations.service_set(service);
        let has_pending =
            || connection.as_ref().is_some_and(|connection| service_set.has_deregistered(connection.epoch));
        if let Some(connection) = connection.as_ref().filter(|_| has_pending())
            && let Err(error) = send_pending_on(&client, connection, service).await
        {
            tracing::debug!(source = %client.source, service, %error, "deregistration failed; retrying");
            continue;
        }
        service_set.is_retrying.store(false, Ordering::Release);
        // Tasks that failed in the meantime relied on this one; from now on they retry themselves.
        if has_pending() && !service_set.is_retrying.swap(true, Ordering::Acquire) {
            continue;
        }
        drop(service_set);
        client.registrations.remove_if_empty(service);
        return;
    }
}

/// Sends what the current connection has not sent for a service.
pub(super) async fn send_pending(client: &Arc<NacosClient>, service: &str) -> Result<()> {
    let connection = client.connection().await?;
    let outcome = send_pending_on(client, &connection, service).await;
    client.registrations.remove_if_empty(service);
    outcome
}

async fn send_pending_on(client: &NacosClient, connection: &NacosConnection, service: &str) -> Result<()> {
    let name = names::escape(service)?;
    let service_set = client.registrations.service_set(service);
    let _turn = service_set.turn.lock().await;
    loop {
        match send_steps(client, connection, &name, &service_set).await {
            // One rejected instance fails its whole set: send the others without it.
            Err(error) if mark_rejected(client, connection, &mut service_set.set.lock(), &error) => {}
            outcome => return outcome,
        }
    }
}

async fn send_steps(
    client: &NacosClient,
    connection: &NacosConnection,
    name: &str,
    service_set: &ServiceRegistrations,
) -> Result<()> {
    let (steps, sent_deregistrations) = {
        let mut set = service_set.set.lock();
        let RegistrationSet { registered, deregistered } = &mut *set;
        // The registrations of earlier connections ended with them (but this may be an earlier one that is late). A new
        // registration at the same address replaces the one that was deregistered.
        deregistered.retain(|address, (_, by)| *by >= connection.epoch && !registered.contains_key(address));
        let mut sent_deregistrations = set.deregistered.clone();
        sent_deregistrations.retain(|_, (_, by)| *by == connection.epoch);
        (set.plan(connection.server_kind, connection.epoch), sent_deregistrations)
    };
    for step in steps {
        // The current state: registrations may have changed or ended in the meantime.
        let Some((message, entries)) =
            step_request(client, connection, name, &step, &mut service_set.set.lock())
        else {
            continue;
        };
        client.request(connection, &message).await?;
        apply_accepted(&mut service_set.set.lock(), &step, connection.epoch, entries);
    }
    // On Nacos, a set without an instance deregisters it. What was deregistered in the meantime must still be sent.
    let is_accepted = |address: &InstanceAddress, entry: &RegistryEntry| {
        sent_deregistrations.get(address).is_some_and(|(sent, _)| sent.generation == entry.generation)
    };
    service_set.set.lock().deregistered.retain(|address, (entry, _)| !is_accepted(address, entry));
    Ok(())
}

/// Marks the instances that caused a rejection. False if the cause is unknown.
fn mark_rejected(
    client: &NacosClient,
    connection: &NacosConnection,
    set: &mut RegistrationSet,
    refusal: &Error,
) -> bool {
    if refusal.kind() != Kind::InvalidArgument {
        return false;
    }
    let mut is_found = false;
    for registered in
        set.registered.values_mut().filter(|registered| registered.rejection(connection.epoch).is_none())
    {
        let row =
            instance(&registered.entry, &registered.since, client.cluster.as_deref(), connection.server_kind);
        if let Some(why) = metadata_too_long(&row) {
            registered.rejected =
                Some((connection.epoch, Error::invalid(format!("{}: {why}", refusal.message()))));
            is_found = true;
        }
    }
    is_found
}

/// The request of a step, and the entries in it.
fn step_request(
    client: &NacosClient,
    connection: &NacosConnection,
    name: &str,
    step: &RegistrationStep,
    set: &mut RegistrationSet,
) -> Option<(NacosMessage, BTreeMap<InstanceAddress, RegistryEntry>)> {
    let cluster = client.cluster.as_deref();
    let addresses = match step {
        RegistrationStep::Deregister(address) => {
            let deregistered = set.deregistered.get(address).map(|(entry, _)| entry);
            let entry =
                deregistered.or_else(|| set.registered.get(address).map(|registered| &registered.entry))?;
            return Some((client.scope.deregister(name, &announcement(entry, cluster)), BTreeMap::new()));
        }
        RegistrationStep::Register(addresses) | RegistrationStep::Announce(addresses) => addresses,
    };
    let mut rows = Vec::with_capacity(addresses.len());
    let mut entries = BTreeMap::new();
    for address in addresses {
        let Some(registered) = set.registered.get_mut(address) else { continue };
        registered.sent = registered.sent.max(connection.epoch);
        rows.push(match step {
            RegistrationStep::Announce(_) => announcement(&registered.entry, cluster),
            _ => instance(&registered.entry, &registered.since, cluster, connection.server_kind),
        });
        entries.insert(address.clone(), registered.entry.clone());
    }
    match rows.as_slice() {
        [] => None,
        [row] => Some((client.scope.register(name, row), entries)),
        rows => Some((client.scope.batch(name, rows), entries)),
    }
}

/// Records that the server has accepted a step.
fn apply_accepted(
    set: &mut RegistrationSet,
    step: &RegistrationStep,
    epoch: u64,
    entries: BTreeMap<InstanceAddress, RegistryEntry>,
) {
    match step {
        RegistrationStep::Deregister(address) => {
            set.deregistered.remove(address);
            if let Some(registered) = set.registered.get_mut(address) {
                registered.accepted = None;
            }
        }
        RegistrationStep::Announce(_) => {}
        RegistrationStep::Register(_) => {
            for (address, RegistryEntry { instance, health, .. }) in entries {
                if let Some(registered) = set.registered.get_mut(&address) {
                    registered.accepted = Some(AcceptedState { epoch, instance, health, at: clock::now() });
                }
            }
        }
    }
}

/// Verifies that the server still lists what it has accepted. A missing instance is sent again: at once the first time, then
/// at growing intervals, because an operator may have disabled it on purpose.
async fn verify(client: &NacosClient, connection: &NacosConnection, service: &str) -> Result<()> {
    let asked = clock::now();
    let response: ServiceInfoResponse =
        client.request_as(connection, &client.scope.query(&names::escape(service)?)).await?;
    let rows = response.service_info.and_then(|info| info.hosts).unwrap_or_default();
    let listed: HashSet<InstanceAddress> =
        rows.iter().filter_map(|row| Some(ListedInstance::read(row).ok()?.address())).collect();
    let service_set = client.registrations.service_set(service);
    let mut set = service_set.set.lock();
    for (address, registered) in &mut set.registered {
        if listed.contains(address) {
            registered.missing = 0;
        } else if registered.accepted.as_ref().is_some_and(|accepted| asked.since(accepted.at) > LIST_DELAY) {
            registered.missing += 1;
            if registered.missing.is_power_of_two() {
                registered.accepted = None;
            }
        }
    }
    Ok(())
}

/// Runs a future for each of many services, some of them at the same time.
async fn for_each_service<'a, T, F>(
    client: &Arc<NacosClient>,
    services: impl Iterator<Item = &'a str>,
    what: impl Fn(Arc<NacosClient>, String) -> F,
) -> HashMap<String, Result<T>>
where
    T: Send + 'static,
    F: std::future::Future<Output = Result<T>> + Send + 'static,
{
    let (mut all, gate) = (JoinSet::new(), Arc::new(Semaphore::new(MAX_IN_FLIGHT)));
    for service in services {
        let (work, service, gate) =
            (what(client.clone(), service.to_owned()), service.to_owned(), gate.clone());
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
                tracing::error!(source = %client.source, %error, "a request panicked; please report it");
            }
        }
    }
    outcomes
}

/// The services of some entries.
fn services_of(entries: &[RegistryEntry]) -> BTreeSet<&str> {
    entries.iter().map(|entry| entry.instance.service.as_str()).collect()
}

fn panicked_error() -> Error {
    Error::new(Kind::Internal, "a request panicked; please report it")
}
