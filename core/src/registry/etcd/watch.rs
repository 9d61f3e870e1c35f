//! Watches services over one stream.
//!
//! ```text
//!  subscribed ──► listed (read at revision R) ──► watched from R on ──► events; each reports the whole list
//!                   ▲                                  │ the stream broke: resumed at the next member from the last
//!                   ├── and listed at the same time ◄──┤   known revision, unless the cluster was restored
//!                   └── compacted ◄────────────────────┘
//! ```
//!
//! Resuming reports missed events at once. The list read at the same time covers what events cannot show: a cluster that
//! was restored and has passed our revision takes our revision for one of its own history. This is detected when a known
//! key has another revision, and neither revision is later than what both sides knew.
//!
//! A delete event contains only the key and no reason. So the content of every key is stored, the whole list is reported,
//! and the catalog decides whether the missing endpoint is gone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::client::EtcdClient;
use super::proto::event::EventType;
use super::proto::{Event, WatchResponse};
use super::read::FoundRecord;
use super::stream::{SENTINEL, ScopeRead, WatchScope, WatchStream};
use super::watched_scope::{ListOutcome, WatchedScope};
use crate::error::{Error, Kind, Result};
use crate::model::Endpoint;
use crate::registry::async_bridge::{WatchCommand, WatchCommands};
use crate::registry::http_host::is_outage;
use crate::registry::reconnect::ReconnectBackoff;
use crate::registry::types::{DEFAULT_TTL, Listing, RegistryUpdate, UpdateSink};

/// How often host names are resolved again.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(30);
/// How many lists are read at the same time.
const MAX_READS: usize = 32;

/// Watches what the commands subscribe to, until the handle is dropped.
pub(super) async fn follow(client: Arc<EtcdClient>, sink: Arc<dyn UpdateSink>, mut commands: WatchCommands) {
    let mut watcher = EtcdWatcher { client, sink, scopes: HashMap::new(), ttls: BTreeMap::new() };
    let mut reconnect = ReconnectBackoff::default();
    loop {
        let Err(error) = watcher.serve(&mut commands, &mut reconnect).await else { return };
        watcher.sink.on_failure(error);
        let wait = reconnect.failed(watcher.client.ttl(), fastrand::f64());
        tokio::time::sleep(wait).await;
    }
}

struct EtcdWatcher {
    client: Arc<EtcdClient>,
    sink: Arc<dyn UpdateSink>,
    scopes: HashMap<WatchScope, WatchedScope>,
    /// How many records have each TTL. After the longest one, a missed expiry has been reported.
    ttls: BTreeMap<Duration, usize>,
}

impl EtcdWatcher {
    /// Opens one stream and serves it until it ends. Returns `Ok` once the handle has been dropped.
    async fn serve(&mut self, commands: &mut WatchCommands, reconnect: &mut ReconnectBackoff) -> Result<()> {
        let mut stream = self.open_stream().await?;
        reconnect.succeeded();
        let outcome = self.serve_stream(&mut stream, commands).await;
        if outcome.is_err() {
            self.client.cluster.connection_failed(&stream.connection).await;
        }
        outcome
    }

    /// Opens a stream, and resumes the watches on it.
    async fn open_stream(&mut self) -> Result<WatchStream> {
        let look = self.client.reader.read_header(&self.client.cluster).await?;
        self.client.reader.update_for(&look);
        let epoch = self.client.reader.epoch();
        let mut stream = WatchStream::open(&self.client).await?;
        let scopes: Vec<WatchScope> = self.scopes.keys().cloned().collect();
        for scope in scopes {
            let watched = self.scopes.entry(scope.clone()).or_default();
            watched.id = None;
            if watched.epoch == epoch && watched.revision > 0 {
                self.watch(&mut stream, &scope);
            }
            stream.due.insert(scope);
        }
        Ok(stream)
    }

