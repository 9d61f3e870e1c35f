//! Several registries in order of preference: the first one that answers is used, the others stand by.
//!
//! ```text
//!   first ── answers ──► its updates are forwarded
//!     └─ fails ─► second is watched too; its updates are forwarded, under another epoch ─┐
//!     ┌─────────────── first answers again ◄─────────────────────────────────────────────┘
//!     └─► first is forwarded again, in full, under another epoch; the watch on the second ends
//! ```
//!
//! The catalog sees a failure only when all registries fail. Every switch changes the epoch. An endpoint that the new
//! registry does not list, although the previous one did, therefore counts as gone only after it has had time to
//! register there. Registrations are not affected: they always go to every registry.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::registry::http_host::is_outage;
use crate::registry::types::{Absence, Registry, RegistryUpdate, UpdateSink, WaitLimit, WatchHandle};
use crate::runtime::TaskQueue;
use crate::sync::Mutex;

/// Several registries in the order in which they are tried.
pub struct FailoverRegistry {
    source: Arc<str>,
    registries: Vec<Arc<dyn Registry>>,
    /// Which of them did not answer the last time.
    down: Mutex<Vec<bool>>,
}

impl FailoverRegistry {
    /// A failover over at least two registries.
    pub fn new(registries: Vec<Arc<dyn Registry>>) -> FailoverRegistry {
        let sources: Vec<&str> = registries.iter().map(|registry| &**registry.source()).collect();
        let source = sources.join(", ").into();
        let down = Mutex::new(vec![false; registries.len()]);
        FailoverRegistry { source, registries, down }
    }

    /// The registry in use: the first one that is not down, or the first one if all are down.
    fn active(&self) -> usize {
        self.down.lock().iter().position(|down| !down).unwrap_or_default()
    }

    fn set_down(&self, index: usize, is_down: bool) {
        self.down.lock()[index] = is_down;
    }

    fn is_all_down(&self) -> bool {
        self.down.lock().iter().all(|down| *down)
    }

