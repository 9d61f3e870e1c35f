//! One registry of the catalog: its availability, whether it is settled, and its watch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::sync::Mutex;

use super::absence::{AbsencePolicy, EpochTracker};
use super::report::RegistryStats;
use crate::clock::{self, Tick};
use crate::error::Error;
use crate::registry::{DEFAULT_TTL, Registry, RegistryUpdate, WatchHandle};

pub(super) struct Source {
    pub(super) registry: Arc<dyn Registry>,
    /// Started by the first service; ended when the catalog is closed.
    watch: Mutex<SourceWatch>,
    down: AtomicBool,
    /// When it last answered; 0 before the first time.
    heard_at: AtomicU64,
    /// When it last confirmed every watched service.
    confirmed_at: AtomicU64,
    losses: AtomicU64,
    health: Mutex<SourceHealth>,
}

#[derive(Default)]
enum SourceWatch {
    #[default]
    NotYet,
    Running(Arc<dyn WatchHandle>),
    Ended,
}

struct SourceHealth {
    settling: EpochTracker,
    ttl: Duration,
    /// Its last failure, kept after it is available again.
    last_error: Option<Error>,
}

impl Source {
    pub(super) fn new(registry: Arc<dyn Registry>) -> Source {
        let health = SourceHealth { settling: EpochTracker::default(), ttl: DEFAULT_TTL, last_error: None };
        Source {
            registry,
            watch: Mutex::default(),
            down: AtomicBool::new(false),
            heard_at: AtomicU64::new(0),
            confirmed_at: AtomicU64::new(0),
            losses: AtomicU64::new(0),
            health: Mutex::new(health),
        }
    }

    /// The watch, started if necessary; `None` once it was ended.
    pub(super) fn watch(&self, begin: impl FnOnce() -> Box<dyn WatchHandle>) -> Option<Arc<dyn WatchHandle>> {
        let mut watch = self.watch.lock();
        if matches!(*watch, SourceWatch::NotYet) {
            *watch = SourceWatch::Running(Arc::from(begin()));
        }
        match &*watch {
            SourceWatch::Running(running) => Some(running.clone()),
            _ => None,
        }
    }

    /// The watch, if it was started.
    pub(super) fn running_watch(&self) -> Option<Arc<dyn WatchHandle>> {
        match &*self.watch.lock() {
            SourceWatch::Running(running) => Some(running.clone()),
            _ => None,
        }
    }

    pub(super) fn end_watch(&self) {
        let ended = std::mem::replace(&mut *self.watch.lock(), SourceWatch::Ended);
        drop(ended); // after the lock: ending a watch may take locks of its own
    }

    /// Records a response. Returns how absence is treated, and whether the registry was unavailable.
    pub(super) fn answered(&self, heard: &RegistryUpdate, now: Tick) -> (AbsencePolicy, bool) {
        self.heard_at.store(now.nanos(), Ordering::Relaxed);
        if heard.confirms_all {
            self.confirmed_at.store(now.nanos(), Ordering::Relaxed);
        }
        let mut health = self.health.lock();
        health.ttl = heard.ttl.unwrap_or(health.ttl);
        health.settling.answered(heard.epoch.as_deref(), now);
        let settled = health.settling.is_settled(health.ttl, now);
        let trust = AbsencePolicy { absence: heard.absence, settled, ttl: health.ttl };
        (trust, self.down.swap(false, Ordering::Relaxed))
    }

    /// Records a failure. Returns whether the registry was available before.
    pub(super) fn failed(&self, error: Error) -> bool {
        let mut health = self.health.lock();
        health.settling.failed();
        health.last_error = Some(error);
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
        let health = self.health.lock();
        health.settling.is_settled(health.ttl, now)
    }

    /// Its error; none while it is available.
    pub(super) fn error(&self) -> Option<Error> {
        self.last_error().filter(|_| self.is_down())
    }

    fn last_error(&self) -> Option<Error> {
        self.health.lock().last_error.clone()
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
