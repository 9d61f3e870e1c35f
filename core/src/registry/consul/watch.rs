//! Watches services by blocking queries: one per service, or two for all of them if there are many.
//!
//! ```text
//!  ConsulWatcher ──┬── query "orders"    /v1/health/service/orders?index=… ─┐
//!                  ├── query "billing"   …                                  ├─ one connection each, no thread
//!                  └── query names       /v1/catalog/services?index=…      ─┘
//!  above MAX_QUERIES services: only names and /v1/health/state/any; services whose state changed are read
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use crate::sync::Mutex;
use serde::Deserialize;

use super::blocking_query::{BlockingQuery, QueryTarget};
use super::client::ConsulRegistry;
use super::read;
use crate::clock::{self, Tick};
use crate::error::Result;
use crate::interrupt::Closing;
use crate::registry::http_host::{self, HttpHost, is_outage};
use crate::registry::polling::jittered;
use crate::registry::types::{Registry, RegistryUpdate, UpdateSink, WaitLimit, WatchHandle};
use crate::runtime::Priority;
use crate::transport::Answer;

/// How many services have their own connection.
const MAX_QUERIES: usize = 100;
/// When a failed read is tried again.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// How long to collect changes, which often come together.
const COLLECT_DELAY: Duration = Duration::from_millis(50);
/// The minimum interval between two reads of all services, per service. Reading one takes about a tenth of it.
const SWEEP_INTERVAL_PER_SERVICE: Duration = Duration::from_millis(10);

/// Everything that one client watches at one Consul cluster.
pub(super) struct ConsulWatcher {
    pub(super) consul: Arc<ConsulRegistry>,
    pub(super) sink: Arc<dyn UpdateSink>,
    /// Interrupts requests in flight once the watch is dropped.
    pub(super) closing: Closing,
    state: Mutex<ConsulWatcherState>,
}

#[derive(Default)]
struct ConsulWatcherState {
    subscribed: BTreeSet<String>,
    all: bool,
    queries: HashMap<QueryTarget, Arc<BlockingQuery>>,
    /// A hash of the checks of each service, while two queries cover all services.
    checks: HashMap<String, u64>,
    /// The services to read, and whether a job is reading them.
    due: BTreeSet<String>,
    is_reading: bool,
    /// The epoch of a response on checks. It confirms all services once the due ones have been read.
    confirms: Option<u64>,
    sweep_due: bool,
    swept_at: Tick,
}

struct ConsulWatchHandle(Arc<ConsulWatcher>);

pub(super) fn start(consul: Arc<ConsulRegistry>, sink: Arc<dyn UpdateSink>) -> Box<dyn WatchHandle> {
    Box::new(ConsulWatchHandle(Arc::new(ConsulWatcher {
        consul,
        sink,
        closing: Closing::default(),
        state: Mutex::default(),
    })))
}

impl WatchHandle for ConsulWatchHandle {
    fn subscribe(&self, service: &str) {
        let is_news = self.0.state.lock().subscribed.insert(service.to_owned());
        if is_news {
            self.0.update_queries([service.to_owned()]);
        }
    }

    fn unsubscribe(&self, service: &str) {
        let mut state = self.0.state.lock();
        if !state.all {
            state.subscribed.remove(service);
            if let Some(query) = state.queries.remove(&QueryTarget::Service(service.to_owned())) {
                query.stop();
            }
        }
    }

    fn subscribe_all(&self) {
        self.0.state.lock().all = true;
        self.0.update_queries([]);
    }

    fn refresh(&self, service: &str) {
        self.0.read_soon([service.to_owned()]);
    }
}

impl Drop for ConsulWatchHandle {
    fn drop(&mut self) {
        self.0.closing.close();
        self.0.state.lock().queries.drain().for_each(|(_, query)| query.stop());
    }
}

impl ConsulWatcher {
    /// Starts the queries that the watched services need, and ends the others.
    fn update_queries(self: &Arc<Self>, new: impl IntoIterator<Item = String>) {
        let mut state = self.state.lock();
        let are_many = state.subscribed.len() > MAX_QUERIES;
        let mut needed: BTreeSet<QueryTarget> = BTreeSet::new();
        if are_many {
            needed.extend([QueryTarget::Names, QueryTarget::Checks]);
        } else {
            needed.extend(state.all.then_some(QueryTarget::Names));
            needed.extend(state.subscribed.iter().cloned().map(QueryTarget::Service));
        }
        state.queries.retain(|target, query| {
            needed.contains(target) || {
                query.stop();
                false
            }
        });
        for target in needed {
            let make = || BlockingQuery::start(self, target.clone());
            state.queries.entry(target.clone()).or_insert_with(make);
        }
        let has_all_checks = !state.checks.is_empty();
        drop(state);
        if are_many && has_all_checks {
            // The two queries have reported the other services already.
            self.read_soon(new);
        }
    }

    /// Whether the query of any other service has succeeded or not failed yet.
    pub(super) fn others_succeed(&self, but: &QueryTarget) -> bool {
        let queries: Vec<_> = {
            let state = self.state.lock();
            let is_other = |target: &QueryTarget| matches!(target, QueryTarget::Service(_)) && target != but;
            state
                .queries
                .iter()
                .filter(|(target, _)| is_other(target))
                .map(|(_, query)| query.clone())
                .collect()
        };
        queries.iter().any(|query| query.is_healthy())
    }

