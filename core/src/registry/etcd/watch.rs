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

use super::Inner;
use super::followed::{Followed, Verdict};
use super::proto::event::EventType;
use super::proto::{Event, WatchResponse};
use super::read::Found;
use super::stream::{Asked, SENTINEL, Scope, Stream};
use crate::error::{Error, Kind, Result};
use crate::model::Endpoint;
use crate::registry::async_bridge::{WatchCommand, WatchCommands};
use crate::registry::http_host::is_outage;
use crate::registry::reconnect::ReconnectBackoff;
use crate::registry::types::{DEFAULT_TTL, Listing, RegistryUpdate, UpdateSink};

/// How often host names are resolved again.
const RESOLVED: Duration = Duration::from_secs(30);
/// How many lists are read at the same time.
const AT_A_TIME: usize = 32;

/// Watches what the commands subscribe to, until the handle is dropped.
pub(super) async fn follow(inner: Arc<Inner>, sink: Arc<dyn UpdateSink>, mut wishes: WatchCommands) {
    let mut following = Following { inner, sink, scopes: HashMap::new(), ttls: BTreeMap::new() };
    let mut reconnect = ReconnectBackoff::default();
    loop {
        let Err(error) = following.attend(&mut wishes, &mut reconnect).await else { return };
        following.sink.on_failure(error);
        let wait = reconnect.failed(following.inner.ttl(), fastrand::f64());
        tokio::time::sleep(wait).await;
    }
}

struct Following {
    inner: Arc<Inner>,
    sink: Arc<dyn UpdateSink>,
    scopes: HashMap<Scope, Followed>,
    /// How many records have each TTL. After the longest one, a missed expiry has been reported.
    ttls: BTreeMap<Duration, usize>,
}

impl Following {
    /// Opens one stream and serves it until it ends. Returns `Ok` once the handle has been dropped.
    async fn attend(&mut self, wishes: &mut WatchCommands, reconnect: &mut ReconnectBackoff) -> Result<()> {
        let mut stream = self.begin().await?;
        reconnect.succeeded();
        let outcome = self.attend_to(&mut stream, wishes).await;
        if outcome.is_err() {
            self.inner.lines.broken(&stream.connected).await;
        }
        outcome
    }

    /// Opens a stream, and resumes the watches on it.
    async fn begin(&mut self) -> Result<Stream> {
        let look = self.inner.reader.look(&self.inner.lines).await?;
        self.inner.reader.heard(&look);
        let epoch = self.inner.reader.epoch();
        let mut stream = Stream::open(&self.inner).await?;
        let scopes: Vec<Scope> = self.scopes.keys().cloned().collect();
        for scope in scopes {
            let followed = self.scopes.entry(scope.clone()).or_default();
            followed.id = None;
            if followed.epoch == epoch && followed.revision > 0 {
                self.watch(&mut stream, &scope);
            }
            stream.due.insert(scope);
        }
        Ok(stream)
    }

    async fn attend_to(&mut self, stream: &mut Stream, wishes: &mut WatchCommands) -> Result<()> {
        let interval = self.inner.ttl().min(DEFAULT_TTL) / 3;
        let (mut alive, mut ask_at, mut resolved) = (true, Instant::now(), Instant::now());
        loop {
            while stream.asking.len() < AT_A_TIME
                && let Some(scope) = stream.due.pop_first()
            {
                let (inner, own) = (self.inner.clone(), scope.clone());
                stream
                    .asking
                    .spawn(async move { (scope, inner.reader.list(&inner.lines, own.as_deref()).await) });
            }
            tokio::select! {
                wish = wishes.recv() => match wish {
                    Some(wish) => self.wish(stream, wish),
                    None => return Ok(()),
                },
                answer = stream.answers.message() => {
                    alive = true;
                    match answer {
                        Ok(Some(answer)) => self.answered(stream, answer).await?,
                        Ok(None) => return Err(stream.ended()),
                        Err(status) => return Err(stream.connected.failed(&status)),
                    }
                }
                Some(asked) = stream.asking.join_next(), if !stream.asking.is_empty() => match asked {
                    Ok(asked) => self.listed(stream, asked).await?,
                    Err(_) => return Err(Error::new(Kind::Internal, "reading a list panicked; please report this bug")),
                },
                () = sleep_until(ask_at) => {
                    if !std::mem::replace(&mut alive, false) {
                        let message = format!("{}: no response for {interval:?}", stream.connected.label());
                        return Err(Error::new(Kind::Timeout, message));
                    }
                    stream.due.append(&mut stream.refused);
                    if resolved.elapsed() > RESOLVED {
                        resolved = Instant::now();
                        stream.due.extend(self.named());
                    }
                    stream.ask_for_life();
                    ask_at = Instant::now() + interval;
                }
            }
        }
    }

