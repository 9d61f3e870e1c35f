//! `memory://`: a registry within this process. Without a name it belongs to one client; with a name, all clients of
//! the process that use this name share it.
//!
//! It can neither fail nor lose registrations. So nothing expires, and an endpoint that is missing is gone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Weak};

use crate::sync::Mutex;
use arc_swap::ArcSwap;

use crate::error::Result;
use crate::model::Endpoint;
use crate::registry::types::{
    Absence, HeartbeatResult, Listing, RecordId, Registry, RegistryEntry, RegistryUpdate, UpdateSink,
    WaitLimit, WatchHandle,
};
use crate::runtime::{self, TaskQueue};

/// A registry in memory.
pub struct MemoryRegistry {
    source: Arc<str>,
    queue: Arc<TaskQueue>,
    store: Mutex<MemoryStore>,
    /// Held while subscribers are notified, so that they receive the changes in order.
    notifying: Mutex<()>,
}

#[derive(Default)]
struct MemoryStore {
    services: BTreeMap<String, BTreeMap<RecordId, Endpoint>>,
    subscribers: Vec<Weak<MemorySubscriber>>,
}

struct MemorySubscriber {
    sink: Arc<dyn UpdateSink>,
    subscribed: Mutex<SubscribedServices>,
}

#[derive(Default)]
struct SubscribedServices {
    services: BTreeSet<String>,
    all: bool,
}

/// By process generation and name. A forked child gets new registries, because locks of the parent may be held.
type SharedRegistries = HashMap<(u64, String), Weak<MemoryRegistry>>;
static SHARED: std::sync::LazyLock<ArcSwap<SharedRegistries>> = std::sync::LazyLock::new(ArcSwap::default);

impl MemoryRegistry {
    /// A private registry.
    pub fn new() -> Arc<MemoryRegistry> {
        MemoryRegistry::named("")
    }

    /// The registry with this name, shared within the process.
    pub fn shared(name: &str) -> Arc<MemoryRegistry> {
        if name.is_empty() {
            return MemoryRegistry::new();
        }
        let key = (runtime::generation(), name.to_owned());
        let fresh = MemoryRegistry::named(name);
        let mut chosen = fresh.clone();
        SHARED.rcu(|shared| {
            let mut shared = SharedRegistries::clone(shared);
            shared.retain(|_, registry| registry.strong_count() > 0);
            chosen = shared.get(&key).and_then(Weak::upgrade).unwrap_or_else(|| fresh.clone());
            shared.insert(key.clone(), Arc::downgrade(&chosen));
            shared
        });
        chosen
    }

    fn named(name: &str) -> Arc<MemoryRegistry> {
        Arc::new(MemoryRegistry {
            source: format!("memory://{name}").into(),
            queue: TaskQueue::new(1),
            store: Mutex::default(),
            notifying: Mutex::default(),
        })
    }

    /// Replaces all endpoints of a service.
    pub fn publish(&self, service: &str, endpoints: Vec<Endpoint>) {
        let source = self.source.to_string();
        let owned = |mut endpoint: Endpoint| {
            service.clone_into(&mut endpoint.service);
            endpoint.source.clone_from(&source);
            (RecordId::of(&endpoint), endpoint)
        };
        self.store.lock().services.insert(service.to_owned(), endpoints.into_iter().map(owned).collect());
        self.notify(service);
    }

    fn notify(&self, service: &str) {
        let _notifying = self.notifying.lock();
        let (update, subscribers) = {
            let mut store = self.store.lock();
            store.subscribers.retain(|subscriber| subscriber.strong_count() > 0);
            (store.update_for(service), store.subscribers.clone())
        };
        for subscriber in subscribers.iter().filter_map(Weak::upgrade) {
            if subscriber.subscribed.lock().includes(service) {
                subscriber.sink.on_update(update.clone());
            }
        }
    }

    fn write(&self, entry: &RegistryEntry) {
        let endpoint = self.endpoint(entry);
        let service = endpoint.service.clone();
        self.store
            .lock()
            .services
            .entry(service.clone())
            .or_default()
            .insert(RecordId::of(&endpoint), endpoint);
        self.notify(&service);
    }

