//! Watches services. Nothing is read again unless the server has reported a change.
//!
//! ```text
//!  event ──► due ──► one read: children and data of everything due; each request sets the next watch ──► UpdateSink
//! ```
//!
//! A ZooKeeper watch fires once. A request that reads and sets a watch misses nothing: changes before the response are part
//! of it, changes after it fire the watch. Only watches that all versions support are used; the recursive ones of 3.6 would
//! fire for every service. A new connection has no watches, so everything is read again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Core;
use super::jute::{Event, What};
use super::line::{Fault, Line, TOGETHER};
use super::read::{Look, is_about_one};
use super::session::{Session, State, Told};
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::registry::async_bridge::{WatchCommand, WatchCommands};
use crate::registry::json_record::{service_path, unescape};
use crate::registry::rate_limiter::RateLimiter;
use crate::registry::reconnect::ReconnectBackoff;
use crate::registry::types::{Listing, UpdateSink};

/// The minimum interval between two reads while much changes. The first changes are read at once, the others together.
const PACE: Duration = Duration::from_millis(10);
/// How often host names are resolved again.
const RESOLVED: Duration = Duration::from_secs(30);

/// Watches what the commands subscribe to, until the handle is dropped.
pub(super) async fn follow(core: Arc<Core>, sink: Arc<dyn UpdateSink>, mut wishes: WatchCommands) {
    let session = core.with_session(|session: &Session| (session.state(), session.listen()));
    let (mut state, mut told) = match session {
        Ok(session) => session,
        Err(error) => return sink.on_failure(error),
    };
    state.mark_changed();
    let mut follower = Follower::new(core, sink);
    loop {
        let is_due = follower.line.is_some() && follower.is_due();
        tokio::select! {
            biased;
            wish = wishes.recv() => match wish {
                Some(wish) => follower.wished(wish),
                None => return,
            },
            Ok(()) = state.changed() => {
                let now = state.borrow_and_update().clone();
                follower.stands(now);
            }
            Some(told) = told.recv() => follower.told(told),
            () = sleep_until(follower.next_look), if is_due => follower.look().await,
            else => return,
        }
    }
}

struct Follower {
    core: Arc<Core>,
    sink: Arc<dyn UpdateSink>,
    line: Option<Arc<Line>>,
    services: BTreeMap<String, Known>,
    all: bool,
    due: Due,
    /// The services without read permission; read again with each ping.
    refused: BTreeSet<String>,
    /// The last permission error, until it is reported or known to concern single services only.
    refusal: Option<Error>,
    next_look: Instant,
    resolved: Instant,
    reconnect: ReconnectBackoff,
    limiter: RateLimiter,
}

/// The nodes of a watched service, by their last path segments.
#[derive(Default)]
struct Known {
    nodes: BTreeMap<String, Look>,
    /// Read once for a refresh, not watched.
    is_passing: bool,
    /// Whether the last read failed for lack of permission.
    is_refused: bool,
    /// Whether it was read successfully on this connection.
    is_shown: bool,
}

/// Everything that must be read.
#[derive(Default)]
struct Due {
    names: bool,
    services: BTreeSet<String>,
    /// By service and last path segment.
    nodes: BTreeSet<(String, String)>,
}

impl Follower {
    fn new(core: Arc<Core>, sink: Arc<dyn UpdateSink>) -> Follower {
        let now = Instant::now();
        Follower {
            core,
            sink,
            line: None,
            services: BTreeMap::new(),
            all: false,
            due: Due::default(),
            refused: BTreeSet::new(),
            refusal: None,
            next_look: now,
            resolved: now,
            reconnect: ReconnectBackoff::default(),
            limiter: RateLimiter::new(PACE),
        }
    }

    fn is_due(&self) -> bool {
        self.due.names || !self.due.services.is_empty() || !self.due.nodes.is_empty()
    }

    // === input ===

