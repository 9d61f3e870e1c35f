//! A round sends the heartbeats of all instances to one registry, and registers the instances it does not know.
//!
//! A round runs every TTL/3 ±15 %, and after a failure with a backoff that stays within the TTL. New data starts a round
//! at once, for the changed instances only. A round sends batches of the size that a request of that registry allows.
//! Each batch reads the data of its instances when it is sent, and skips those that were closed in the meantime.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::sync::Mutex;

use super::Shared;
use super::managed_instance::{ManagedInstance, RoundScope, RoundTask, SentEntry};
use crate::clock::{self, Tick};
use crate::error::{Error, Kind, Result};
use crate::registry::reconnect::ReconnectBackoff;
use crate::registry::{DEFAULT_TTL, Registry, RegistryEntry, WaitLimit};
use crate::runtime::Priority;

/// How long a round waits for further registrations to join it.
const GATHER_DELAY: Duration = Duration::from_millis(1);
/// The limit of a whole round. Each request has its own, shorter limit.
const ROUND_TIMEOUT: Duration = Duration::from_mins(1);

/// One registry and the schedule of its rounds.
pub(super) struct RegistryWriter {
    registry: Arc<dyn Registry>,
    schedule: Mutex<Schedule>,
}

#[derive(Default)]
struct Schedule {
    /// Counts the scheduled rounds; only the latest is run.
    appointment: u64,
    next: Option<Tick>,
    /// When the next heartbeat of all instances is due. Earlier rounds only send new data.
    heartbeat_at: Option<Tick>,
    running: bool,
    /// Whether new data arrived during a round.
    again: bool,
    reconnect: ReconnectBackoff,
    error: Option<Error>,
}

impl RegistryWriter {
    pub(super) fn new(registry: Arc<dyn Registry>) -> RegistryWriter {
        RegistryWriter { registry, schedule: Mutex::default() }
    }

    pub(super) fn registry(&self) -> &Arc<dyn Registry> {
        &self.registry
    }

    /// Its current error.
    pub(super) fn lost(&self) -> Option<Error> {
        self.schedule.lock().error.clone()
    }
}

impl Schedule {
    /// The time of the next round; `None` without registered instances, which have no `shortest` TTL.
    fn next_round(
        &mut self,
        scope: RoundScope,
        outcome: Result<()>,
        shortest: Option<Duration>,
    ) -> Option<Tick> {
        let now = clock::now();
        if let Err(error) = outcome {
            if !self.reconnect.is_failing() {
                tracing::warn!(%error, "heartbeat failed; retrying");
            }
            let ttl = shortest.unwrap_or(DEFAULT_TTL);
            self.heartbeat_at = Some(now.after(self.reconnect.failed(ttl, fastrand::f64())));
            return self.heartbeat_at;
        }
        self.reconnect.succeeded();
        let due = shortest.map(|ttl| now.after(jittered(ttl / 3)));
        // A round for new data may bring the next heartbeat forward, but must not delay it.
        self.heartbeat_at = if scope == RoundScope::News { self.heartbeat_at.min(due).or(due) } else { due };
        if self.again { Some(now.after(GATHER_DELAY)) } else { self.heartbeat_at }
    }
}

impl Shared {
    // === schedule ===

