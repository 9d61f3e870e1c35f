//! The queued jobs and the workers that run them.

use std::any::Any;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use crate::sync::{Condvar, Mutex, MutexGuard};

use super::common::Common;
use super::{Interest, Priority, TaskQueue, Woken};
use crate::clock::{self, Tick};

pub(super) const MOST_WORKERS: usize = 4;

pub(super) type Work = Box<dyn FnOnce() + Send>;

pub(super) struct Job {
    pub(super) queue: Arc<TaskQueue>,
    pub(super) priority: Priority,
    pub(super) work: Work,
}

pub(super) struct Timed {
    pub(super) at: Tick,
    pub(super) order: u64,
    pub(super) job: Job,
}

impl PartialEq for Timed {
    fn eq(&self, other: &Timed) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Timed {}

impl PartialOrd for Timed {
    fn partial_cmp(&self, other: &Timed) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timed {
    fn cmp(&self, other: &Timed) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

pub(super) struct Parked {
    pub(super) socket: Arc<TcpStream>,
    pub(super) interest: Interest,
    pub(super) deadline: Tick,
    pub(super) queue: Arc<TaskQueue>,
    pub(super) work: Box<dyn FnOnce(Woken) + Send>,
}

#[derive(Default)]
pub(super) struct Queues {
    pub(super) ready: [VecDeque<Job>; 2],
    pub(super) timers: BinaryHeap<Reverse<Timed>>,
    pub(super) running: HashMap<u64, usize>,
    pub(super) parked: BTreeMap<u64, Parked>,
    /// Wakes the poller; set once it was started.
    pub(super) bell: Option<Arc<OwnedFd>>,
    pub(super) holds: HashMap<u64, Arc<dyn Any + Send + Sync>>,
    pub(super) common: HashMap<String, Common>,
    pub(super) counter: u64,
    pub(super) workers: usize,
    pub(super) idle: usize,
    /// Whether an idle worker waits for the next timer.
    pub(super) watched: bool,
    pub(super) polling: bool,
    #[cfg(feature = "tokio")]
    pub(super) tasks: Option<super::tasks::Tasks>,
    /// The number of tokio threads: one or none.
    pub(super) tokio_threads: usize,
    pub(super) stopped: bool,
}

#[derive(Default)]
pub(super) struct Shared {
    pub(super) queues: Mutex<Queues>,
    pub(super) work: Condvar,
    pub(super) ended: Condvar,
}

impl Shared {
    /// Tells the threads to end, and takes the jobs that are left.
    pub(super) fn stop(&self) -> (Vec<Job>, BTreeMap<u64, Parked>) {
        let mut queues = self.queues.lock();
        queues.stopped = true;
        #[cfg(feature = "tokio")]
        drop(queues.tasks.take());
        self.work.notify_all();
        queues.ring();
        let mut undone: Vec<Job> = std::mem::take(&mut queues.ready).into_iter().flatten().collect();
        undone.extend(std::mem::take(&mut queues.timers).into_iter().map(|Reverse(timed)| timed.job));
        (undone, std::mem::take(&mut queues.parked))
    }

    /// Wakes or starts a worker for a queued job.
    pub(super) fn see_to(self: &Arc<Self>, queues: &mut Queues) {
        if queues.idle > 0 {
            self.work.notify_one();
        } else {
            self.start_worker(queues);
        }
    }

    pub(super) fn start_worker(self: &Arc<Self>, queues: &mut Queues) {
        if queues.workers < MOST_WORKERS && !queues.stopped {
            let shared = self.clone();
            queues.workers += usize::from(start("plumline-worker", move || shared.serve()));
        }
    }

    /// The main loop of a worker.
    pub(super) fn serve(self: &Arc<Self>) {
        let mut queues = self.queues.lock();
        while !queues.stopped {
            queues.ring_timers(clock::now());
            if let Some(job) = queues.take() {
                let queue = job.queue.id;
                if queues.idle == 0 && queues.has_more() {
                    // No other worker would notice new jobs while this one is busy.
                    self.start_worker(&mut queues);
                }
                MutexGuard::unlocked(&mut queues, || run(job.work));
                queues.finished(queue);
                continue;
            }
            self.idle(&mut queues);
        }
        queues.workers -= 1;
        self.ended.notify_all();
    }

    /// Waits for work; one of the idle workers also waits for the next timer.
    pub(super) fn idle(&self, queues: &mut MutexGuard<'_, Queues>) {
        let next = queues.timers.peek().map(|Reverse(timed)| timed.at);
        queues.idle += 1;
        match next.filter(|_| !queues.watched) {
            Some(at) => {
                queues.watched = true;
                self.work.wait_for(queues, at.remaining(clock::now()));
                queues.watched = false;
                if queues.idle > 1 {
                    // This worker may be busy now: another one waits for timers.
                    self.work.notify_one();
                }
            }
            None => self.work.wait(queues),
        }
        queues.idle -= 1;
    }
}

impl Queues {
    pub(super) fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// The first job whose queue has room, heartbeats before the others.
    pub(super) fn take(&mut self) -> Option<Job> {
        let running = &self.running;
        let has_room = |job: &Job| running.get(&job.queue.id).is_none_or(|busy| *busy < job.queue.limit);
        let (queue, place) = self
            .ready
            .iter()
            .enumerate()
            .find_map(|(queue, jobs)| Some((queue, jobs.iter().position(has_room)?)))?;
        let job = self.ready[queue].remove(place)?;
        *self.running.entry(job.queue.id).or_default() += 1;
        Some(job)
    }

    /// The number of threads.
    pub(super) fn threads(&self) -> usize {
        self.workers + usize::from(self.polling) + self.tokio_threads
    }

    pub(super) fn has_more(&self) -> bool {
        !self.timers.is_empty() || self.ready.iter().any(|jobs| !jobs.is_empty())
    }

    pub(super) fn finished(&mut self, queue: u64) {
        if let Some(busy) = self.running.get_mut(&queue) {
            *busy -= 1;
            if *busy == 0 {
                self.running.remove(&queue);
            }
        }
    }

    /// Queues the jobs of expired timers.
    pub(super) fn ring_timers(&mut self, now: Tick) {
        while self.timers.peek().is_some_and(|Reverse(first)| first.at <= now) {
            if let Some(Reverse(timed)) = self.timers.pop() {
                self.ready[timed.job.priority as usize].push_back(timed.job);
            }
        }
    }

    pub(super) fn wake(&mut self, parked: Parked, woken: Woken) {
        let Parked { queue, work, .. } = parked;
        let work: Work = Box::new(move || work(woken));
        self.ready[Priority::Poll as usize].push_back(Job { queue, priority: Priority::Poll, work });
    }

    pub(super) fn ring(&self) {
        if let Some(bell) = &self.bell {
            // A full counter has woken the poller already.
            let _ = rustix::io::write(bell, &1u64.to_ne_bytes());
        }
    }
}

/// Starts a thread. If that fails, the next job tries again.
pub(super) fn start(name: &str, life: impl FnOnce() + Send + 'static) -> bool {
    let started = std::thread::Builder::new().name(name.into()).stack_size(512 << 10).spawn(life);
    if let Err(error) = &started {
        tracing::error!(%error, name, "cannot start a background thread; retrying with the next job");
    }
    started.is_ok()
}

/// Runs a job. A panic is a defect, but does not end the worker.
fn run(work: Work) {
    if std::panic::catch_unwind(AssertUnwindSafe(work)).is_err() {
        tracing::error!("a background job panicked; please report it");
    }
}
