//! Subscriptions, pushes, and a look now and then.
//!
//! ```text
//!  connected ─► every wanted service is subscribed to; the answer is its list ─► pushes ─► lost ─► again
//!                    └─ a look at each, every half a minute, for what a push may have missed
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
use crate::registry::polling::jittered;
use crate::registry::pushed::{Wish, Wishes};
use crate::registry::web::is_away;
use crate::registry::{Listing, RegistryUpdate, Sink};

/// How often each service is looked at although nothing was pushed.
const LOOK: Duration = Duration::from_secs(30);
/// How often somebody is looked for who is due: each time a part of them.
const ROUND: Duration = Duration::from_secs(1);
/// How often the names of all services are asked for: they are not pushed.
const NAMES: Duration = Duration::from_secs(3);
/// A service that could not be asked about is tried again after this,
const AGAIN: Duration = Duration::from_secs(1);
/// and one that the server does not want to tell of after this.
const REFUSED: Duration = Duration::from_secs(10);
/// So many questions are on their way at a time.
const SIDE_BY_SIDE: usize = 64;

/// What is watched, by one client.
struct Watching {
    hub: Arc<Hub>,
    sink: Arc<dyn Sink>,
    /// A name once seen is followed ever after: its end is to be seen too.
    wanted: BTreeSet<String>,
    all: bool,
}

/// What is known of it on one connection.
struct Following {
    link: Arc<Link>,
    topics: BTreeMap<String, Topic>,
    /// Questions on their way.
    asked: JoinSet<Answer>,
    gate: Arc<Semaphore>,
    names_at: Instant,
    confirmed_at: Tick,
}

#[derive(Default)]
struct Topic {
    /// When what we have was so, by the server's clock.
    last_ref: i64,
    /// Whether the server has taken the subscription.
    subscribed: bool,
    /// Whether the server did not want to tell of it when it was asked last.
    refused: bool,
    /// When it is to be asked about next; none: it is being asked.
    due: Option<Instant>,
}

/// What comes back of a question, or what a push told.
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

/// Follows what is wished for until nobody does any more.
pub(super) async fn drive(nacos: Arc<Nacos>, sink: Arc<dyn Sink>, mut wishes: Wishes) {
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
            State::Down(error) => watching.sink.lost(error),
            State::Opening => {}
        }
        // Until it is another one.
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
    /// Notes a wish; the service that is to be asked about.
    fn note(&mut self, wish: &Wish) -> Option<String> {
        match wish {
            Wish::Want(service) => self.want(service).then(|| service.clone()),
            Wish::Refresh(service) => Some(service.clone()),
            Wish::Forget(service) => {
                if !self.all && self.wanted.remove(service) {
                    self.hub.unfollow(service);
                }
                None
            }
            Wish::All => {
                self.all = true;
                None
            }
        }
    }

    /// Whether it was not wanted before.
    fn want(&mut self, service: &str) -> bool {
        let is_new = self.wanted.insert(service.to_owned());
        if is_new {
            self.hub.follow(service);
        }
        is_new
    }

    /// Follows one connection to its end; false once nobody watches any more.
    async fn follow(
        &mut self,
        link: Arc<Link>,
        wishes: &mut Wishes,
        pushes: &mut UnboundedReceiver<Info>,
    ) -> bool {
        // What was pushed before belongs to another connection.
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
                    Err(error) => tracing::error!(%error, "a question broke off; please report it"),
                },
                () = sleep_until(round) => {
                    round = Instant::now() + ROUND;
                    self.look_round(&mut following);
                }
            }
        }
    }

    /// The registry answers, although nothing may be watched yet.
    fn say_up(&self, link: &Link) {
        self.sink.heard(RegistryUpdate { epoch: Some(self.hub.epoch_of(link)), ..RegistryUpdate::default() });
    }

    fn wished(&mut self, following: &mut Following, wish: &Wish) {
        let to_ask = self.note(wish);
        match wish {
            Wish::Want(_) => to_ask.iter().for_each(|service| following.subscribe(&self.hub, service)),
            Wish::Refresh(_) => to_ask.iter().for_each(|service| following.look(&self.hub, service)),
            Wish::Forget(service) => {
                if !self.all && following.topics.remove(service).is_some() {
                    following.unsubscribe(&self.hub, service);
                }
            }
            Wish::All => following.ask_names(&self.hub),
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
                    // Older than what we have: a push that was overtaken, or a look that is behind.
                    if last_ref < topic.last_ref {
                        return;
                    }
                    topic.last_ref = last_ref;
                    topic.refused = false;
                }
                self.sink.heard(self.hub.heard(&following.link, &service, listing));
                self.confirm(following);
            }
            Answer::Failed { service, error } => {
                if let Some(error) = following.failed(&self.hub, &service, error) {
                    self.sink.lost(error);
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
                tracing::debug!(source = %self.hub.source, %error, "the names of services were not told");
            }
        }
    }

    /// Asks what is due, and says what the connection's being alive confirms.
    fn look_round(&mut self, following: &mut Following) {
        let now = Instant::now();
        let is_due = |topic: &Topic| topic.due.is_some_and(|due| due <= now);
        let due: Vec<(String, bool)> = following
            .topics
            .iter()
            .filter(|(service, topic)| is_due(topic) && (!topic.subscribed || self.sink.is_used(service)))
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

    /// What has not been pushed is as it was, once every subscription has been answered: said when that is so, and
    /// then each time the server gives a sign of life.
    fn confirm(&mut self, following: &mut Following) {
        let heard_at = following.link.heard_at();
        let is_news = following.confirmed_at == Tick::ZERO
            || heard_at.since(following.confirmed_at) + ROUND >= KEEP_ALIVE;
        if is_news && following.topics.values().all(|topic| topic.subscribed) {
            following.confirmed_at = heard_at;
            let epoch = Some(self.hub.epoch_of(&following.link));
            self.sink.heard(RegistryUpdate { epoch, confirms_all: true, ..RegistryUpdate::default() });
        }
    }
}