    fn wish(&mut self, stream: &mut Stream, wish: WatchCommand) {
        let follows_all = self.scopes.contains_key(&None);
        match wish {
            WatchCommand::Subscribe(service) if follows_all => self.tell(vec![service]),
            WatchCommand::Subscribe(service) => self.enter(stream, Some(service)),
            WatchCommand::SubscribeAll => {
                self.enter(stream, None);
                let single: Vec<Scope> =
                    self.scopes.keys().filter(|scope| scope.is_some()).cloned().collect();
                single.into_iter().for_each(|scope| self.leave(stream, &scope));
            }
            WatchCommand::Unsubscribe(service) => self.leave(stream, &Some(service)),
            WatchCommand::Refresh(_) if follows_all => drop(stream.due.insert(None)),
            WatchCommand::Refresh(service) => drop(stream.due.insert(Some(service))),
        }
    }

    fn enter(&mut self, stream: &mut Stream, scope: Scope) {
        if !self.scopes.contains_key(&scope) {
            self.scopes.insert(scope.clone(), Followed::default());
            stream.due.insert(scope);
        }
    }

    fn leave(&mut self, stream: &mut Stream, scope: &Scope) {
        if let Some(followed) = self.scopes.remove(scope) {
            followed.records.into_values().for_each(|found| self.uncount(found.ttl));
            stream.cancel(followed.id);
        }
    }

    fn unwatch(&mut self, stream: &mut Stream, scope: &Scope) {
        if let Some(followed) = self.scopes.get_mut(scope) {
            stream.cancel(followed.id.take());
        }
    }

    /// Watches a scope from its known revision.
    fn watch(&mut self, stream: &mut Stream, scope: &Scope) {
        let Some(followed) = self.scopes.get_mut(scope).filter(|followed| followed.id.is_none()) else {
            return;
        };
        followed.id =
            Some(stream.watch(scope.clone(), self.inner.reader.range(scope.as_deref()), followed.revision));
    }

