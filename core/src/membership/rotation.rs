//! Who of a service is out of rotation, and the law that holds whatever happens: at most half of the
//! endpoints that could be picked are out, and never the last one.
//!
//! The law is kept here, under the writer lock, and not by those who eject, so that it also holds when the
//! list shrinks while endpoints are out: then those come back whose ejection would have ended first.
//!
//! An ejection does not end because the registry stopped listing the endpoint for a moment: the records of
//! ejected endpoints that went away are kept for their return, a bounded number of them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwap;

use super::view::weighted;
use super::{Ejection, EndpointState, Member, Service};
use crate::clock::Tick;
use crate::model::{Endpoint, EndpointKey};

/// More than anybody restarts at once; beyond it the oldest is forgotten, which only means a fresh start.
const REMEMBERED: usize = 256;

/// Who is out, and when somebody must look after them.
#[derive(Debug)]
pub(super) struct Rotation {
    out: ArcSwap<Vec<Member>>,
    /// How many more may go out.
    room: AtomicU32,
    wake_at: AtomicU64,
    call_probe_at: AtomicU64,
}

impl Default for Rotation {
    fn default() -> Rotation {
        Rotation {
            out: ArcSwap::default(),
            room: AtomicU32::new(0),
            wake_at: AtomicU64::new(Tick::NEVER.nanos()),
            call_probe_at: AtomicU64::new(Tick::NEVER.nanos()),
        }
    }
}

impl Rotation {
    pub(super) fn settle(&self, members: &[Member]) {
        let could_be_picked = electorate(members);
        let mut out: Vec<&Member> =
            could_be_picked.iter().copied().filter(|member| member.state.is_ejected()).collect();
        let limit = could_be_picked.len() / 2;
        out.sort_by_key(|member| std::cmp::Reverse(member.state.ejection().map(|ejection| ejection.until)));
        for member in out.drain(limit.min(out.len())..) {
            let returned_at = member.state.ejection().map_or(Tick::ZERO, |ejection| ejection.since);
            member.state.set_returned(returned_at);
        }
        self.room.store((limit - out.len()) as u32, Relaxed);
        self.out.store(Arc::new(members.iter().filter(|m| m.state.is_ejected()).cloned().collect()));
        self.schedule();
    }

    /// Works out anew when somebody must look; under the writer lock.
    fn schedule(&self) {
        let out = self.out.load();
        let ejections = || out.iter().filter_map(|member| member.state.ejection());
        let wake_at = ejections().map(|e| e.wakes_at()).min().unwrap_or(Tick::NEVER);
        let call_probe_at = ejections().map(|e| e.wants_call_at()).min().unwrap_or(Tick::NEVER);
        self.wake_at.store(wake_at.nanos(), Relaxed);
        self.call_probe_at.store(call_probe_at.nanos(), Relaxed);
    }
}

/// Those that could be picked if none were out.
fn electorate(members: &[Member]) -> Vec<&Member> {
    let mut healthy: Vec<&Member> = members.iter().filter(|member| member.endpoint.healthy).collect();
    weighted(&mut healthy);
    healthy
}

impl Service {
    /// The endpoints that are out of rotation.
    pub fn ejected(&self) -> Arc<Vec<Member>> {
        self.rotation.out.load_full()
    }

    /// Whether one more may go out. A glance without a lock; [`eject`](Service::eject) decides.
    pub fn may_eject(&self) -> bool {
        self.rotation.room.load(Relaxed) > 0
    }

    /// Takes an endpoint out of rotation and rebuilds the views. False where that must not be: it is out
    /// already, is not listed, gets no calls anyway, or half are out.
    pub fn eject(&self, state: &Arc<EndpointState>, ejection: Ejection) -> bool {
        let _writer = self.writer.lock();
        let snapshot = self.snapshot.load();
        let may_go = self.may_eject()
            && !state.is_ejected()
            && electorate(&snapshot.members).iter().any(|member| Arc::ptr_eq(&member.state, state));
        if may_go {
            state.set_ejected(ejection);
            self.settle();
        }
        may_go
    }

