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
use super::managed_instance::{ManagedInstance, RoundScope, RoundTask, SentEntry};
use crate::clock::{self, Tick};
use crate::error::{Error, Kind, Result};
use crate::registry::reconnect::Reconnect;
use crate::registry::{DEFAULT_TTL, Entry, Registry, Wait};
use crate::runtime::Priority;

/// Registrations often come together: this long others may join the round.
const GATHER_DELAY: Duration = Duration::from_millis(1);
/// Requests have limits of their own; this one only ends a round that has lost its way.
const ROUND_TIMEOUT: Duration = Duration::from_mins(1);

/// One registry, and when it is next turned to.
pub(super) struct RegistryWriter {
    registry: Arc<dyn Registry>,
    schedule: Mutex<Schedule>,
}

#[derive(Default)]
struct Schedule {
    /// Counts the appointments made; only the latest is kept.
    appointment: u64,
    next: Option<Tick>,
    /// When everybody is to be beaten for; rounds before that only tell news.
    heartbeat_at: Option<Tick>,
    running: bool,
    /// Something new came up during a round.
    again: bool,
    reconnect: Reconnect,
    error: Option<Error>,
}

impl RegistryWriter {
    pub(super) fn new(registry: Arc<dyn Registry>) -> RegistryWriter {
        RegistryWriter { registry, schedule: Mutex::default() }
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
    fn next_round(
        &mut self,
        scope: RoundScope,
        outcome: Result<()>,
        shortest: Option<Duration>,
    ) -> Option<Tick> {
        let now = clock::now();
        if let Err(error) = outcome {
            if !self.reconnect.is_lost() {
                tracing::warn!(%error, "the registry cannot be beaten to; trying on");
            }
            let ttl = shortest.unwrap_or(DEFAULT_TTL);
            self.heartbeat_at = Some(now.after(self.reconnect.lost(ttl, fastrand::f64())));
            return self.heartbeat_at;
        }
        self.reconnect.found();
        let due = shortest.map(|ttl| now.after(jittered(ttl / 3)));
        // News may bring a shorter TTL, but put nobody's beat off.
        self.heartbeat_at = if scope == RoundScope::News { self.heartbeat_at.min(due).or(due) } else { due };
        if self.again { Some(now.after(GATHER_DELAY)) } else { self.heartbeat_at }
    }
}

impl Shared {
    // === when ===

    /// Something new is to be told: a round begins soon, unless the registry is lost.
    pub(super) fn schedule_soon(self: &Arc<Self>, writer: usize) {
        let mut schedule = self.writers[writer].schedule.lock();
        if schedule.running {
            schedule.again = true;
        } else if !schedule.reconnect.is_lost() || schedule.next.is_none() {
            let soon = clock::now().after(GATHER_DELAY);
            if schedule.next.is_none_or(|next| next > soon) {
                self.appoint(writer, &mut schedule, soon);
            }
        }
    }

    fn appoint(self: &Arc<Self>, writer: usize, schedule: &mut Schedule, at: Tick) {
        schedule.appointment += 1;
        schedule.next = Some(at);
        let (appointment, shared) = (schedule.appointment, Arc::downgrade(self));
        let queue = self.writers[writer].registry.lane();
        self.runtime.at(at, queue, Priority::Heartbeat, move || {
            Shared::run_appointment(&shared, writer, appointment)
        });
    }