    /// Handles the response to a query.
    pub(super) fn on_response(
        self: &Arc<Self>,
        target: &QueryTarget,
        agent: &HttpHost,
        response: &Answer,
        epoch: u64,
    ) -> Result<()> {
        match target {
            QueryTarget::Service(service) => {
                let wait = WaitLimit::new(self.consul.request_timeout(), &self.closing);
                self.sink.on_update(self.consul.update_for(agent, service, response, epoch, &wait)?);
            }
            QueryTarget::Names => self.on_names(read::names(agent, response)?, epoch),
            QueryTarget::Checks => {
                self.on_checks(&http_host::read::<Vec<StateCheck>>(response, &agent.label())?, epoch);
            }
        }
        Ok(())
    }

    /// Handles a list of names. A name that was listed once is watched from then on, so that its end is noticed too.
    fn on_names(self: &Arc<Self>, names: Vec<String>, epoch: u64) {
        let mut state = self.state.lock();
        let mut news = Vec::new();
        if state.all {
            news = names.into_iter().filter(|name| !state.subscribed.contains(name)).collect();
            state.subscribed.extend(news.iter().cloned());
        }
        let are_many = state.queries.contains_key(&QueryTarget::Checks);
        drop(state);
        self.sink.on_update(RegistryUpdate {
            epoch: Some(self.consul.epoch_name(epoch)),
            ..RegistryUpdate::default()
        });
        self.update_queries(news);
        if are_many {
            self.sweep_soon();
        }
    }

    /// A service was registered or changed, and the response does not say which one. Reads all of them, at a rate that
    /// leaves nine tenths of the time of a worker to others.
    fn sweep_soon(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.sweep_due, true) {
            return;
        }
        let at = state.swept_at.after(SWEEP_INTERVAL_PER_SERVICE * state.subscribed.len() as u32);
        let wait = at.remaining(clock::now()).max(COLLECT_DELAY);
        let watcher = Arc::downgrade(self);
        self.consul.runtime.after(wait, self.consul.queue(), Priority::Poll, move || {
            let Some(watcher) = watcher.upgrade() else { return };
            let mut state = watcher.state.lock();
            state.sweep_due = false;
            state.swept_at = clock::now();
            let used = state.subscribed.iter().filter(|service| watcher.sink.is_in_use(service)).cloned();
            let used: Vec<String> = used.collect();
            state.due.extend(used);
            watcher.start_reading(&mut state);
        });
    }

    fn on_checks(self: &Arc<Self>, checks: &[StateCheck], epoch: u64) {
        let mut now: BTreeMap<&str, DefaultHasher> = BTreeMap::new();
        for check in checks.iter().filter(|check| !check.service_name.is_empty()) {
            let hasher = now.entry(&check.service_name).or_default();
            (&check.service_id, &check.status, check.modify_index).hash(hasher);
        }
        let now: HashMap<String, u64> =
            now.into_iter().map(|(name, hasher)| (name.to_owned(), hasher.finish())).collect();
        let mut state = self.state.lock();
        // A service without any check appears in the names only.
        let is_changed = |name: &&String| now.get(*name) != state.checks.get(*name);
        let changed: Vec<String> = state.subscribed.iter().filter(is_changed).cloned().collect();
        let is_first = std::mem::replace(&mut state.checks, now).is_empty();
        if is_first {
            let all = state.subscribed.clone();
            state.due.extend(all);
        }
        state.due.extend(changed);
        state.confirms = Some(epoch);
        self.start_reading(&mut state);
    }

    /// Reads these services in the background.
    fn read_soon(self: &Arc<Self>, services: impl IntoIterator<Item = String>) {
        let mut state = self.state.lock();
        state.due.extend(services);
        self.start_reading(&mut state);
    }

    fn start_reading(self: &Arc<Self>, state: &mut ConsulWatcherState) {
        let is_wanted = !state.due.is_empty() || state.confirms.is_some();
        if !is_wanted || std::mem::replace(&mut state.is_reading, true) {
            return;
        }
        self.read_after(Duration::ZERO);
    }

    fn read_after(self: &Arc<Self>, wait: Duration) {
        let watcher = Arc::downgrade(self);
        self.consul.runtime.after(wait, self.consul.queue(), Priority::Poll, move || {
            if let Some(watcher) = watcher.upgrade() {
                watcher.read_due();
            }
        });
    }

    /// Reads the due services one after the other. If a read fails, the service stays due, and nothing is confirmed
    /// until it has been read.
    fn read_due(self: &Arc<Self>) {
        while let Some(service) = self.next_due() {
            let wait = WaitLimit::new(self.consul.request_timeout(), &self.closing);
            match self.consul.read(&service, &wait) {
                Ok(update) => self.sink.on_update(update),
                Err(error) if is_outage(&error) || self.closing.is_closed() => {
                    self.state.lock().due.insert(service);
                    if !self.closing.is_closed() {
                        self.sink.on_failure(error);
                        self.read_after(jittered(RETRY_DELAY));
                    }
                    return;
                }
                Err(error) => {
                    tracing::warn!(source = %self.consul.source, service, %error, "cannot read this service");
                }
            }
        }
    }

    /// The next service to read; `None` once all due services have been read.
    fn next_due(&self) -> Option<String> {
        let mut state = self.state.lock();
        let next = state.due.pop_first();
        if next.is_none() {
            state.is_reading = false;
            let confirmed = state.confirms.take();
            drop(state);
            if let Some(epoch) = confirmed {
                // Everything else is unchanged and need not be read.
                let epoch = Some(self.consul.epoch_name(epoch));
                self.sink.on_update(RegistryUpdate {
                    epoch,
                    confirms_all: true,
                    ..RegistryUpdate::default()
                });
            }
        }
        next
    }
}

/// A check, as `/v1/health/state/any` lists it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StateCheck {
    #[serde(default)]
    status: String,
    #[serde(rename = "ServiceID", default)]
    service_id: String,
    #[serde(default)]
    service_name: String,
    #[serde(default)]
    modify_index: u64,
}