    /// Takes an endpoint back into rotation, on trial, if it is still out by the ejection that began at
    /// `since`; says whether it was.
    pub fn readmit(&self, state: &EndpointState, since: Tick, now: Tick) -> bool {
        let _writer = self.writer.lock();
        let still_out = state.ejection().is_some_and(|ejection| ejection.since == since);
        if still_out {
            state.set_returned(now);
            self.settle();
        }
        still_out
    }

    /// Takes everybody back, on trial, whose ejection has lasted its time.
    pub fn readmit_due(&self, now: Tick) {
        let _writer = self.writer.lock();
        let out = self.rotation.out.load();
        let due = |member: &&Member| member.state.ejection().is_some_and(|ejection| ejection.until <= now);
        let returning: Vec<&Member> = out.iter().filter(due).collect();
        if !returning.is_empty() {
            for member in returning {
                member.state.set_returned(now);
            }
            self.settle();
        }
    }

    /// Changes when an ejected endpoint is probed.
    pub fn reschedule(&self, state: &EndpointState, change: impl FnOnce(&mut Ejection)) {
        let _writer = self.writer.lock();
        state.change_ejection(change);
        self.rotation.schedule();
    }

    /// The next moment at which an ejection ends or a background probe is due; [`Tick::NEVER`] if none is.
    #[inline]
    pub fn wake_at(&self) -> Tick {
        Tick::from_nanos(self.rotation.wake_at.load(Relaxed))
    }

    /// The next moment at which a call that is safe to repeat should go to an ejected endpoint first.
    #[inline]
    pub fn call_probe_at(&self) -> Tick {
        Tick::from_nanos(self.rotation.call_probe_at.load(Relaxed))
    }
}

/// Whoever is out and was started anew since is worth a probe at once.
pub(super) fn probe_restarted(before: &[Member], after: &[Member]) {
    let generations: HashMap<*const EndpointState, &str> = before
        .iter()
        .filter(|member| member.state.is_ejected())
        .map(|member| (Arc::as_ptr(&member.state), member.endpoint.generation.as_str()))
        .collect();
    for member in after {
        let was = generations.get(&Arc::as_ptr(&member.state));
        if was.is_some_and(|generation| *generation != member.endpoint.generation) {
            member.state.change_ejection(|ejection| ejection.next_probe = Tick::ZERO);
        }
    }
}

/// The ejections of endpoints that the registry stopped listing meanwhile.
#[derive(Debug, Default)]
pub(super) struct Absent(VecDeque<(EndpointKey, Ejection)>);

impl Absent {
    pub(super) fn remember(&mut self, before: &[Member], removed: &[Arc<Endpoint>]) {
        if removed.is_empty() {
            return;
        }
        let gone = |member: &Member| removed.iter().any(|endpoint| Arc::ptr_eq(endpoint, &member.endpoint));
        let ejected = before.iter().filter_map(|member| Some((member, member.state.ejection()?)));
        self.0.extend(ejected.filter(|(m, _)| gone(m)).map(|(m, ejection)| (m.endpoint.key(), ejection)));
        let surplus = self.0.len().saturating_sub(REMEMBERED);
        self.0.drain(..surplus);
    }

    /// Gives those that are back their ejection back, with a probe due at once.
    pub(super) fn restore(&mut self, members: &[Member], added: &[Arc<Endpoint>]) {
        if self.0.is_empty() || added.is_empty() {
            return;
        }
        let present: HashMap<EndpointKey, &Member> = members.iter().map(|m| (m.endpoint.key(), m)).collect();
        self.0.retain(|(key, ejection)| {
            let Some(member) = present.get(key) else { return true };
            member.state.penalty.set(f64::from(ejection.multiplier), ejection.since);
            member.state.set_ejected(Ejection { next_probe: Tick::ZERO, ..*ejection });
            false
        });
    }
}