    /// Tries the registries in order; the ones that are down come last.
    fn try_each<T>(
        &self,
        wait: &WaitLimit<'_>,
        request: impl Fn(usize, &dyn Registry) -> Result<T>,
    ) -> Result<T> {
        let mut order: Vec<usize> = (0..self.registries.len()).collect();
        let down = self.down.lock().clone();
        order.sort_by_key(|index| down[*index]);
        let mut outcome = Err(Error::new(Kind::Internal, "no registry"));
        for index in order {
            outcome = request(index, &*self.registries[index]);
            match &outcome {
                Err(error) if is_outage(error) && wait.remaining().is_ok() => self.set_down(index, true),
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

/// The update of one registry as an update of the failover. Even a registry that cannot lose registrations does not
/// know the ones that went only to another registry.
fn as_failover_update(index: usize, update: RegistryUpdate) -> RegistryUpdate {
    let epoch = format!("{index} {}", update.epoch.unwrap_or_default());
    let absence =
        if update.absence == Absence::Authoritative { Absence::AfterSettling } else { update.absence };
    RegistryUpdate { epoch: Some(epoch), absence, ..update }
}

impl Registry for FailoverRegistry {
    fn source(&self) -> &Arc<str> {
        &self.source
    }

    fn is_writable(&self) -> bool {
        false
    }

    fn ttl(&self) -> Duration {
        self.registries[self.active()].ttl()
    }

    fn queue(&self) -> &Arc<TaskQueue> {
        self.registries[0].queue()
    }

    fn read(&self, service: &str, wait: &WaitLimit<'_>) -> Result<RegistryUpdate> {
        self.try_each(wait, |index, registry| Ok(as_failover_update(index, registry.read(service, wait)?)))
    }

    fn services(&self, wait: &WaitLimit<'_>) -> Result<Vec<String>> {
        self.try_each(wait, |_, registry| registry.services(wait))
    }

    fn watch(self: Arc<Self>, sink: Arc<dyn UpdateSink>) -> Box<dyn WatchHandle> {
        let state = FailoverState {
            watches: self.registries.iter().map(|_| None).collect(),
            ..FailoverState::default()
        };
        let watcher = Arc::new(FailoverWatcher {
            failover: self,
            sink,
            state: Mutex::new(state),
            forwarding: Mutex::new(()),
        });
        let active = watcher.failover.active();
        watcher.watch_up_to(active);
        Box::new(FailoverWatchHandle(watcher))
    }

    fn local_ip(&self, wait: &WaitLimit<'_>) -> Option<IpAddr> {
        self.registries.iter().find_map(|registry| registry.local_ip(wait))
    }
}

/// The watch on one of them; empty until it has been started.
type StartedWatch = OnceLock<Box<dyn WatchHandle>>;

/// The handle of the watch on the registry in use.
struct FailoverWatchHandle(Arc<FailoverWatcher>);

struct FailoverWatcher {
    failover: Arc<FailoverRegistry>,
    sink: Arc<dyn UpdateSink>,
    state: Mutex<FailoverState>,
    /// Held while the catalog is notified, so that updates of two registries cannot overtake each other.
    forwarding: Mutex<()>,
}

#[derive(Default)]
struct FailoverState {
    watches: Vec<Option<Arc<StartedWatch>>>,
    /// The registry whose update was forwarded last.
    forwarded: Option<usize>,
    subscribed: BTreeSet<String>,
    all: bool,
}

impl FailoverWatcher {
    /// Watches this registry and the ones before it, which may answer again, and ends the watches on the ones after it.
    fn watch_up_to(self: &Arc<Self>, active: usize) {
        let mut released = Vec::new();
        for index in 0..self.failover.registries.len() {
            let new_watch = {
                let mut state = self.state.lock();
                match (&state.watches[index], index <= active) {
                    (None, true) => {
                        let watch = Arc::new(OnceLock::new());
                        state.watches[index] = Some(watch.clone());
                        Some(watch)
                    }
                    (Some(_), false) => {
                        released.push(state.watches[index].take());
                        None
                    }
                    _ => None,
                }
            };
            if let Some(watch) = new_watch {
                self.start_watch(index, &watch);
            }
        }
        drop(released); // outside the lock: ending a watch may take other locks
    }

    fn start_watch(self: &Arc<Self>, index: usize, watch: &StartedWatch) {
        let sink = Arc::new(FailoverSink { watcher: Arc::downgrade(self), index });
        let watch = watch.get_or_init(|| self.failover.registries[index].clone().watch(sink));
        // Read only after the watch was stored: a later subscription finds it there.
        let (subscribed, all) = {
            let state = self.state.lock();
            (state.subscribed.clone(), state.all)
        };
        subscribed.iter().for_each(|service| watch.subscribe(service));
        if all {
            watch.subscribe_all();
        }
    }

    fn for_each_watch(&self, apply: impl Fn(&(dyn WatchHandle + 'static))) {
        let watches: Vec<_> = self.state.lock().watches.iter().flatten().cloned().collect();
        watches.iter().filter_map(|watch| watch.get()).for_each(|watch| apply(&**watch));
    }

    fn on_update(self: &Arc<Self>, index: usize, update: RegistryUpdate) {
        self.failover.set_down(index, false);
        let active = self.failover.active();
        if index != active {
            return;
        }
        self.watch_up_to(active);
        let forwarding = self.forwarding.lock();
        if index != self.failover.active() {
            return; // a preferred registry has answered in the meantime
        }
        let is_switch = {
            let mut state = self.state.lock();
            // A name that was reported once is watched from then on, so that its end is noticed too.
            state.subscribed.extend(update.lists.iter().map(|(service, _)| service.clone()));
            state.forwarded.replace(index).is_some_and(|forwarded| forwarded != index)
        };
        // This registry does not confirm what another one reported.
        let confirms_all = update.confirms_all && !is_switch;
        self.sink.on_update(as_failover_update(index, RegistryUpdate { confirms_all, ..update }));
        drop(forwarding);
        if is_switch {
            tracing::warn!(source = %self.failover.registries[index].source(), "switched to this registry");
            // It may not send again what was ignored while another registry was in use.
            let subscribed = self.state.lock().subscribed.clone();
            self.for_each_watch(|watch| subscribed.iter().for_each(|service| watch.refresh(service)));
        }
    }

    fn on_failure(self: &Arc<Self>, index: usize, error: Error) {
        self.failover.set_down(index, true);
        if self.failover.is_all_down() {
            // The first one that answers is used.
            self.watch_up_to(self.failover.registries.len() - 1);
            self.sink.on_failure(error);
        } else {
            self.watch_up_to(self.failover.active());
        }
    }
}

impl WatchHandle for FailoverWatchHandle {
    fn subscribe(&self, service: &str) {
        self.0.state.lock().subscribed.insert(service.to_owned());
        self.0.for_each_watch(|watch| watch.subscribe(service));
    }

    fn unsubscribe(&self, service: &str) {
        self.0.state.lock().subscribed.remove(service);
        self.0.for_each_watch(|watch| watch.unsubscribe(service));
    }

    fn subscribe_all(&self) {
        self.0.state.lock().all = true;
        self.0.for_each_watch(WatchHandle::subscribe_all);
    }

    fn refresh(&self, service: &str) {
        self.0.for_each_watch(|watch| watch.refresh(service));
    }
}

/// Receives the updates of one registry.
struct FailoverSink {
    watcher: Weak<FailoverWatcher>,
    index: usize,
}

impl UpdateSink for FailoverSink {
    fn on_update(&self, update: RegistryUpdate) {
        if let Some(watcher) = self.watcher.upgrade() {
            watcher.on_update(self.index, update);
        }
    }

    fn on_failure(&self, error: Error) {
        if let Some(watcher) = self.watcher.upgrade() {
            watcher.on_failure(self.index, error);
        }
    }

    fn is_in_use(&self, service: &str) -> bool {
        self.watcher.upgrade().is_some_and(|watcher| watcher.sink.is_in_use(service))
    }
}