impl Following {
    /// A service could not be asked about: what is wrong with the registry for it. What the server does not want to
    /// tell of is that service's affair, as long as it tells of others.
    fn failed(&mut self, hub: &Hub, service: &str, error: Error) -> Option<Error> {
        let is_refused = !is_away(&error);
        let is_well = |topic: &Topic| topic.subscribed && !topic.refused;
        let are_others_well = self.topics.iter().any(|(name, topic)| name != service && is_well(topic));
        let topic = self.topics.get_mut(service)?;
        topic.due = Some(Instant::now() + jittered(if is_refused { REFUSED } else { AGAIN }));
        if !is_refused {
            tracing::debug!(source = %hub.source, service, %error, "not answered; asked again");
            return None;
        }
        if !std::mem::replace(&mut topic.refused, true) {
            tracing::warn!(source = %hub.source, service, %error, "cannot be read");
        }
        (!are_others_well).then_some(error)
    }

    /// Subscribes to a service; the answer is its list.
    fn subscribe(&mut self, hub: &Arc<Hub>, service: &str) {
        let topic = self.topics.entry(service.to_owned()).or_default();
        topic.due = None;
        self.ask(hub, service, true);
    }

    /// Asks for its list.
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

    /// Reads what was pushed.
    fn read(&mut self, hub: &Arc<Hub>, info: Info) {
        let Some(service) = hub.service_of(&info) else { return };
        if !self.topics.contains_key(&service) {
            // Whoever wanted it may have gone without a word.
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

    /// Ends a subscription, unless another watch goes by it. What is pushed all the same is left out.
    fn unsubscribe(&self, hub: &Arc<Hub>, service: &str) {
        if hub.is_followed(service) {
            return;
        }
        let (hub, link, service) = (hub.clone(), self.link.clone(), service.to_owned());
        // Whoever wants it next counts on it being brought to its end.
        tokio::spawn(async move {
            if let Err(error) = end(&hub, &link, &service).await {
                tracing::debug!(source = %hub.source, service, %error, "still subscribed to");
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

/// Ends a subscription; and begins it anew where a watch has come meanwhile, for nobody knows what the server heard
/// last. What it answers to that is told as what it pushes.
async fn end(hub: &Hub, link: &Link, service: &str) -> Result<()> {
    let name = names::escape(service)?;
    hub.ask(link, &hub.space.subscribe(&name, false)).await?;
    if hub.is_followed(service) {
        let told: Told = hub.ask_for(link, &hub.space.subscribe(&name, true)).await?;
        told.service_info.iter().for_each(|info| hub.pushed(info));
    }
    Ok(())
}
