//! Watches services: subscriptions, pushes, and regular reads.
//!
//! ```text
//!  connected ─► subscribes to every service; the response is its list ─► pushes ─► connection lost ─► again
//!                    └─ reads each service every 30 s, in case a push was lost
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::Nacos;
use super::hub::{Hub, State};
use super::link::{KEEP_ALIVE, Link};
use super::message::{Info, Told};
use super::names;
use crate::clock::Tick;
use crate::error::{Error, Result};
use crate::registry::async_bridge::{WatchCommand, WatchCommands};
use crate::registry::http_host::is_outage;
use crate::registry::polling::jittered;
use crate::registry::types::{Listing, RegistryUpdate, UpdateSink};

/// How often each service is read, even without a push.
const LOOK: Duration = Duration::from_secs(30);
/// How often to check which services are due.
const ROUND: Duration = Duration::from_secs(1);
/// How often the names of all services are read: servers do not push them.
const NAMES: Duration = Duration::from_secs(3);
/// When a failed request about a service is retried,
const AGAIN: Duration = Duration::from_secs(1);
/// and when it is retried after the server has rejected it.
const REFUSED: Duration = Duration::from_secs(10);
/// How many requests are in flight at the same time.
const SIDE_BY_SIDE: usize = 64;

/// Everything that one client watches.
struct Watching {
    hub: Arc<Hub>,
    sink: Arc<dyn UpdateSink>,
    /// A name that was listed once is watched from then on, so that its end is noticed too.
    wanted: BTreeSet<String>,
    all: bool,
}

/// The watched services on one connection.
struct Following {
    link: Arc<Link>,
    topics: BTreeMap<String, Topic>,
    /// The requests in flight.
    asked: JoinSet<Answer>,
    gate: Arc<Semaphore>,
    names_at: Instant,
    confirmed_at: Tick,
}

#[derive(Default)]
struct Topic {
    /// The time of the last list, by the clock of the server.
    last_ref: i64,
    /// Whether the server has accepted the subscription.
    subscribed: bool,
    /// Whether the server rejected the last request.
    refused: bool,
    /// When to read it next; `None` while a request is in flight.
    due: Option<Instant>,
}

/// The result of a request or a push.
enum Answer {
    Listed { service: String, last_ref: i64, listing: Listing, subscribed: bool },
    Failed { service: String, error: Error },
    Names(Result<Vec<String>>),
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.wanted.iter().for_each(|service| self.hub.unfollow(service));
    }
}

/// Watches what the commands subscribe to, until the handle is dropped.
pub(super) async fn drive(nacos: Arc<Nacos>, sink: Arc<dyn UpdateSink>, mut wishes: WatchCommands) {
    let hub = Arc::clone(&nacos.hub);
    let mut pushes = hub.listen();
    let mut state = hub.state.subscribe();
    let mut watching = Watching { hub, sink, wanted: BTreeSet::new(), all: false };
    loop {
        let now = state.borrow_and_update().clone();
        match now {
            State::Up(link) => {
                if !watching.follow(link, &mut wishes, &mut pushes).await {
                    return;
                }
            }
            State::Down(error) => watching.sink.on_failure(error),
            State::Opening => {}
        }
        // Wait for the next state of the connection.
        loop {
            tokio::select! {
                changed = state.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                wish = wishes.recv() => match wish {
                    Some(wish) => { watching.note(&wish); }
                    None => return,
                },
            }
        }
    }
}

impl Watching {
    /// Applies a command. Returns the service to request.
    fn note(&mut self, wish: &WatchCommand) -> Option<String> {
        match wish {
            WatchCommand::Subscribe(service) => self.want(service).then(|| service.clone()),
            WatchCommand::Refresh(service) => Some(service.clone()),
            WatchCommand::Unsubscribe(service) => {
                if !self.all && self.wanted.remove(service) {
                    self.hub.unfollow(service);
                }
                None
            }
            WatchCommand::SubscribeAll => {
                self.all = true;
                None
            }
        }
    }

    /// Adds a service; false if it was watched already.
    fn want(&mut self, service: &str) -> bool {
        let is_new = self.wanted.insert(service.to_owned());
        if is_new {
            self.hub.follow(service);
        }
        is_new
    }