    fn wished(&mut self, wish: WatchCommand) {
        match wish {
            WatchCommand::Subscribe(service) => {
                self.services.entry(service.clone()).or_default().is_passing = false;
                self.due.services.insert(service);
            }
            WatchCommand::Unsubscribe(service) if !self.all => {
                self.services.remove(&service);
            }
            WatchCommand::Unsubscribe(_) => {}
            WatchCommand::SubscribeAll => {
                self.all = true;
                self.due.names = true;
            }
            WatchCommand::Refresh(service) => {
                let passing = || Known { is_passing: true, ..Known::default() };
                self.services.entry(service.clone()).or_insert_with(passing).nodes.clear();
                self.due.services.insert(service);
            }
        }
    }

    fn stands(&mut self, state: State) {
        match state {
            State::Trying(None) => {}
            State::Trying(Some(error)) | State::Away(error) => {
                self.line = None;
                self.sink.on_failure(error);
            }
            State::Up(line) => {
                if self.line.take().is_some() {
                    let message = format!("{}: the connection was replaced", line.label());
                    self.sink.on_failure(Error::new(Kind::Unavailable, message));
                }
                self.line = Some(line);
                self.reconnect.succeeded();
                self.next_look = Instant::now();
                self.look_at_everything();
            }
        }
    }

    fn look_at_everything(&mut self) {
        self.due.names = self.all;
        for (service, known) in &mut self.services {
            known.nodes.clear();
            known.is_shown = false;
            self.due.services.insert(service.clone());
        }
    }

    fn told(&mut self, told: Told) {
        match told {
            Told::Happened(event) => self.happened(&event),
            Told::Answers => self.answers(),
        }
    }

    fn happened(&mut self, Event { what, path }: &Event) {
        let Some(below) = path.strip_prefix(&self.core.prefix) else { return };
        match below.strip_prefix('/').map(|below| below.split_once('/')) {
            None if below.is_empty() => self.due.names = self.all,
            None => {}
            Some(None) => {
                let service = unescape(&below[1..]);
                // A service node has no data of its own.
                if *what != What::Data && self.services.contains_key(&service) {
                    self.due.services.insert(service);
                }
            }
            Some(Some((service, step))) => {
                let service = unescape(service);
                if self.services.contains_key(&service) {
                    self.due.nodes.insert((service, step.to_owned()));
                }
            }
        }
    }

    /// The server answered a ping: all events so far have been received.
    fn answers(&mut self) {
        if self.resolved.elapsed() > RESOLVED {
            self.resolved = Instant::now();
            let has_name = |look: &Look| matches!(look, Look::Found(found) if found.has_name());
            for (service, known) in &mut self.services {
                if known.nodes.values().any(has_name) {
                    known.nodes.clear();
                    self.due.services.insert(service.clone());
                }
            }
        }
        if let Some(line) = self.line.as_ref().filter(|_| !self.is_due() && self.refused.is_empty()) {
            self.sink.on_update(self.core.heard(line, Vec::new(), true));
        }
        self.due.services.append(&mut self.refused);
    }

    // === reads ===

    async fn look(&mut self) {
        let Some(line) = self.line.clone() else { return };
        match self.look_at_due(&line).await {
            Ok(lists) => {
                self.reconnect.succeeded();
                self.next_look = Instant::now() + self.limiter.next_wait(clock::now());
                let confirms_all = !self.is_due() && self.refused.is_empty();
                // A permission error concerns only its service, unless no service can be read.
                let is_well = |known: &Known| known.is_shown && !known.is_refused;
                let refusal = self.refusal.take().filter(|_| !self.services.values().any(is_well));
                if confirms_all || !lists.is_empty() || (refusal.is_none() && !self.refused.is_empty()) {
                    self.sink.on_update(self.core.heard(&line, lists, confirms_all));
                }
                if let Some(error) = refusal {
                    self.sink.on_failure(error);
                }
                self.services
                    .retain(|service, known| !known.is_passing || self.due.services.contains(service));
            }
            Err(error) => {
                // Some services may have been read partially.
                self.look_at_everything();
                self.next_look = Instant::now() + self.reconnect.failed(line.timeout, fastrand::f64());
                self.sink.on_failure(error);
            }
        }
    }