    fn run_appointment(shared: &Weak<Shared>, writer: usize, appointment: u64) {
        let Some(shared) = shared.upgrade() else { return };
        let scope = {
            let mut schedule = shared.writers[writer].schedule.lock();
            if schedule.appointment != appointment || schedule.running {
                return;
            }
            schedule.running = true;
            schedule.again = false;
            if schedule.heartbeat_at.is_none_or(|at| at <= clock::now()) {
                RoundScope::Everything
            } else {
                RoundScope::News
            }
        };
        // A panic is a defect, but one beat that met it must not be the last.
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| shared.round(writer, scope)))
            .unwrap_or_else(|_| Err(Error::new(Kind::Internal, "a beat panicked; please report it")));
        let shortest = shared.shortest_ttl(writer);
        let mut schedule = shared.writers[writer].schedule.lock();
        schedule.running = false;
        schedule.error = outcome.as_ref().err().cloned();
        match schedule.next_round(scope, outcome, shortest) {
            Some(at) => shared.appoint(writer, &mut schedule, at),
            None => schedule.next = None,
        }
    }

    /// The shortest time for which this registry keeps one of the slots; `None` without slots.
    fn shortest_ttl(&self, writer: usize) -> Option<Duration> {
        let own = self.instances.lock().values().map(|managed| managed.ttl()).min()?;
        Some(own.min(self.writers[writer].registry.ttl()))
    }

    // === what ===

    /// Goes through every slot; an error if the registry is away.
    fn round(&self, writer: usize, scope: RoundScope) -> Result<()> {
        let mut instances: Vec<Arc<ManagedInstance>> = self.instances.lock().values().cloned().collect();
        if scope == RoundScope::News {
            instances.retain(|managed| managed.has_news(writer));
        }
        // Entries of one instance id travel together.
        instances.sort_by_cached_key(|managed| (managed.instance().instance_id, managed.id));
        let mut rest = instances.as_slice();
        while !rest.is_empty() {
            let (batch, left) = rest.split_at(batch_end(rest, self.writers[writer].registry.batch()));
            if let Err(error) = self.batch(writer, batch, scope) {
                for managed in left {
                    managed.unreachable(writer, &error);
                }
                return Err(error);
            }
            rest = left;
        }
        Ok(())
    }

    fn batch(&self, writer: usize, instances: &[Arc<ManagedInstance>], scope: RoundScope) -> Result<()> {
        let taken: Vec<(&Arc<ManagedInstance>, SentEntry)> = instances
            .iter()
            .filter_map(|managed| Some((managed, managed.take_task(writer, scope)?)))
            .collect();
        let outcome = self.send(writer, &taken);
        for (managed, _) in &taken {
            managed.no_longer_in_flight(writer);
        }
        outcome?;
        taken.iter().try_for_each(|(managed, _)| self.remove_former(writer, managed))
    }

    fn send(&self, writer: usize, taken: &[(&Arc<ManagedInstance>, SentEntry)]) -> Result<()> {
        let is = |task: RoundTask| move |(_, sent): &&(&Arc<ManagedInstance>, SentEntry)| sent.task == task;
        let known: Vec<_> = taken.iter().filter(is(RoundTask::Heartbeat)).collect();
        let mut unknown: Vec<_> = taken.iter().filter(is(RoundTask::Register)).collect();
        let heartbeat_done = self.heartbeat(writer, &known)?;
        unknown.extend(
            known.into_iter().zip(heartbeat_done).filter(|(_, again)| *again).map(|(taken, _)| taken),
        );
        self.register(writer, &unknown)
    }

    /// For each, whether it has to be registered again.
    fn heartbeat(&self, writer: usize, taken: &[&(&Arc<ManagedInstance>, SentEntry)]) -> Result<Vec<bool>> {
        if taken.is_empty() {
            return Ok(Vec::new());
        }
        let wait = Wait::new(ROUND_TIMEOUT, &self.closing);
        let outcomes = self.writers[writer].registry.heartbeat(&entries(taken), &wait);
        let away = away(&outcomes);
        let source = self.writers[writer].registry.source();
        let again = taken
            .iter()
            .zip(outcomes)
            .map(|((managed, sent), outcome)| managed.heartbeat_done(writer, source, sent, outcome));
        let again: Vec<bool> = again.collect();
        let lost = again.iter().filter(|again| **again).count();
        if lost > 0 {
            tracing::info!(%source, lost, "the registry does not know us any more; registering again");
        }
        away.map_or(Ok(again), Err)
    }

    fn register(&self, writer: usize, taken: &[&(&Arc<ManagedInstance>, SentEntry)]) -> Result<()> {
        if taken.is_empty() {
            return Ok(());
        }
        let wait = Wait::new(ROUND_TIMEOUT, &self.closing);
        let outcomes: Vec<Result<()>> = self.writers[writer].registry.register(&entries(taken), &wait);
        let away = away(&outcomes);
        let (source, count) =
            (self.writers[writer].registry.source(), outcomes.iter().filter(|o| o.is_ok()).count());
        if count > 0 {
            tracing::info!(%source, count, "registered");
        }
        taken
            .iter()
            .zip(outcomes)
            .for_each(|((managed, sent), outcome)| managed.registered(writer, sent, outcome));
        away.map_or(Ok(()), Err)
    }

    /// A changed identity is another entry: the old one goes once the new one is there.
    fn remove_former(&self, writer: usize, managed: &ManagedInstance) -> Result<()> {
        for former in managed.take_former(writer) {
            let wait = Wait::new(ROUND_TIMEOUT, &self.closing);
            if let Err(error) = self.writers[writer].registry.deregister(&former, false, &wait) {
                managed.return_former(writer, former);
                return Err(error);
            }
        }
        Ok(())
    }
}

/// About `size` slots, and those behind them that share the last one's instance id.
fn batch_end(instances: &[Arc<ManagedInstance>], size: usize) -> usize {
    let id = |managed: &ManagedInstance| managed.instance().instance_id;
    let end = size.clamp(1, instances.len());
    let last = id(&instances[end - 1]);
    end + instances[end..].iter().take_while(|managed| id(managed) == last).count()
}

fn entries(taken: &[&(&Arc<ManagedInstance>, SentEntry)]) -> Vec<Entry> {
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

    fn after(
        schedule: &mut Schedule,
        scope: RoundScope,
        outcome: Result<()>,
        shortest: Duration,
    ) -> Duration {
        schedule.next_round(scope, outcome, Some(shortest)).unwrap().remaining(clock::now())
    }

    #[test]
    fn whoever_is_kept_for_a_short_time_is_tried_again_within_it() {
        for _ in 0..100 {
            let mut schedule = Schedule::default();
            for _ in 0..10 {
                let away = Error::new(Kind::Unavailable, "away");
                assert!(after(&mut schedule, RoundScope::Everything, Err(away), SHORT) < SHORT * 2 / 5);
            }
        }
    }

    #[test]
    fn a_shorter_ttl_among_the_news_is_beaten_for_in_time() {
        let mut schedule = Schedule::default();
        let first = after(&mut schedule, RoundScope::Everything, Ok(()), LONG);
        assert!(first > LONG / 4, "{first:?}");
        let second = after(&mut schedule, RoundScope::News, Ok(()), SHORT);
        assert!(second < SHORT * 2 / 5, "{second:?}");
        let third = after(&mut schedule, RoundScope::News, Ok(()), LONG);
        assert!(third <= second, "news put a beat off: {third:?}");
    }

    #[test]
    fn rounds_end_with_the_last_slot() {
        let mut schedule = Schedule::default();
        after(&mut schedule, RoundScope::Everything, Ok(()), LONG);
        assert_eq!(schedule.next_round(RoundScope::News, Ok(()), None), None);
    }
}