    /// Serves one connection until it ends. False once the handle has been dropped.
    async fn follow(
        &mut self,
        link: Arc<Link>,
        wishes: &mut WatchCommands,
        pushes: &mut UnboundedReceiver<Info>,
    ) -> bool {
        // Earlier pushes belong to another connection.
        while pushes.try_recv().is_ok() {}
        let now = Instant::now();
        let mut following = Following {
            link: link.clone(),
            topics: BTreeMap::new(),
            asked: JoinSet::new(),
            gate: Arc::new(Semaphore::new(SIDE_BY_SIDE)),
            names_at: now,
            confirmed_at: Tick::ZERO,
        };
        self.say_up(&link);
        self.wanted.iter().for_each(|service| following.subscribe(&self.hub, service));
        let mut round = now + ROUND;
        let gone = link.gone();
        tokio::pin!(gone);
        loop {
            tokio::select! {
                _ = &mut gone => return true,
                wish = wishes.recv() => match wish {
                    Some(wish) => self.wished(&mut following, &wish),
                    None => return false,
                },
                push = pushes.recv() => match push {
                    Some(info) => following.read(&self.hub, info),
                    None => return false,
                },
                Some(answer) = following.asked.join_next() => match answer {
                    Ok(answer) => self.answered(&mut following, answer),
                    Err(error) => tracing::error!(%error, "a request panicked; please report it"),
                },
                () = sleep_until(round) => {
                    round = Instant::now() + ROUND;
                    self.look_round(&mut following);
                }
            }
        }
    }

    /// Reports that the registry answers, even if nothing is watched yet.
    fn say_up(&self, link: &Link) {
        self.sink
            .on_update(RegistryUpdate { epoch: Some(self.hub.epoch_of(link)), ..RegistryUpdate::default() });
    }

    fn wished(&mut self, following: &mut Following, wish: &WatchCommand) {
        let to_ask = self.note(wish);
        match wish {
            WatchCommand::Subscribe(_) => {
                to_ask.iter().for_each(|service| following.subscribe(&self.hub, service))
            }
            WatchCommand::Refresh(_) => to_ask.iter().for_each(|service| following.look(&self.hub, service)),
            WatchCommand::Unsubscribe(service) => {
                if !self.all && following.topics.remove(service).is_some() {
                    following.unsubscribe(&self.hub, service);
                }
            }
            WatchCommand::SubscribeAll => following.ask_names(&self.hub),
        }
    }

    fn answered(&mut self, following: &mut Following, answer: Answer) {
        match answer {
            Answer::Listed { service, last_ref, listing, subscribed } => {
                let topic = following.topics.get_mut(&service);
                if let Some(topic) = topic {
                    if subscribed {
                        topic.subscribed = true;
                        topic.due = Some(Instant::now() + jittered(LOOK));
                    }
                    // Older than the last list: a late push, or a read that is out of date.
                    if last_ref < topic.last_ref {
                        return;
                    }
                    topic.last_ref = last_ref;
                    topic.refused = false;
                }
                self.sink.on_update(self.hub.heard(&following.link, &service, listing));
                self.confirm(following);
            }
            Answer::Failed { service, error } => {
                if let Some(error) = following.failed(&self.hub, &service, error) {
                    self.sink.on_failure(error);
                }
            }
            Answer::Names(Ok(names)) => {
                let news: Vec<String> =
                    names.into_iter().filter(|name| !self.wanted.contains(name)).collect();
                for name in news {
                    following.subscribe(&self.hub, &name);
                    self.want(&name);
                }
            }
            Answer::Names(Err(error)) => {
                tracing::debug!(source = %self.hub.source, %error, "reading the names of all services failed");
            }
        }
    }

    /// Sends the due requests, and confirms the unchanged services while the connection is alive.
    fn look_round(&mut self, following: &mut Following) {
        let now = Instant::now();
        let is_due = |topic: &Topic| topic.due.is_some_and(|due| due <= now);
        let due: Vec<(String, bool)> = following
            .topics
            .iter()
            .filter(|(service, topic)| is_due(topic) && (!topic.subscribed || self.sink.is_in_use(service)))
            .map(|(service, topic)| (service.clone(), topic.subscribed))
            .collect();
        for (service, subscribed) in due {
            if subscribed {
                if let Some(topic) = following.topics.get_mut(&service) {
                    topic.due = Some(now + jittered(LOOK));
                }
                following.look(&self.hub, &service);
            } else {
                following.subscribe(&self.hub, &service);
            }
        }
        if self.all && following.names_at <= now {
            following.ask_names(&self.hub);
        }
        self.confirm(following);
    }

    /// Confirms the services without a push, once every subscription has been accepted, and then again with each sign of
    /// life of the server.
    fn confirm(&mut self, following: &mut Following) {
        let heard_at = following.link.heard_at();
        let is_news = following.confirmed_at == Tick::ZERO
            || heard_at.since(following.confirmed_at) + ROUND >= KEEP_ALIVE;
        if is_news && following.topics.values().all(|topic| topic.subscribed) {
            following.confirmed_at = heard_at;
            let epoch = Some(self.hub.epoch_of(&following.link));
            self.sink.on_update(RegistryUpdate { epoch, confirms_all: true, ..RegistryUpdate::default() });
        }
    }
}

