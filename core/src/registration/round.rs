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
use crate::registry::reconnect::ReconnectBackoff;
use crate::registry::{DEFAULT_TTL, Registry, RegistryEntry, WaitLimit};
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
    reconnect: ReconnectBackoff,
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

impl Schedule {
    /// When the round after this one comes; `None` once nobody is registered any more, so that no `shortest` TTL
    /// is left.
    fn after_round(&mut self, scope: Scope, outcome: Result<()>, shortest: Option<Duration>) -> Option<Tick> {
        let now = clock::now();
        if let Err(error) = outcome {
            if !self.reconnect.is_failing() {
                tracing::warn!(%error, "the registry cannot be beaten to; trying on");
            }
            let ttl = shortest.unwrap_or(DEFAULT_TTL);
            self.beat_at = Some(now.after(self.reconnect.failed(ttl, fastrand::f64())));
            return self.beat_at;
        }
        self.reconnect.succeeded();
        let due = shortest.map(|ttl| now.after(jittered(ttl / 3)));
        // News may bring a shorter TTL, but put nobody's beat off.
        self.beat_at = if scope == Scope::News { self.beat_at.min(due).or(due) } else { due };
        if self.again { Some(now.after(GATHER)) } else { self.beat_at }
    }
}

impl Shared {
    // === when ===

    /// Something new is to be told: a round begins soon, unless the registry is lost.
    pub(super) fn hurry(self: &Arc<Self>, store: usize) {
        let mut schedule = self.stores[store].schedule.lock();
        if schedule.running {
            schedule.again = true;
        } else if !schedule.reconnect.is_failing() || schedule.next.is_none() {
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
        let lane = self.stores[store].registry.queue();
        self.runtime
            .at(at, lane, Priority::Heartbeat, move || Shared::keep_appointment(&shared, store, appointment));
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
        let shortest = shared.shortest_ttl(store);
        let mut schedule = shared.stores[store].schedule.lock();
        schedule.running = false;
        schedule.error = outcome.as_ref().err().cloned();
        match schedule.after_round(scope, outcome, shortest) {
            Some(at) => shared.appoint(store, &mut schedule, at),
            None => schedule.next = None,
        }
    }

    /// The shortest time for which this registry keeps one of the slots; `None` without slots.
    fn shortest_ttl(&self, store: usize) -> Option<Duration> {
        let own = self.slots.lock().values().map(|slot| slot.ttl()).min()?;
        Some(own.min(self.stores[store].registry.ttl()))
    }

    // === what ===

    /// Goes through every slot; an error if the registry is away.
    fn round(&self, store: usize, scope: Scope) -> Result<()> {
        let mut slots: Vec<Arc<Slot>> = self.slots.lock().values().cloned().collect();
        if scope == Scope::News {
            slots.retain(|slot| slot.has_news(store));
        }
        // Entries of one instance id travel together.
        slots.sort_by_cached_key(|slot| (slot.instance().instance_id, slot.id));
        let mut rest = slots.as_slice();
        while !rest.is_empty() {
            let (batch, left) = rest.split_at(batch_end(rest, self.stores[store].registry.batch_size()));
            if let Err(error) = self.batch(store, batch, scope) {
                for slot in left {
                    slot.unreachable(store, &error);
                }
                return Err(error);
            }
            rest = left;
        }
        Ok(())
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
        let known: Vec<_> = taken.iter().filter(is(Task::Heartbeat)).collect();
        let mut unknown: Vec<_> = taken.iter().filter(is(Task::Register)).collect();
        let beaten = self.heartbeat(store, &known)?;
        unknown.extend(known.into_iter().zip(beaten).filter(|(_, again)| *again).map(|(taken, _)| taken));
        self.register(store, &unknown)
    }

    /// For each, whether it has to be registered again.
    fn heartbeat(&self, store: usize, taken: &[&(&Arc<Slot>, Sent)]) -> Result<Vec<bool>> {
        if taken.is_empty() {
            return Ok(Vec::new());
        }
        let wait = WaitLimit::new(LONGEST, &self.closing);
        let outcomes = self.stores[store].registry.heartbeat(&entries(taken), &wait);
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
        let wait = WaitLimit::new(LONGEST, &self.closing);
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
            let wait = WaitLimit::new(LONGEST, &self.closing);
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

fn entries(taken: &[&(&Arc<Slot>, Sent)]) -> Vec<RegistryEntry> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_secs(3);
    const LONG: Duration = Duration::from_secs(30);

    fn after(schedule: &mut Schedule, scope: Scope, outcome: Result<()>, shortest: Duration) -> Duration {
        schedule.after_round(scope, outcome, Some(shortest)).unwrap().remaining(clock::now())
    }

    #[test]
    fn whoever_is_kept_for_a_short_time_is_tried_again_within_it() {
        for _ in 0..100 {
            let mut schedule = Schedule::default();
            for _ in 0..10 {
                let away = Error::new(Kind::Unavailable, "away");
                assert!(after(&mut schedule, Scope::Everything, Err(away), SHORT) < SHORT * 2 / 5);
            }
        }
    }

    #[test]
    fn a_shorter_ttl_among_the_news_is_beaten_for_in_time() {
        let mut schedule = Schedule::default();
        let first = after(&mut schedule, Scope::Everything, Ok(()), LONG);
        assert!(first > LONG / 4, "{first:?}");
        let second = after(&mut schedule, Scope::News, Ok(()), SHORT);
        assert!(second < SHORT * 2 / 5, "{second:?}");
        let third = after(&mut schedule, Scope::News, Ok(()), LONG);
        assert!(third <= second, "news put a beat off: {third:?}");
    }

    #[test]
    fn rounds_end_with_the_last_slot() {
        let mut schedule = Schedule::default();
        after(&mut schedule, Scope::Everything, Ok(()), LONG);
        assert_eq!(schedule.after_round(Scope::News, Ok(()), None), None);
    }
}
