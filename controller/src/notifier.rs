//! Wakes watchers when a service changes.
//!
//! The store reports each change. The publisher then collects changes for 20 ms, asks the store which services
//! changed, and wakes the watchers of those services. Each watcher then queries the store itself. A watcher adds its
//! waiter before it queries, so it misses no change between the query and the wait.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::store::Services;

/// How long changes are collected before watchers are woken.
pub(crate) const COLLECT: Duration = Duration::from_millis(20);
/// The shortest pause between two watch responses on one connection.
pub(crate) const MIN_PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(crate) struct ChangeNotifier {
    /// Random per start: revisions of different epochs cannot be compared.
    epoch: String,
    changed: Arc<Notify>,
    waiters: Mutex<WaiterTable>,
    /// The latest revision for which watchers were woken.
    published: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct WaiterTable {
    next: u64,
    for_all: HashMap<u64, Arc<Notify>>,
    by_name: HashMap<String, HashMap<u64, Arc<Notify>>>,
}

impl ChangeNotifier {
    pub(crate) fn new() -> Self {
        Self {
            epoch: format!("{:016x}", fastrand::u64(..)),
            changed: Arc::default(),
            waiters: Mutex::default(),
            published: watch::Sender::new(0),
        }
    }

    pub(crate) fn epoch(&self) -> &str {
        &self.epoch
    }

    /// The callback for the store to call after each change.
    pub(crate) fn on_change(&self) -> Box<dyn Fn() + Send + Sync> {
        let changed = Arc::clone(&self.changed);
        Box::new(move || changed.notify_one())
    }

    /// The revision as clients receive it, in `since`.
    pub(crate) fn revision_token(&self, revision: u64) -> String {
        format!("{}:{revision}", self.epoch)
    }

    /// The revision in a token; `None` if the token is invalid or from another start.
    pub(crate) fn revision(&self, token: &str) -> Option<u64> {
        let (epoch, revision) = token.split_once(':')?;
        (epoch == self.epoch).then(|| revision.parse().ok())?
    }

    /// Receives the published revisions.
    pub(crate) fn published(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }

    /// Adds a waiter for these services; `None` means all services.
    pub(crate) fn add_waiter<'a>(&'a self, names: Option<&'a [Cow<'a, str>]>) -> Waiter<'a> {
        let mut waiters = self.waiters.lock();
        waiters.next += 1;
        let (id, woken) = (waiters.next, Arc::new(Notify::new()));
        match names {
            None => {
                waiters.for_all.insert(id, Arc::clone(&woken));
            }
            Some(names) => {
                for name in names {
                    waiters
                        .by_name
                        .entry(name.clone().into_owned())
                        .or_default()
                        .insert(id, Arc::clone(&woken));
                }
            }
        }
        Waiter { notifier: self, id, names, woken }
    }

    /// Wakes waiters after every change. Never returns.
    pub(crate) async fn publish(&self, services: &Services) {
        let mut published = services.revision();
        loop {
            self.changed.notified().await;
            tokio::time::sleep(COLLECT).await;
            let (revision, changed) = services.changed_after(published);
            published = revision;
            if !changed.is_empty() {
                self.wake(changed.iter().map(|service| &*service.name));
                self.published.send_replace(revision);
            }
        }
    }

    fn wake<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let waiters = self.waiters.lock();
        for name in names {
            let matching = waiters.by_name.get(name).into_iter().flat_map(HashMap::values);
            matching.for_each(|woken| woken.notify_one());
        }
        waiters.for_all.values().for_each(|woken| woken.notify_one());
    }
}

/// A waiting watch. It is removed when dropped.
#[derive(Debug)]
pub(crate) struct Waiter<'a> {
    notifier: &'a ChangeNotifier,
    id: u64,
    names: Option<&'a [Cow<'a, str>]>,
    woken: Arc<Notify>,
}

impl Waiter<'_> {
    /// Returns after one of its services changed, also if that was before this call.
    pub(crate) async fn changed(&self) {
        self.woken.notified().await;
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut waiters = self.notifier.waiters.lock();
        let Some(names) = self.names else {
            waiters.for_all.remove(&self.id);
            return;
        };
        for name in names {
            let Some(matching) = waiters.by_name.get_mut(&**name) else { continue };
            matching.remove(&self.id);
            if matching.is_empty() {
                waiters.by_name.remove(&**name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_revision_tokens_of_another_start() {
        let notifier = ChangeNotifier::new();
        assert_eq!(notifier.revision(&notifier.revision_token(7)), Some(7));
        for foreign in
            ["", "7", "feed:7", &ChangeNotifier::new().revision_token(7), &format!("{}:x", notifier.epoch())]
        {
            assert_eq!(notifier.revision(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn dropped_waiters_are_removed() {
        let notifier = ChangeNotifier::new();
        let names = ["a".into(), "b".into()];
        drop((notifier.add_waiter(Some(&names)), notifier.add_waiter(None)));
        let waiters = notifier.waiters.lock();
        assert!(waiters.by_name.is_empty() && waiters.for_all.is_empty());
    }
}