impl Following {
    /// Handles a failed request about a service. Returns an error if it concerns the whole registry: a rejection concerns
    /// only its service, unless all services are rejected.
    fn failed(&mut self, hub: &Hub, service: &str, error: Error) -> Option<Error> {
        let is_refused = !is_outage(&error);
        let is_well = |topic: &Topic| topic.subscribed && !topic.refused;
        let are_others_well = self.topics.iter().any(|(name, topic)| name != service && is_well(topic));
        let topic = self.topics.get_mut(service)?;
        topic.due = Some(Instant::now() + jittered(if is_refused { REFUSED } else { AGAIN }));
        if !is_refused {
            tracing::debug!(source = %hub.source, service, %error, "request failed; retrying");
            return None;
        }
        if !std::mem::replace(&mut topic.refused, true) {
            tracing::warn!(source = %hub.source, service, %error, "cannot read this service");
        }
        (!are_others_well).then_some(error)
    }

    /// Subscribes to a service; the response is its list.
    fn subscribe(&mut self, hub: &Arc<Hub>, service: &str) {
        let topic = self.topics.entry(service.to_owned()).or_default();
        topic.due = None;
        self.ask(hub, service, true);
    }

    /// Reads the list of a service.
    fn look(&mut self, hub: &Arc<Hub>, service: &str) {
        self.ask(hub, service, false);
    }

    fn ask(&mut self, hub: &Arc<Hub>, service: &str, subscribe: bool) {
        let (hub, link, gate, service) =
            (hub.clone(), self.link.clone(), self.gate.clone(), service.to_owned());
        self.asked.spawn(async move {
            let _place = gate.acquire_owned().await;
            match ask(&hub, &link, &service, subscribe).await {
                Ok(info) => {
                    let last_ref = info.last_ref_time;
                    let listing = hub.listing(&link, &service, info).await;
                    Answer::Listed { service, last_ref, listing, subscribed: subscribe }
                }
                Err(error) => Answer::Failed { service, error },
            }
        });
    }

    /// Handles a push.
    fn read(&mut self, hub: &Arc<Hub>, info: Info) {
        let Some(service) = hub.service_of(&info) else { return };
        if !self.topics.contains_key(&service) {
            // The service is not watched any more.
            self.unsubscribe(hub, &service);
            return;
        }
        let (hub, link) = (hub.clone(), self.link.clone());
        self.asked.spawn(async move {
            let last_ref = info.last_ref_time;
            let listing = hub.listing(&link, &service, info).await;
            Answer::Listed { service, last_ref, listing, subscribed: false }
        });
    }

    /// Ends a subscription, unless another watch uses it. Later pushes are ignored.
    fn unsubscribe(&self, hub: &Arc<Hub>, service: &str) {
        if hub.is_followed(service) {
            return;
        }
        let (hub, link, service) = (hub.clone(), self.link.clone(), service.to_owned());
        // Runs to its end, because the next subscription relies on that.
        tokio::spawn(async move {
            if let Err(error) = end(&hub, &link, &service).await {
                tracing::debug!(source = %hub.source, service, %error, "ending the subscription failed");
            }
        });
    }

    fn ask_names(&mut self, hub: &Arc<Hub>) {
        self.names_at = Instant::now() + jittered(NAMES);
        let (hub, link) = (hub.clone(), self.link.clone());
        self.asked.spawn(async move { Answer::Names(hub.services_of(&link).await) });
    }
}

async fn ask(hub: &Hub, link: &Link, service: &str, subscribe: bool) -> Result<Info> {
    let name = names::escape(service)?;
    let question = if subscribe { hub.space.subscribe(&name, true) } else { hub.space.query(&name) };
    let told: Told = hub.ask_for(link, &question).await?;
    Ok(told.service_info.unwrap_or_default())
}

/// Ends a subscription. Subscribes again if a watch was added in the meantime, because the order in which the server
/// handled the requests is unknown. The response is handled like a push.
async fn end(hub: &Hub, link: &Link, service: &str) -> Result<()> {
    let name = names::escape(service)?;
    hub.ask(link, &hub.space.subscribe(&name, false)).await?;
    if hub.is_followed(service) {
        let told: Told = hub.ask_for(link, &hub.space.subscribe(&name, true)).await?;
        told.service_info.iter().for_each(|info| hub.pushed(info));
    }
    Ok(())
}
