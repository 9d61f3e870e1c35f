//! Following what happens: nothing is asked again unless the server said that it changed.
//!
//! ```text
//!  event ──► due ──► one look: children and data of what is due, each answer arming the next watch ──► Sink
//! ```
//!
//! ZooKeeper's watches tell once. Whoever asks "what is there, and tell me of a change" in one request misses nothing:
//! what happens before the answer is in it, what happens after it is told. Watches of all versions are used; the
//! recursive ones of 3.6 would tell of every service to those who want one. A new connection has no watches: what is
//! wanted is looked at anew.

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
use crate::registry::pace::Pace;
use crate::registry::pushed::{Wish, Wishes};
use crate::registry::reconnect::Reconnect;
use crate::registry::record::{path_of, unescape};
use crate::registry::{Listing, Sink};

/// The time between two looks where much changes: the first changes are told at once, the others together.
const PACE: Duration = Duration::from_millis(10);
/// Names of hosts are looked up again after this.
const RESOLVED: Duration = Duration::from_secs(30);

/// Follows until the watch is dropped.
pub(super) async fn follow(core: Arc<Core>, sink: Arc<dyn Sink>, mut wishes: Wishes) {
    let session = core.with_session(|session: &Session| (session.state(), session.listen()));
    let (mut state, mut told) = match session {
        Ok(session) => session,
        Err(error) => return sink.lost(error),
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
    sink: Arc<dyn Sink>,
    line: Option<Arc<Line>>,
    services: BTreeMap<String, Known>,
    all: bool,
    due: Due,
    /// What the servers will not show us is asked for with each ping.
    refused: BTreeSet<String>,
    /// The last refusal, until it is told or known to concern some services only.
    refusal: Option<Error>,
    next_look: Instant,
    resolved: Instant,
    reconnect: Reconnect,
    pace: Pace,
}

/// A service that is looked at, by the last steps of its nodes' paths.
#[derive(Default)]
struct Known {
    nodes: BTreeMap<String, Look>,
    /// Asked about once, not watched.
    is_passing: bool,
    /// Whether the servers would not show it when they were asked last.
    is_refused: bool,
    /// Whether they have shown it on this connection.
    is_shown: bool,
}

/// What is to be looked at.
#[derive(Default)]
struct Due {
    names: bool,
    services: BTreeSet<String>,
    /// By service and last step.
    nodes: BTreeSet<(String, String)>,
}

impl Follower {
    fn new(core: Arc<Core>, sink: Arc<dyn Sink>) -> Follower {
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
            reconnect: Reconnect::default(),
            pace: Pace::new(PACE),
        }
    }

    fn is_due(&self) -> bool {
        self.due.names || !self.due.services.is_empty() || !self.due.nodes.is_empty()
    }

    // === what comes in ===

    fn wished(&mut self, wish: Wish) {
        match wish {
            Wish::Want(service) => {
                self.services.entry(service.clone()).or_default().is_passing = false;
                self.due.services.insert(service);
            }
            Wish::Forget(service) if !self.all => {
                self.services.remove(&service);
            }
            Wish::Forget(_) => {}
            Wish::All => {
                self.all = true;
                self.due.names = true;
            }
            Wish::Refresh(service) => {
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
                self.sink.lost(error);
            }
            State::Up(line) => {
                if self.line.take().is_some() {
                    let message = format!("{}: the connection was another", line.label());
                    self.sink.lost(Error::new(Kind::Unavailable, message));
                }
                self.line = Some(line);
                self.reconnect.found();
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
                // Data of its own a service has none.
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

    /// The server is there, and has told of everything so far.
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
            self.sink.heard(self.core.heard(line, Vec::new(), true));
        }
        self.due.services.append(&mut self.refused);
    }

    // === what is looked at ===

    async fn look(&mut self) {
        let Some(line) = self.line.clone() else { return };
        match self.look_at_due(&line).await {
            Ok(lists) => {
                self.reconnect.found();
                self.next_look = Instant::now() + self.pace.next(clock::now());
                let confirms_all = !self.is_due() && self.refused.is_empty();
                // What they will not show of one service is that service's affair, as long as they show others.
                let is_well = |known: &Known| known.is_shown && !known.is_refused;
                let refusal = self.refusal.take().filter(|_| !self.services.values().any(is_well));
                if confirms_all || !lists.is_empty() || (refusal.is_none() && !self.refused.is_empty()) {
                    self.sink.heard(self.core.heard(&line, lists, confirms_all));
                }
                if let Some(error) = refusal {
                    self.sink.lost(error);
                }
                self.services
                    .retain(|service, known| !known.is_passing || self.due.services.contains(service));
            }
            Err(error) => {
                // What has been read of it may be half of it.
                self.look_at_everything();
                self.next_look = Instant::now() + self.reconnect.lost(line.timeout, fastrand::f64());
                self.sink.lost(error);
            }
        }
    }

    /// Looks at what is due; the lists of the services that have changed.
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
                // It may have been created meanwhile; else the watch tells when it is.
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
        let path = |service: &String| path_of(&self.core.prefix, service);
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
                        tracing::warn!(source = %self.core.source, service, %error, "cannot be read");
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