    /// The scopes that contain host names.
    fn named(&self) -> impl Iterator<Item = Scope> + '_ {
        let is_named = |followed: &Followed| followed.records.values().any(|found| found.is_named);
        self.scopes.iter().filter(move |(_, followed)| is_named(followed)).map(|(scope, _)| scope.clone())
    }

    // === events and lists ===

    /// Applies a list, which is complete as of its revision.
    async fn listed(&mut self, stream: &mut Stream, (scope, answer): Asked) -> Result<()> {
        let answer = match answer {
            Ok(answer) => answer,
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
        for kv in &answer.kvs {
            if let Some(found) = self.inner.reader.found(kv).await {
                records.insert(kv.key.clone(), found);
            }
        }
        let heard = self.inner.reader.heard(&answer);
        if !self.scopes.contains_key(&scope) {
            // A refresh of a service that is not subscribed: reported, but not watched.
            let service = scope.unwrap_or_default();
            let lists = vec![(service, listing(records.values()))];
            self.sink.on_update(RegistryUpdate { lists, ..heard });
            return Ok(());
        }
        stream.refused_before.remove(&scope);
        let followed = self.scopes.entry(scope.clone()).or_default();
        let known_as = self.inner.reader.epoch();
        if followed.contradicts(known_as, &records, answer.header.revision) {
            self.inner.reader.began_anew(&answer);
        }
        let epoch = self.inner.reader.epoch();
        match followed.judge(epoch, answer.header.revision, stream.listed.insert(scope.clone())) {
            Verdict::Taken => {}
            Verdict::Anew => self.unwatch(stream, &scope),
            Verdict::Behind => {
                self.tell(scope);
                return Ok(());
            }
        }
        records.values().for_each(|found| self.count(found.ttl));
        let followed = self.scopes.entry(scope.clone()).or_default();
        (followed.epoch, followed.revision) = (epoch, answer.header.revision);
        let before = std::mem::replace(&mut followed.records, records);
        before.values().for_each(|found| self.uncount(found.ttl));
        // A list of all services also reports the services that are gone.
        let now = self.scopes.get(&scope).into_iter().flat_map(|followed| followed.records.values());
        let all = before.values().chain(now).map(|found| found.place.service.clone());
        let services: BTreeSet<String> = all.chain(scope.clone()).collect();
        self.tell(services);
        self.watch(stream, &scope);
        Ok(())
    }

    async fn answered(&mut self, stream: &mut Stream, answer: WatchResponse) -> Result<()> {
        if answer.watch_id == SENTINEL || answer.watch_id < 0 {
            if answer.canceled {
                return Err(stream.refused(&answer));
            }
            // All watched scopes are unchanged, unless one is still being read.
            let confirms_all = stream.asking.is_empty() && stream.due.is_empty() && stream.refused.is_empty();
            self.sink.on_update(RegistryUpdate {
                confirms_all,
                ttl: self.ttl(),
                ..self.inner.reader.as_before()
            });
            return Ok(());
        }
        let Some(scope) = stream.watches.get(&answer.watch_id).cloned() else { return Ok(()) };
        if answer.canceled {
            stream.watches.remove(&answer.watch_id);
            if let Some(followed) = self.scopes.get_mut(&scope) {
                followed.id = None;
            }
            if answer.compact_revision == 0 {
                // The stream may use an invalid token: only a new stream helps.
                return Err(stream.refused(&answer));
            }
            // The events since then are lost; the list contains their result.
            stream.due.insert(scope);
            return Ok(());
        }
        // Many missed events arrive in several responses, each with the current revision. Only a response without events
        // means that everything up to its revision has been reported.
        let told = answer.events.iter().filter_map(|event| Some(event.kv.as_ref()?.mod_revision)).max();
        let told = told.or_else(|| Some(answer.header.filter(|_| !answer.created)?.revision));
        let mut changed = BTreeSet::new();
        for event in answer.events {
            changed.extend(self.happened(&scope, event).await);
        }
        if let Some(followed) = self.scopes.get_mut(&scope) {
            followed.revision = followed.revision.max(told.unwrap_or_default());
        }
        self.tell(changed);
        Ok(())
    }

    /// Applies an event. Returns the service that it changed.
    async fn happened(&mut self, scope: &Scope, event: Event) -> Option<String> {
        let kind = event.r#type();
        let kv = event.kv?;
        let revision = self.scopes.get(scope)?.revision;
        // A list that was read in the meantime contains it already.
        if kv.mod_revision <= revision {
            return None;
        }
        let found = if kind == EventType::Put { self.inner.reader.found(&kv).await } else { None };
        let service = self.inner.reader.place(&kv)?.service;
        self.count(found.as_ref().and_then(|found| found.ttl));
        let records = &mut self.scopes.get_mut(scope)?.records;
        let before = match found {
            Some(found) => records.insert(kv.key, found),
            None => records.remove(&kv.key),
        };
        self.uncount(before.and_then(|found| found.ttl));
        Some(service)
    }

    /// Reports the current lists of these services.
    fn tell(&self, services: impl IntoIterator<Item = String>) {
        let lists: Vec<(String, Listing)> = services
            .into_iter()
            .map(|service| {
                let followed = self.scopes.get(&Some(service.clone())).or_else(|| self.scopes.get(&None));
                let records = followed.into_iter().flat_map(|followed| followed.records.values());
                let own = records.filter(|found| found.place.service == service);
                let listing = listing(own);
                (service, listing)
            })
            .collect();
        if !lists.is_empty() {
            self.sink.on_update(RegistryUpdate { lists, ttl: self.ttl(), ..self.inner.reader.as_before() });
        }
    }

    // === TTLs ===

    fn ttl(&self) -> Option<Duration> {
        self.ttls.last_key_value().map(|(ttl, _)| *ttl)
    }

    fn count(&mut self, ttl: Option<Duration>) {
        if let Some(ttl) = ttl {
            *self.ttls.entry(ttl).or_default() += 1;
        }
    }

    fn uncount(&mut self, ttl: Option<Duration>) {
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

fn listing<'a>(records: impl Iterator<Item = &'a Found>) -> Listing {
    let endpoints: Vec<Endpoint> = records.flat_map(|found| found.endpoints.iter().cloned()).collect();
    Listing { endpoints, removed: Vec::new() }
}