    fn endpoint(&self, entry: &RegistryEntry) -> Endpoint {
        let instance = &entry.instance;
        // The host was validated at registration; a name has been resolved by then.
        let ip = instance.host.parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let mut endpoint = Endpoint::new(&instance.service, ip, instance.port);
        endpoint.host.clone_from(&instance.host);
        endpoint.instance_id.clone_from(&instance.instance_id);
        endpoint.protocol.clone_from(&instance.protocol);
        endpoint.version.clone_from(&instance.version);
        endpoint.labels = super::encode_labels(instance);
        endpoint.weight = instance.weight;
        endpoint.zone.clone_from(&instance.zone);
        endpoint.healthy = entry.is_healthy();
        endpoint.source = self.source.to_string();
        endpoint.generation.clone_from(&entry.generation);
        endpoint
    }
}

impl MemoryStore {
    fn update_for(&self, service: &str) -> RegistryUpdate {
        let records = self.services.get(service).into_iter().flat_map(BTreeMap::values);
        RegistryUpdate {
            absence: Absence::Authoritative,
            lists: vec![(
                service.to_owned(),
                Listing { endpoints: records.cloned().collect(), removed: Vec::new() },
            )],
            ..RegistryUpdate::default()
        }
    }
}

impl SubscribedServices {
    fn includes(&self, service: &str) -> bool {
        self.all || self.services.contains(service)
    }
}

impl Registry for MemoryRegistry {
    fn source(&self) -> &Arc<str> {
        &self.source
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn queue(&self) -> &Arc<TaskQueue> {
        &self.queue
    }

    fn read(&self, service: &str, _: &WaitLimit<'_>) -> Result<RegistryUpdate> {
        Ok(self.store.lock().update_for(service))
    }

    fn services(&self, _: &WaitLimit<'_>) -> Result<Vec<String>> {
        let store = self.store.lock();
        let offered = store.services.iter().filter(|(_, records)| !records.is_empty());
        Ok(offered.map(|(name, _)| name.clone()).collect())
    }

    fn watch(self: Arc<Self>, sink: Arc<dyn UpdateSink>) -> Box<dyn WatchHandle> {
        let subscriber = Arc::new(MemorySubscriber { sink, subscribed: Mutex::default() });
        self.store.lock().subscribers.push(Arc::downgrade(&subscriber));
        Box::new(MemoryWatchHandle { memory: self, subscriber })
    }

    fn register(&self, entries: &[RegistryEntry], _: &WaitLimit<'_>) -> Vec<Result<()>> {
        let write = |entry: &RegistryEntry| {
            self.write(entry);
            Ok(())
        };
        entries.iter().map(write).collect()
    }

    fn heartbeat(&self, entries: &[RegistryEntry], _: &WaitLimit<'_>) -> Vec<Result<HeartbeatResult>> {
        let store = self.store.lock();
        let renew = |entry: &RegistryEntry| {
            let wanted = self.endpoint(entry);
            let known = store.services.get(&wanted.service).and_then(|all| all.get(&RecordId::of(&wanted)));
            Ok(if known == Some(&wanted) { HeartbeatResult::Renewed } else { HeartbeatResult::Unknown })
        };
        entries.iter().map(renew).collect()
    }

    fn deregister(&self, entry: &RegistryEntry, _doubtful: bool, _: &WaitLimit<'_>) -> Result<()> {
        let gone = self.endpoint(entry);
        if let Some(records) = self.store.lock().services.get_mut(&gone.service) {
            let id = RecordId::of(&gone);
            if records.get(&id).is_some_and(|record| record.generation == entry.generation) {
                records.remove(&id);
            }
        }
        self.notify(&gone.service);
        Ok(())
    }

    fn local_ip(&self, _: &WaitLimit<'_>) -> Option<IpAddr> {
        Some(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }
}

struct MemoryWatchHandle {
    memory: Arc<MemoryRegistry>,
    subscriber: Arc<MemorySubscriber>,
}

impl WatchHandle for MemoryWatchHandle {
    fn subscribe(&self, service: &str) {
        self.subscriber.subscribed.lock().services.insert(service.to_owned());
        self.refresh(service);
    }

    fn unsubscribe(&self, service: &str) {
        self.subscriber.subscribed.lock().services.remove(service);
    }

    fn subscribe_all(&self) {
        self.subscriber.subscribed.lock().all = true;
        let names: Vec<String> = self.memory.store.lock().services.keys().cloned().collect();
        for service in &names {
            self.refresh(service);
        }
    }

    fn refresh(&self, service: &str) {
        let _notifying = self.memory.notifying.lock();
        let update = self.memory.store.lock().update_for(service);
        self.subscriber.sink.on_update(update);
    }
}
