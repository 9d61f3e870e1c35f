//! One registry as the catalog sees it: whether it answers, whether it is settled, and the watch on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::sync::Mutex;

use super::absence::{Settling, Trust};
use super::report::RegistryStats;
use crate::clock::{self, Tick};
use crate::error::Error;
use crate::registry::{DEFAULT_TTL, Registry, RegistryUpdate, WatchHandle};

pub(super) struct Source {
    pub(super) registry: Arc<dyn Registry>,
    /// Begun by the first service that is wanted; gone once the catalog is closed.
    watch: Mutex<Watched>,
    down: AtomicBool,
    /// When it last answered; 0 before the first time.
    heard_at: AtomicU64,
    /// When it last confirmed everything that is watched.
    confirmed_at: AtomicU64,
    losses: AtomicU64,
    told: Mutex<Told>,
}

#[derive(Default)]
enum Watched {
    #[default]
    NotYet,
    Running(Arc<dyn WatchHandle>),
    Ended,
}

struct Told {
    settling: Settling,
    ttl: Duration,
    /// Its last failure, kept while it answers again.
    last_error: Option<Error>,
}

impl Source {
    pub(super) fn new(registry: Arc<dyn Registry>) -> Source {
        let told = Told { settling: Settling::default(), ttl: DEFAULT_TTL, last_error: None };
        Source {
            registry,
            watch: Mutex::default(),
            down: AtomicBool::new(false),
            heard_at: AtomicU64::new(0),
            confirmed_at: AtomicU64::new(0),
            losses: AtomicU64::new(0),
            told: Mutex::new(told),
        }
    }

    /// The watch, begun if need be; `None` once it was ended.
    pub(super) fn watch(&self, begin: impl FnOnce() -> Box<dyn WatchHandle>) -> Option<Arc<dyn WatchHandle>> {
        let mut watch = self.watch.lock();
        if matches!(*watch, Watched::NotYet) {
            *watch = Watched::Running(Arc::from(begin()));
        }
        match &*watch {
            Watched::Running(running) => Some(running.clone()),
            _ => None,
        }
    }

    /// The watch, if it was begun.
    pub(super) fn running_watch(&self) -> Option<Arc<dyn WatchHandle>> {
        match &*self.watch.lock() {
            Watched::Running(running) => Some(running.clone()),
            _ => None,
        }
    }

    pub(super) fn end_watch(&self) {
        let ended = std::mem::replace(&mut *self.watch.lock(), Watched::Ended);
        drop(ended); // after the lock: ending a watch may take locks of its own
    }

    /// It answered: how far it is to be trusted, and whether it had been lost.
    pub(super) fn answered(&self, heard: &RegistryUpdate, now: Tick) -> (Trust, bool) {
        self.heard_at.store(now.nanos(), Ordering::Relaxed);
        if heard.confirms_all {
            self.confirmed_at.store(now.nanos(), Ordering::Relaxed);
        }
        let mut told = self.told.lock();
        told.ttl = heard.ttl.unwrap_or(told.ttl);
        told.settling.answered(heard.epoch.as_deref(), now);
        let settled = told.settling.is_settled(told.ttl, now);
        let trust = Trust { absence: heard.absence, settled, ttl: told.ttl };
        (trust, self.down.swap(false, Ordering::Relaxed))
    }

    /// It did not answer: whether that is news.
    pub(super) fn failed(&self, error: Error) -> bool {
        let mut told = self.told.lock();
        told.settling.failed();
        told.last_error = Some(error);
        let news = !self.down.swap(true, Ordering::Relaxed);
        self.losses.fetch_add(u64::from(news), Ordering::Relaxed);
        news
    }

    pub(super) fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    pub(super) fn confirmed_at(&self) -> Option<Tick> {
        tick(&self.confirmed_at)
    }

    pub(super) fn is_settled(&self, now: Tick) -> bool {
        let told = self.told.lock();
        told.settling.is_settled(told.ttl, now)
    }

    /// What is wrong with it; none while it answers.
    pub(super) fn error(&self) -> Option<Error> {
        self.last_error().filter(|_| self.is_down())
    }

    fn last_error(&self) -> Option<Error> {
        self.told.lock().last_error.clone()
    }

    pub(super) fn stats(&self) -> RegistryStats {
        let now = clock::now();
        RegistryStats {
            source: self.registry.source().to_string(),
            up: !self.is_down() && tick(&self.heard_at).is_some(),
            settled: self.is_settled(now),
            heard_s: tick(&self.heard_at).map(|at| now.since(at).as_secs_f64()),
            losses: self.losses.load(Ordering::Relaxed),
            last_error: self.last_error().map(|error| error.to_string()),
        }
    }
}

fn tick(cell: &AtomicU64) -> Option<Tick> {
    Some(Tick::from_nanos(cell.load(Ordering::Relaxed))).filter(|tick| *tick != Tick::ZERO)
}
