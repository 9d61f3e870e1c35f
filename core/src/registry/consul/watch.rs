//! Following what happens, by blocking queries: one for each watched service, or two for all where they are many.
//!
//! ```text
//!  Hub ──┬── Topic "orders"    /v1/health/service/orders?index=… ─┐
//!        ├── Topic "billing"   …                                  ├─ each on a connection of its own, no thread
//!        └── Topic names       /v1/catalog/services?index=…      ─┘
//!  above MOST_TOPICS services: names and /v1/health/state/any only; whatever they show to have changed is read
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use crate::sync::Mutex;
use serde::Deserialize;

use super::topic::{Subject, Topic};
use super::{Consul, read};
use crate::clock::{self, Tick};
use crate::error::Result;
use crate::interrupt::Closing;
use crate::registry::polling::jittered;
use crate::registry::web::{self, Host, is_away};
use crate::registry::{Registry, RegistryUpdate, Sink, Wait, Watch};
use crate::runtime::Priority;
use crate::transport::Answer;

/// So many services have a connection of their own.
const MOST_TOPICS: usize = 100;
/// When what could not be read is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// Changes often come together.
const GATHER: Duration = Duration::from_millis(50);
/// The least time between two readings of all services, for each of them: reading one takes about a tenth of it.
const SWEEP_PACE: Duration = Duration::from_millis(10);

/// Everything that is watched at one Consul by one client.
pub(super) struct Hub {
    pub(super) consul: Arc<Consul>,
    pub(super) sink: Arc<dyn Sink>,
    /// Ends requests under way once the watch is dropped.
    pub(super) closing: Closing,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    wanted: BTreeSet<String>,
    all: bool,
    topics: HashMap<Subject, Arc<Topic>>,
    /// What the checks of each service looked like last, while two queries stand for all.
    checks: HashMap<String, u64>,
    /// What is to be read, and whether somebody is at it.
    due: BTreeSet<String>,
    is_reading: bool,
    /// The epoch of an answer on checks that confirms everything, once what is due has been read.
    confirms: Option<u64>,
    sweep_due: bool,
    swept_at: Tick,
}

struct Handle(Arc<Hub>);

pub(super) fn begin(consul: Arc<Consul>, sink: Arc<dyn Sink>) -> Box<dyn Watch> {
    Box::new(Handle(Arc::new(Hub { consul, sink, closing: Closing::default(), state: Mutex::default() })))
}

impl Watch for Handle {
    fn want(&self, service: &str) {
        let is_news = self.0.state.lock().wanted.insert(service.to_owned());
        if is_news {
            self.0.arrange([service.to_owned()]);
        }
    }

    fn forget(&self, service: &str) {
        let mut state = self.0.state.lock();
        if !state.all {
            state.wanted.remove(service);
            if let Some(topic) = state.topics.remove(&Subject::Service(service.to_owned())) {
                topic.end();
            }
        }
    }

    fn want_all(&self) {
        self.0.state.lock().all = true;
        self.0.arrange([]);
    }

    fn refresh(&self, service: &str) {
        self.0.read_soon([service.to_owned()]);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.closing.close();
        self.0.state.lock().topics.drain().for_each(|(_, topic)| topic.end());
    }
}

impl Hub {
    /// Opens the queries that what is wanted needs, and ends those that it no longer does.
    fn arrange(self: &Arc<Self>, new: impl IntoIterator<Item = String>) {
        let mut state = self.state.lock();
        let are_many = state.wanted.len() > MOST_TOPICS;
        let mut needed: BTreeSet<Subject> = BTreeSet::new();
        if are_many {
            needed.extend([Subject::Names, Subject::Checks]);
        } else {
            needed.extend(state.all.then_some(Subject::Names));
            needed.extend(state.wanted.iter().cloned().map(Subject::Service));
        }
        state.topics.retain(|subject, topic| {
            needed.contains(subject) || {
                topic.end();
                false
            }
        });
        for subject in needed {
            let make = || Topic::begin(self, subject.clone());
            state.topics.entry(subject.clone()).or_insert_with(make);
        }
        let has_all_checks = !state.checks.is_empty();
        drop(state);
        if are_many && has_all_checks {
            // The two queries have told of the others already.
            self.read_soon(new);
        }
    }

    /// Whether any service but this one is told of, or may yet be.
    pub(super) fn has_well(&self, but: &Subject) -> bool {
        let topics: Vec<_> = {
            let state = self.state.lock();
            let is_other = |subject: &Subject| matches!(subject, Subject::Service(_)) && subject != but;
            state
                .topics
                .iter()
                .filter(|(subject, _)| is_other(subject))
                .map(|(_, topic)| topic.clone())
                .collect()
        };
        topics.iter().any(|topic| topic.is_well())
    }

    /// What an answer to one of the queries tells.
    pub(super) fn answered(
        self: &Arc<Self>,
        subject: &Subject,
        agent: &Host,
        answer: &Answer,
        epoch: u64,
    ) -> Result<()> {
        match subject {
            Subject::Service(service) => {
                let wait = Wait::new(self.consul.request_timeout(), &self.closing);
                self.sink.heard(self.consul.heard(agent, service, answer, epoch, &wait)?);
            }
            Subject::Names => self.names_are(read::names(agent, answer)?, epoch),
            Subject::Checks => self.checks_are(&web::read::<Vec<Check>>(answer, &agent.label())?, epoch),
        }
        Ok(())
    }

