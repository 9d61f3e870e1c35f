//! Who waits for what, and how they are woken.
//!
//! A change rings the bell. The publisher then waits 20 ms for others to join it, asks the store which services
//! changed, and wakes those who wait for one of them, and nobody else. The waiting themselves ask the store what
//! they are owed; a waiter enters itself here before it asks, so that no change falls between asking and waiting.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::store::Services;

/// How long changes are gathered before anybody is told.
pub(crate) const GATHER: Duration = Duration::from_millis(20);
/// The shortest pause between two answers on one connection.
pub(crate) const PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(crate) struct Hub {
    /// Random per start: revisions of one epoch mean nothing in another.
    epoch: String,
    bell: Arc<Notify>,
    waiting: Mutex<Waiting>,
    /// The latest revision of which anybody was told.
    published: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    for_all: HashMap<u64, Arc<Notify>>,
    by_name: HashMap<String, HashMap<u64, Arc<Notify>>>,
}

impl Hub {
    pub(crate) fn new() -> Self {
        Self {
            epoch: format!("{:016x}", fastrand::u64(..)),
            bell: Arc::default(),
            waiting: Mutex::default(),
            published: watch::Sender::new(0),
        }
    }

    pub(crate) fn epoch(&self) -> &str {
        &self.epoch
    }

    /// What the store rings after each change.
    pub(crate) fn bell(&self) -> Box<dyn Fn() + Send + Sync> {
        let bell = Arc::clone(&self.bell);
        Box::new(move || bell.notify_one())
    }

    /// How a revision travels.
    pub(crate) fn token(&self, revision: u64) -> String {
        format!("{}:{revision}", self.epoch)
    }

    /// The revision of a token of this start.
    pub(crate) fn revision(&self, token: &str) -> Option<u64> {
        let (epoch, revision) = token.split_once(':')?;
        (epoch == self.epoch).then(|| revision.parse().ok())?
    }

    /// Follows the published revisions.
    pub(crate) fn published(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }

    /// Enters a waiter for these services, or for all.
    pub(crate) fn enter<'a>(&'a self, names: Option<&'a [Cow<'a, str>]>) -> Waiter<'a> {
        let mut waiting = self.waiting.lock();
        waiting.next += 1;
        let (id, woken) = (waiting.next, Arc::new(Notify::new()));
        match names {
            None => {
                waiting.for_all.insert(id, Arc::clone(&woken));
            }
            Some(names) => {
                for name in names {
                    waiting
                        .by_name
                        .entry(name.clone().into_owned())
                        .or_default()
                        .insert(id, Arc::clone(&woken));
                }
            }
        }
        Waiter { hub: self, id, names, woken }
    }

    /// Tells the waiting of every change, for as long as it is polled.
    pub(crate) async fn publish(&self, services: &Services) {
        let mut published = services.revision();
        loop {
            self.bell.notified().await;
            tokio::time::sleep(GATHER).await;
            let (revision, changed) = services.changed_after(published);
            published = revision;
            if !changed.is_empty() {
                self.wake(changed.iter().map(|service| &*service.name));
                self.published.send_replace(revision);
            }
        }
    }

    fn wake<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let waiting = self.waiting.lock();
        for name in names {
            let interested = waiting.by_name.get(name).into_iter().flat_map(HashMap::values);
            interested.for_each(|woken| woken.notify_one());
        }
        waiting.for_all.values().for_each(|woken| woken.notify_one());
    }
}

/// One who waits; leaves the hub when dropped.
#[derive(Debug)]
pub(crate) struct Waiter<'a> {
    hub: &'a Hub,
    id: u64,
    names: Option<&'a [Cow<'a, str>]>,
    woken: Arc<Notify>,
}

impl Waiter<'_> {
    /// Returns after a change of one of its services; one that came before is not lost.
    pub(crate) async fn woken(&self) {
        self.woken.notified().await;
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut waiting = self.hub.waiting.lock();
        let Some(names) = self.names else {
            waiting.for_all.remove(&self.id);
            return;
        };
        for name in names {
            let Some(interested) = waiting.by_name.get_mut(&**name) else { continue };
            interested.remove(&self.id);
            if interested.is_empty() {
                waiting.by_name.remove(&**name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_another_start_is_unknown() {
        let hub = Hub::new();
        assert_eq!(hub.revision(&hub.token(7)), Some(7));
        for foreign in ["", "7", "feed:7", &Hub::new().token(7), &format!("{}:x", hub.epoch())] {
            assert_eq!(hub.revision(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_waiter_that_leaves_leaves_nothing() {
        let hub = Hub::new();
        let names = ["a".into(), "b".into()];
        drop((hub.enter(Some(&names)), hub.enter(None)));
        let waiting = hub.waiting.lock();
        assert!(waiting.by_name.is_empty() && waiting.for_all.is_empty());
    }
}