    /// Reads everything that is due. Returns the lists of the services that have changed.
    async fn look_at_due(&mut self, line: &Arc<Line>) -> Result<Vec<(String, Listing)>> {
        if std::mem::take(&mut self.due.names) {
            self.look_at_names(line).await?;
        }
        let mut changed = BTreeSet::new();
        let services: Vec<String> = std::mem::take(&mut self.due.services).into_iter().collect();
        for together in services.chunks(TOGETHER) {
            self.look_at_children(line, together, &mut changed).await?;
        }
        let nodes: Vec<_> = std::mem::take(&mut self.due.nodes).into_iter().collect();
        let looks = self.core.look(line, &nodes, true).await?;
        for ((service, step), look) in nodes.into_iter().zip(looks) {
            let Some(known) = self.services.get_mut(&service) else { continue };
            match look {
                Look::Gone => known.nodes.remove(&step),
                look => known.nodes.insert(step, look),
            };
            changed.insert(service);
        }
        let mut lists = Vec::with_capacity(changed.len());
        for service in changed {
            if let Some(known) = self.services.get(&service) {
                let listing = self.core.listing(known.nodes.values()).await;
                lists.push((service, listing));
            }
        }
        Ok(lists)
    }

    async fn look_at_names(&mut self, line: &Arc<Line>) -> Result<()> {
        let prefix = &self.core.prefix;
        match line.children(prefix, true).await {
            Err(Fault::NoNode) => {
                // The node may have been created in the meantime; otherwise the watch fires when it is.
                self.due.names = line.exists(prefix, true).await?.is_some();
            }
            listed => {
                for step in listed? {
                    let service = unescape(&step);
                    let known = self.services.entry(service.clone()).or_insert_with(|| {
                        self.due.services.insert(service);
                        Known::default()
                    });
                    known.is_passing = false;
                }
            }
        }
        Ok(())
    }

    async fn look_at_children(
        &mut self,
        line: &Arc<Line>,
        services: &[String],
        changed: &mut BTreeSet<String>,
    ) -> Result<()> {
        let path = |service: &String| service_path(&self.core.prefix, service);
        let asked: Vec<_> = services.iter().map(|service| line.children(&path(service), true)).collect();
        let mut missing = Vec::new();
        for (service, asked) in services.iter().zip(asked) {
            let Some(known) = self.services.get_mut(service) else { continue };
            match asked.await.map_err(|fault| (matches!(fault, Fault::NoNode), Error::from(fault))) {
                Ok(steps) => {
                    let steps: BTreeSet<String> = steps.into_iter().collect();
                    known.nodes.retain(|step, _| steps.contains(step));
                    let new = steps.into_iter().filter(|step| !known.nodes.contains_key(step));
                    self.due.nodes.extend(new.map(|step| (service.clone(), step)));
                    (known.is_refused, known.is_shown) = (false, true);
                    changed.insert(service.clone());
                }
                Err((true, _)) => missing.push(service),
                Err((_, error)) if is_about_one(&error) => {
                    if !std::mem::replace(&mut known.is_refused, true) {
                        tracing::warn!(source = %self.core.source, service, %error, "no permission to read this service");
                    }
                    self.refused.insert(service.clone());
                    self.refusal = Some(error);
                }
                Err((_, error)) => return Err(error),
            }
        }
        let asked: Vec<_> = missing.iter().map(|service| line.exists(&path(service), true)).collect();
        for (service, asked) in missing.into_iter().zip(asked) {
            if asked.await?.is_some() {
                self.due.services.insert(service.clone());
            } else if let Some(known) = self.services.get_mut(service) {
                known.nodes.clear();
                (known.is_refused, known.is_shown) = (false, true);
                changed.insert(service.clone());
            }
        }
        Ok(())
    }
}