    /// Schedules a round for new data soon, unless the registry is unavailable.
    pub(super) fn schedule_soon(self: &Arc<Self>, writer: usize) {
        let mut schedule = self.writers[writer].schedule.lock();
        if schedule.running {
            schedule.again = true;
        } else if !schedule.reconnect.is_failing() || schedule.next.is_none() {
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
        let queue = self.writers[writer].registry.queue();
        self.runtime.at(at, queue, Priority::Heartbeat, move || {
            Shared::run_appointment(&shared, writer, appointment);
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
        // A panic is a defect, but heartbeats must go on after it.
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| shared.round(writer, scope)))
            .unwrap_or_else(|_| Err(Error::new(Kind::Internal, "a heartbeat panicked; please report it")));
        let shortest = shared.shortest_ttl(writer);
        let mut schedule = shared.writers[writer].schedule.lock();
        schedule.running = false;
        schedule.error = outcome.as_ref().err().cloned();
        match schedule.next_round(scope, outcome, shortest) {
            Some(at) => shared.appoint(writer, &mut schedule, at),
            None => schedule.next = None,
        }
    }

    /// The shortest TTL among the instances; `None` without instances.
    fn shortest_ttl(&self, writer: usize) -> Option<Duration> {
        let own = self.instances.lock().values().map(|managed| managed.ttl()).min()?;
        Some(own.min(self.writers[writer].registry.ttl()))
    }

    // === rounds ===

    /// Sends every instance in scope; an error if the registry is unavailable.
    fn round(&self, writer: usize, scope: RoundScope) -> Result<()> {
        let mut instances: Vec<Arc<ManagedInstance>> = self.instances.lock().values().cloned().collect();
        if scope == RoundScope::News {
            instances.retain(|managed| managed.has_news(writer));
        }
        // Entries of one instance id go into one request.
        instances.sort_by_cached_key(|managed| (managed.instance().instance_id, managed.id));
        let mut rest = instances.as_slice();
        while !rest.is_empty() {
            let (batch, left) = rest.split_at(batch_end(rest, self.writers[writer].registry.batch_size()));
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

    /// Sends heartbeats. Returns for each instance whether it has to be registered again.
    fn heartbeat(&self, writer: usize, taken: &[&(&Arc<ManagedInstance>, SentEntry)]) -> Result<Vec<bool>> {
        if taken.is_empty() {
            return Ok(Vec::new());
        }
        let wait = WaitLimit::new(ROUND_TIMEOUT, &self.closing);
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
            tracing::info!(%source, lost, "the registry lost instances; registering them again");
        }
        away.map_or(Ok(again), Err)
    }

    fn register(&self, writer: usize, taken: &[&(&Arc<ManagedInstance>, SentEntry)]) -> Result<()> {
        if taken.is_empty() {
            return Ok(());
        }
        let wait = WaitLimit::new(ROUND_TIMEOUT, &self.closing);
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

    /// Deregisters former identities once the registry holds the present one.
    fn remove_former(&self, writer: usize, managed: &ManagedInstance) -> Result<()> {
        for former in managed.take_former(writer) {
            let wait = WaitLimit::new(ROUND_TIMEOUT, &self.closing);
            if let Err(error) = self.writers[writer].registry.deregister(&former, false, &wait) {
                managed.return_former(writer, former);
                return Err(error);
            }
        }
        Ok(())
    }
}

/// The end of a batch of about `size` instances that keeps one instance id together.
fn batch_end(instances: &[Arc<ManagedInstance>], size: usize) -> usize {
    let id = |managed: &ManagedInstance| managed.instance().instance_id;
    let end = size.clamp(1, instances.len());
    let last = id(&instances[end - 1]);
    end + instances[end..].iter().take_while(|managed| id(managed) == last).count()
}

fn entries(taken: &[&(&Arc<ManagedInstance>, SentEntry)]) -> Vec<RegistryEntry> {
    taken.iter().map(|(_, sent)| sent.entry.clone()).collect()
}

/// The first error that shows that the registry is unavailable.
fn away<T>(outcomes: &[Result<T>]) -> Option<Error> {
    let errors = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
    errors.into_iter().find(|error| matches!(error.kind(), Kind::Unavailable | Kind::Timeout)).cloned()
}

/// ±15 % per round, so that clients started together do not send heartbeats together.
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
    fn failed_round_is_retried_within_a_short_ttl() {
        for _ in 0..100 {
            let mut schedule = Schedule::default();
            for _ in 0..10 {
                let away = Error::new(Kind::Unavailable, "away");
                assert!(after(&mut schedule, RoundScope::Everything, Err(away), SHORT) < SHORT * 2 / 5);
            }
        }
    }

    #[test]
    fn shorter_ttl_brings_the_next_heartbeat_forward() {
        let mut schedule = Schedule::default();
        let first = after(&mut schedule, RoundScope::Everything, Ok(()), LONG);
        assert!(first > LONG / 4, "{first:?}");
        let second = after(&mut schedule, RoundScope::News, Ok(()), SHORT);
        assert!(second < SHORT * 2 / 5, "{second:?}");
        let third = after(&mut schedule, RoundScope::News, Ok(()), LONG);
        assert!(third <= second, "new data delayed a heartbeat: {third:?}");
    }

    #[test]
    fn rounds_end_with_the_last_instance() {
        let mut schedule = Schedule::default();
        after(&mut schedule, RoundScope::Everything, Ok(()), LONG);
        assert_eq!(schedule.next_round(RoundScope::News, Ok(()), None), None);
    }
}
