//! A round: everything registered with one registry is beaten for, and what it does not know is registered.
//!
//! Rounds come every TTL/3 ±15 %, and after a failure with a backoff that stays within the TTL. When something
//! new is to be told a round comes at once, but only for what is new. A round goes through the slots in batches as large as a request of that registry;
//! each batch takes the slots' data as they are at that moment, and leaves out what has been closed meanwhile.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::sync::Mutex;

use super::Shared;
use super::slot::{Scope, Sent, Slot, Task};
use crate::clock::{self, Tick};
use crate::error::{Error, Kind, Result};
use crate::registry::reconnect::Reconnect;
use crate::registry::{Entry, Registry, Wait};
use crate::runtime::Priority;

/// Registrations often come together: this long others may join the round.
const GATHER: Duration = Duration::from_millis(1);
/// Requests have limits of their own; this one only ends a round that has lost its way.
const LONGEST: Duration = Duration::from_mins(1);

/// One registry, and when it is next turned to.
pub(super) struct Store {
    registry: Arc<dyn Registry>,
    schedule: Mutex<Schedule>,
}

#[derive(Default)]
struct Schedule {
    /// Counts the appointments made; only the latest is kept.
    appointment: u64,
    next: Option<Tick>,
    /// When everybody is to be beaten for; rounds before that only tell news.
    beat_at: Option<Tick>,
    running: bool,
    /// Something new came up during a round.
    again: bool,
    reconnect: Reconnect,
    error: Option<Error>,
}

impl Store {
    pub(super) fn new(registry: Arc<dyn Registry>) -> Store {
        Store { registry, schedule: Mutex::default() }
    }

    pub(super) fn registry(&self) -> &Arc<dyn Registry> {
        &self.registry
    }

    /// What is wrong with it at present.
    pub(super) fn lost(&self) -> Option<Error> {
        self.schedule.lock().error.clone()
    }
}

impl Shared {
    // === when ===

    /// Something new is to be told: a round begins soon, unless the registry is lost.
    pub(super) fn hurry(self: &Arc<Self>, store: usize) {
        let mut schedule = self.stores[store].schedule.lock();
        if schedule.running {
            schedule.again = true;
        } else if !schedule.reconnect.is_lost() || schedule.next.is_none() {
            let soon = clock::now().after(GATHER);
            if schedule.next.is_none_or(|next| next > soon) {
                self.appoint(store, &mut schedule, soon);
            }
        }
    }

    fn appoint(self: &Arc<Self>, store: usize, schedule: &mut Schedule, at: Tick) {
        schedule.appointment += 1;
        schedule.next = Some(at);
        let (appointment, shared) = (schedule.appointment, Arc::downgrade(self));
        let lane = self.stores[store].registry.lane();
        self.runtime
            .at(at, lane, Priority::Beat, move || Shared::keep_appointment(&shared, store, appointment));
    }