    /// A name once seen is followed ever after: its end is to be seen too.
    fn names_are(self: &Arc<Self>, names: Vec<String>, epoch: u64) {
        let mut state = self.state.lock();
        let mut news = Vec::new();
        if state.all {
            news = names.into_iter().filter(|name| !state.wanted.contains(name)).collect();
            state.wanted.extend(news.iter().cloned());
        }
        let are_many = state.topics.contains_key(&Subject::Checks);
        drop(state);
        self.sink.heard(RegistryUpdate {
            epoch: Some(self.consul.epoch_name(epoch)),
            ..RegistryUpdate::default()
        });
        self.arrange(news);
        if are_many {
            self.sweep_soon();
        }
    }

    /// Some service was registered or changed, and nobody says which: all of them are read, at a pace that leaves
    /// a worker nine tenths of its time.
    fn sweep_soon(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.sweep_due, true) {
            return;
        }
        let at = state.swept_at.after(SWEEP_PACE * state.wanted.len() as u32);
        let wait = at.remaining(clock::now()).max(GATHER);
        let hub = Arc::downgrade(self);
        self.consul.runtime.after(wait, self.consul.lane(), Priority::Poll, move || {
            let Some(hub) = hub.upgrade() else { return };
            let mut state = hub.state.lock();
            state.sweep_due = false;
            state.swept_at = clock::now();
            let used = state.wanted.iter().filter(|service| hub.sink.is_used(service)).cloned();
            let used: Vec<String> = used.collect();
            state.due.extend(used);
            hub.begin_reading(&mut state);
        });
    }

    fn checks_are(self: &Arc<Self>, checks: &[Check], epoch: u64) {
        let mut now: BTreeMap<&str, DefaultHasher> = BTreeMap::new();
        for check in checks.iter().filter(|check| !check.service_name.is_empty()) {
            let seen = now.entry(&check.service_name).or_default();
            (&check.service_id, &check.status, check.modify_index).hash(seen);
        }
        let now: HashMap<String, u64> =
            now.into_iter().map(|(name, hasher)| (name.to_owned(), hasher.finish())).collect();
        let mut state = self.state.lock();
        // A service without any check shows in the names only.
        let is_changed = |name: &&String| now.get(*name) != state.checks.get(*name);
        let changed: Vec<String> = state.wanted.iter().filter(is_changed).cloned().collect();
        let is_first = std::mem::replace(&mut state.checks, now).is_empty();
        if is_first {
            let all = state.wanted.clone();
            state.due.extend(all);
        }
        state.due.extend(changed);
        state.confirms = Some(epoch);
        self.begin_reading(&mut state);
    }

    /// Reads these services in the background.
    fn read_soon(self: &Arc<Self>, services: impl IntoIterator<Item = String>) {
        let mut state = self.state.lock();
        state.due.extend(services);
        self.begin_reading(&mut state);
    }

    fn begin_reading(self: &Arc<Self>, state: &mut State) {
        let is_wanted = !state.due.is_empty() || state.confirms.is_some();
        if !is_wanted || std::mem::replace(&mut state.is_reading, true) {
            return;
        }
        self.read_after(Duration::ZERO);
    }

    fn read_after(self: &Arc<Self>, wait: Duration) {
        let hub = Arc::downgrade(self);
        self.consul.runtime.after(wait, self.consul.lane(), Priority::Poll, move || {
            if let Some(hub) = hub.upgrade() {
                hub.read_due();
            }
        });
    }

    /// Reads what is due, one after the other. What could not be read stays due, and until it has been nothing is
    /// confirmed.
    fn read_due(self: &Arc<Self>) {
        while let Some(service) = self.next_due() {
            let wait = Wait::new(self.consul.request_timeout(), &self.closing);
            match self.consul.read(&service, &wait) {
                Ok(heard) => self.sink.heard(heard),
                Err(error) if is_away(&error) || self.closing.is_closed() => {
                    self.state.lock().due.insert(service);
                    if !self.closing.is_closed() {
                        self.sink.lost(error);
                        self.read_after(jittered(AGAIN));
                    }
                    return;
                }
                Err(error) => tracing::warn!(source = %self.consul.source, service, %error, "cannot be read"),
            }
        }
    }

    /// The next service to be read; none once all that an answer confirms has been read.
    fn next_due(&self) -> Option<String> {
        let mut state = self.state.lock();
        let next = state.due.pop_first();
        if next.is_none() {
            state.is_reading = false;
            let confirmed = state.confirms.take();
            drop(state);
            if let Some(epoch) = confirmed {
                // What has not changed is as it was: nothing else needs to be asked about it.
                let epoch = Some(self.consul.epoch_name(epoch));
                self.sink.heard(RegistryUpdate { epoch, confirms_all: true, ..RegistryUpdate::default() });
            }
        }
        next
    }
}

/// A check, as `/v1/health/state/any` lists it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Check {
    #[serde(default)]
    status: String,
    #[serde(rename = "ServiceID", default)]
    service_id: String,
    #[serde(default)]
    service_name: String,
    #[serde(default)]
    modify_index: u64,
}