    async fn serve_stream(&mut self, stream: &mut WatchStream, commands: &mut WatchCommands) -> Result<()> {
        let interval = self.client.ttl().min(DEFAULT_TTL) / 3;
        let (mut alive, mut progress_at, mut resolved) = (true, Instant::now(), Instant::now());
        loop {
            while stream.reading.len() < MAX_READS
                && let Some(scope) = stream.due.pop_first()
            {
                let (client, own) = (self.client.clone(), scope.clone());
                stream
                    .reading
                    .spawn(async move { (scope, client.reader.list(&client.cluster, own.as_deref()).await) });
            }
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.on_command(stream, command),
                    None => return Ok(()),
                },
                response = stream.responses.message() => {
                    alive = true;
                    match response {
                        Ok(Some(response)) => self.on_response(stream, response).await?,
                        Ok(None) => return Err(stream.ended()),
                        Err(status) => return Err(stream.connection.error_for(&status)),
                    }
                }
                Some(asked) = stream.reading.join_next(), if !stream.reading.is_empty() => match asked {
                    Ok(asked) => self.on_list(stream, asked).await?,
                    Err(_) => return Err(Error::new(Kind::Internal, "reading a list panicked; please report this bug")),
                },
                () = sleep_until(progress_at) => {
                    if !std::mem::replace(&mut alive, false) {
                        let message = format!("{}: no response for {interval:?}", stream.connection.label());
                        return Err(Error::new(Kind::Timeout, message));
                    }
                    stream.due.append(&mut stream.refused);
                    if resolved.elapsed() > RESOLVE_INTERVAL {
                        resolved = Instant::now();
                        stream.due.extend(self.scopes_with_host_names());
                    }
                    stream.request_progress();
                    progress_at = Instant::now() + interval;
                }
            }
        }
    }

    fn on_command(&mut self, stream: &mut WatchStream, command: WatchCommand) {
        let follows_all = self.scopes.contains_key(&None);
        match command {
            WatchCommand::Subscribe(service) if follows_all => self.report(vec![service]),
            WatchCommand::Subscribe(service) => self.add_scope(stream, Some(service)),
            WatchCommand::SubscribeAll => {
                self.add_scope(stream, None);
                let single: Vec<WatchScope> =
                    self.scopes.keys().filter(|scope| scope.is_some()).cloned().collect();
                single.into_iter().for_each(|scope| self.remove_scope(stream, &scope));
            }
            WatchCommand::Unsubscribe(service) => self.remove_scope(stream, &Some(service)),
            WatchCommand::Refresh(_) if follows_all => drop(stream.due.insert(None)),
            WatchCommand::Refresh(service) => drop(stream.due.insert(Some(service))),
        }
    }

    fn add_scope(&mut self, stream: &mut WatchStream, scope: WatchScope) {
        if !self.scopes.contains_key(&scope) {
            self.scopes.insert(scope.clone(), WatchedScope::default());
            stream.due.insert(scope);
        }
    }

    fn remove_scope(&mut self, stream: &mut WatchStream, scope: &WatchScope) {
        if let Some(watched) = self.scopes.remove(scope) {
            watched.records.into_values().for_each(|found| self.remove_ttl(found.ttl));
            stream.cancel(watched.id);
        }
    }

    fn cancel_watch(&mut self, stream: &mut WatchStream, scope: &WatchScope) {
        if let Some(watched) = self.scopes.get_mut(scope) {
            stream.cancel(watched.id.take());
        }
    }

    /// Watches a scope from its known revision.
    fn watch(&mut self, stream: &mut WatchStream, scope: &WatchScope) {
        let Some(watched) = self.scopes.get_mut(scope).filter(|watched| watched.id.is_none()) else {
            return;
        };
        watched.id =
            Some(stream.watch(scope.clone(), self.client.reader.range(scope.as_deref()), watched.revision));
    }

    /// The scopes that contain host names.
    fn scopes_with_host_names(&self) -> impl Iterator<Item = WatchScope> + '_ {
        let is_named = |watched: &WatchedScope| watched.records.values().any(|found| found.is_named);
        self.scopes.iter().filter(move |(_, watched)| is_named(watched)).map(|(scope, _)| scope.clone())
    }

    // === events and lists ===

    /// Applies a list, which is complete as of its revision.
    async fn on_list(&mut self, stream: &mut WatchStream, (scope, response): ScopeRead) -> Result<()> {
        let response = match response {
            Ok(response) => response,
            Err(error) if is_outage(&error) => return Err(error),
            Err(error) => {
                if stream.refused_before.insert(scope.clone()) {
                    tracing::warn!(service = scope.as_deref().unwrap_or("*"), %error, "cannot read this service");
                }
                stream.refused.insert(scope);
                // A failure of one scope concerns only that scope, unless nothing is watched.
                if stream.watches.is_empty() {
                    self.sink.on_failure(error);
                }
                return Ok(());
            }
        };
        let mut records = HashMap::new();
        for kv in &response.kvs {
            if let Some(found) = self.client.reader.read_record(kv).await {
                records.insert(kv.key.clone(), found);
            }
        }
        let update = self.client.reader.update_for(&response);
        if !self.scopes.contains_key(&scope) {
            // A refresh of a service that is not subscribed: reported, but not watched.
            let service = scope.unwrap_or_default();
            let lists = vec![(service, listing(records.values()))];
            self.sink.on_update(RegistryUpdate { lists, ..update });
            return Ok(());
        }
        stream.refused_before.remove(&scope);
        let watched = self.scopes.entry(scope.clone()).or_default();
        let known_as = self.client.reader.epoch();
        if watched.contradicts(known_as, &records, response.header.revision) {
            self.client.reader.start_new_epoch(&response);
        }
        let epoch = self.client.reader.epoch();
        match watched.list_outcome(epoch, response.header.revision, stream.listed.insert(scope.clone())) {
            ListOutcome::Current => {}
            ListOutcome::Restart => self.cancel_watch(stream, &scope),
            ListOutcome::Overtaken => {
                self.report(scope);
                return Ok(());
            }
        }
        records.values().for_each(|found| self.add_ttl(found.ttl));
        let watched = self.scopes.entry(scope.clone()).or_default();
        (watched.epoch, watched.revision) = (epoch, response.header.revision);
        let before = std::mem::replace(&mut watched.records, records);
        before.values().for_each(|found| self.remove_ttl(found.ttl));
        // A list of all services also reports the services that are gone.
        let now = self.scopes.get(&scope).into_iter().flat_map(|watched| watched.records.values());
        let all = before.values().chain(now).map(|found| found.key.service.clone());
        let services: BTreeSet<String> = all.chain(scope.clone()).collect();
        self.report(services);
        self.watch(stream, &scope);
        Ok(())
    }

    async fn on_response(&mut self, stream: &mut WatchStream, response: WatchResponse) -> Result<()> {
        if response.watch_id == SENTINEL || response.watch_id < 0 {
            if response.canceled {
                return Err(stream.refused(&response));
            }
            // All watched scopes are unchanged, unless one is still being read.
            let confirms_all =
                stream.reading.is_empty() && stream.due.is_empty() && stream.refused.is_empty();
            self.sink.on_update(RegistryUpdate {
                confirms_all,
                ttl: self.ttl(),
                ..self.client.reader.unchanged_update()
            });
            return Ok(());
        }
        let Some(scope) = stream.watches.get(&response.watch_id).cloned() else { return Ok(()) };
        if response.canceled {
            stream.watches.remove(&response.watch_id);
            if let Some(watched) = self.scopes.get_mut(&scope) {
                watched.id = None;
            }
            if response.compact_revision == 0 {
                // The stream may use an invalid token: only a new stream helps.
                return Err(stream.refused(&response));
            }
            // The events since then are lost; the list contains their result.
            stream.due.insert(scope);
            return Ok(());
        }
        // Many missed events arrive in several responses, each with the current revision. Only a response without events
        // means that everything up to its revision has been reported.
        let reported = response.events.iter().filter_map(|event| Some(event.kv.as_ref()?.mod_revision)).max();
        let reported = reported.or_else(|| Some(response.header.filter(|_| !response.created)?.revision));
        let mut changed = BTreeSet::new();
        for event in response.events {
            changed.extend(self.apply_event(&scope, event).await);
        }
        if let Some(watched) = self.scopes.get_mut(&scope) {
            watched.revision = watched.revision.max(reported.unwrap_or_default());
        }
        self.report(changed);
        Ok(())
    }

    /// Applies an event. Returns the service that it changed.
    async fn apply_event(&mut self, scope: &WatchScope, event: Event) -> Option<String> {
        let kind = event.r#type();
        let kv = event.kv?;
        let revision = self.scopes.get(scope)?.revision;
        // A list that was read in the meantime contains it already.
        if kv.mod_revision <= revision {
            return None;
        }
        let found = if kind == EventType::Put { self.client.reader.read_record(&kv).await } else { None };
        let service = self.client.reader.key_of(&kv)?.service;
        self.add_ttl(found.as_ref().and_then(|found| found.ttl));
        let records = &mut self.scopes.get_mut(scope)?.records;
        let before = match found {
            Some(found) => records.insert(kv.key, found),
            None => records.remove(&kv.key),
        };
        self.remove_ttl(before.and_then(|found| found.ttl));
        Some(service)
    }

    /// Reports the current lists of these services.
    fn report(&self, services: impl IntoIterator<Item = String>) {
        let lists: Vec<(String, Listing)> = services
            .into_iter()
            .map(|service| {
                let watched = self.scopes.get(&Some(service.clone())).or_else(|| self.scopes.get(&None));
                let records = watched.into_iter().flat_map(|watched| watched.records.values());
                let own = records.filter(|found| found.key.service == service);
                let listing = listing(own);
                (service, listing)
            })
            .collect();
        if !lists.is_empty() {
            self.sink.on_update(RegistryUpdate {
                lists,
                ttl: self.ttl(),
                ..self.client.reader.unchanged_update()
            });
        }
    }

    // === TTLs ===

    fn ttl(&self) -> Option<Duration> {
        self.ttls.last_key_value().map(|(ttl, _)| *ttl)
    }

    fn add_ttl(&mut self, ttl: Option<Duration>) {
        if let Some(ttl) = ttl {
            *self.ttls.entry(ttl).or_default() += 1;
        }
    }

    fn remove_ttl(&mut self, ttl: Option<Duration>) {
        if let Some(ttl) = ttl
            && let Some(count) = self.ttls.get_mut(&ttl)
        {
            *count -= 1;
            if *count == 0 {
                self.ttls.remove(&ttl);
            }
        }
    }
}

fn listing<'a>(records: impl Iterator<Item = &'a FoundRecord>) -> Listing {
    let endpoints: Vec<Endpoint> = records.flat_map(|found| found.endpoints.iter().cloned()).collect();
    Listing { endpoints, removed: Vec::new() }
}