    fn keep_appointment(shared: &Weak<Shared>, store: usize, appointment: u64) {
        let Some(shared) = shared.upgrade() else { return };
        let scope = {
            let mut schedule = shared.stores[store].schedule.lock();
            if schedule.appointment != appointment || schedule.running {
                return;
            }
            schedule.running = true;
            schedule.again = false;
            if schedule.beat_at.is_none_or(|at| at <= clock::now()) { Scope::Everything } else { Scope::News }
        };
        // A panic is a defect, but one beat that met it must not be the last.
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| shared.round(store, scope)))
            .unwrap_or_else(|_| Err(Error::new(Kind::Internal, "a beat panicked; please report it")));
        let mut schedule = shared.stores[store].schedule.lock();
        schedule.running = false;
        schedule.error = outcome.as_ref().err().cloned();
        let ttl = shared.stores[store].registry.ttl();
        match Shared::next_round(&mut schedule, scope, outcome, ttl) {
            Some(at) => shared.appoint(store, &mut schedule, at),
            None => schedule.next = None,
        }
    }

    /// When the round after this one comes; `None` once nobody is registered any more.
    fn next_round(
        schedule: &mut Schedule,
        scope: Scope,
        outcome: Result<Option<Duration>>,
        ttl: Duration,
    ) -> Option<Tick> {
        let now = clock::now();
        match outcome {
            Ok(interval) => {
                schedule.reconnect.found();
                if scope == Scope::Everything || interval.is_none() {
                    schedule.beat_at = interval.map(|interval| now.after(jittered(interval)));
                }
                if schedule.again { Some(now.after(GATHER)) } else { schedule.beat_at }
            }
            Err(error) => {
                if !schedule.reconnect.is_lost() {
                    tracing::warn!(%error, "the registry cannot be beaten to; trying on");
                }
                schedule.beat_at = Some(now.after(schedule.reconnect.lost(ttl, fastrand::f64())));
                schedule.beat_at
            }
        }
    }

    // === what ===

    /// Goes through every slot. The interval to the next round, `None` without slots; an error if the registry
    /// is away.
    fn round(&self, store: usize, scope: Scope) -> Result<Option<Duration>> {
        let mut slots: Vec<Arc<Slot>> = self.slots.lock().values().cloned().collect();
        let ttl = slots.iter().map(|slot| slot.ttl()).min();
        if scope == Scope::News {
            slots.retain(|slot| slot.has_news(store));
        }
        // Entries of one instance id travel together.
        slots.sort_by_cached_key(|slot| (slot.instance().instance_id, slot.id));
        let mut rest = slots.as_slice();
        while !rest.is_empty() {
            let (batch, left) = rest.split_at(batch_end(rest, self.stores[store].registry.batch()));
            if let Err(error) = self.batch(store, batch, scope) {
                for slot in left {
                    slot.unreachable(store, &error);
                }
                return Err(error);
            }
            rest = left;
        }
        let registry = &self.stores[store].registry;
        Ok(ttl.map(|ttl| ttl.min(registry.ttl()) / 3))
    }

    fn batch(&self, store: usize, slots: &[Arc<Slot>], scope: Scope) -> Result<()> {
        let taken: Vec<(&Arc<Slot>, Sent)> =
            slots.iter().filter_map(|slot| Some((slot, slot.take_task(store, scope)?))).collect();
        let outcome = self.send(store, &taken);
        for (slot, _) in &taken {
            slot.landed(store);
        }
        outcome?;
        taken.iter().try_for_each(|(slot, _)| self.remove_former(store, slot))
    }

    fn send(&self, store: usize, taken: &[(&Arc<Slot>, Sent)]) -> Result<()> {
        let is = |task: Task| move |(_, sent): &&(&Arc<Slot>, Sent)| sent.task == task;
        let known: Vec<_> = taken.iter().filter(is(Task::Beat)).collect();
        let mut unknown: Vec<_> = taken.iter().filter(is(Task::Register)).collect();
        let beaten = self.beat(store, &known)?;
        unknown.extend(known.into_iter().zip(beaten).filter(|(_, again)| *again).map(|(taken, _)| taken));
        self.register(store, &unknown)
    }

    /// For each, whether it has to be registered again.
    fn beat(&self, store: usize, taken: &[&(&Arc<Slot>, Sent)]) -> Result<Vec<bool>> {
        if taken.is_empty() {
            return Ok(Vec::new());
        }
        let wait = Wait::new(LONGEST, &self.closing);
        let outcomes = self.stores[store].registry.beat(&entries(taken), &wait);
        let away = away(&outcomes);
        let source = self.stores[store].registry.source();
        let again = taken
            .iter()
            .zip(outcomes)
            .map(|((slot, sent), outcome)| slot.beaten(store, source, sent, outcome));
        let again: Vec<bool> = again.collect();
        let lost = again.iter().filter(|again| **again).count();
        if lost > 0 {
            tracing::info!(%source, lost, "the registry does not know us any more; registering again");
        }
        away.map_or(Ok(again), Err)
    }

    fn register(&self, store: usize, taken: &[&(&Arc<Slot>, Sent)]) -> Result<()> {
        if taken.is_empty() {
            return Ok(());
        }
        let wait = Wait::new(LONGEST, &self.closing);
        let outcomes: Vec<Result<()>> = self.stores[store].registry.register(&entries(taken), &wait);
        let away = away(&outcomes);
        let (source, count) =
            (self.stores[store].registry.source(), outcomes.iter().filter(|o| o.is_ok()).count());
        if count > 0 {
            tracing::info!(%source, count, "registered");
        }
        taken.iter().zip(outcomes).for_each(|((slot, sent), outcome)| slot.registered(store, sent, outcome));
        away.map_or(Ok(()), Err)
    }

    /// A changed identity is another entry: the old one goes once the new one is there.
    fn remove_former(&self, store: usize, slot: &Slot) -> Result<()> {
        for former in slot.take_former(store) {
            let wait = Wait::new(LONGEST, &self.closing);
            if let Err(error) = self.stores[store].registry.deregister(&former, false, &wait) {
                slot.return_former(store, former);
                return Err(error);
            }
        }
        Ok(())
    }
}

/// About `size` slots, and those behind them that share the last one's instance id.
fn batch_end(slots: &[Arc<Slot>], size: usize) -> usize {
    let id = |slot: &Slot| slot.instance().instance_id;
    let end = size.clamp(1, slots.len());
    let last = id(&slots[end - 1]);
    end + slots[end..].iter().take_while(|slot| id(slot) == last).count()
}

fn entries(taken: &[&(&Arc<Slot>, Sent)]) -> Vec<Entry> {
    taken.iter().map(|(_, sent)| sent.entry.clone()).collect()
}

/// The error that shows that the registry is away, if one does.
fn away<T>(outcomes: &[Result<T>]) -> Option<Error> {
    let errors = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
    errors.into_iter().find(|error| matches!(error.kind(), Kind::Unavailable | Kind::Timeout)).cloned()
}

/// ±15 %, per round, so that clients started together do not beat together.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(0.85 + 0.3 * fastrand::f64())
}
