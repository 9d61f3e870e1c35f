//! The background threads of the process: a few threads for all clients, started on demand.
//!
//! ```text
//!  clients ──► Runtime (counted) ──► Shared ── queues: heartbeats first, with a job limit each
//!                                       │  ▲       └──► at most 4 workers
//!                                       │  └─ timers (heap)
//!                                       ├── parked sockets ──► 1 poller: ready or late ──► a job
//!                                       └── tasks ──► 1 tokio thread, where registries need one
//! ```
//!
//! * A [`TaskQueue`] limits its running jobs, so that a stalled registry leaves workers for the others. Jobs of
//!   [`Priority::Heartbeat`] run first.
//! * A **parked** socket uses no thread: one poller waits for all of them and then posts a job.
//! * Threads own only the queues. When the last [`Runtime`] is dropped they finish their job and end. Only
//!   [`Runtime::close`] waits for them.
//! * A forked child has none of these threads, and any lock may have been held. [`forked`] disables every older runtime
//!   there: it is neither locked nor dropped, and a new one is created on demand.

mod common;
mod poller;
mod queues;
#[cfg(feature = "tokio")]
mod tasks;

use std::any::Any;
use std::cmp::Reverse;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use self::queues::{Job, Parked, Queues, Shared, Timed};
#[cfg(feature = "tokio")]
pub use self::tasks::{ForkLocal, Task};
use crate::clock::{self, Deadline, Tick};

static GENERATION: AtomicU64 = AtomicU64::new(0);
static CURRENT: ArcSwapOption<CurrentRuntime> = ArcSwapOption::const_empty();

/// The number of forks since the first process that used Plumline.
#[inline]
pub fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Must be called in a forked child before anything else of this crate. Disables all inherited objects.
pub fn forked() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// The runtime that clients share while one of them exists.
struct CurrentRuntime {
    generation: u64,
    lease: Weak<ThreadsGuard>,
}

/// A client's share of the background threads; clones are the same share. The threads end when every share was closed
/// ([`Runtime::close`]) or dropped.
#[derive(Clone)]
pub struct Runtime {
    share: Arc<RuntimeShare>,
}

/// One client's share.
struct RuntimeShare {
    generation: u64,
    shared: Arc<Shared>,
    /// `None` once the share was closed.
    lease: ArcSwapOption<ThreadsGuard>,
}

/// Ends the threads when it is dropped with the last share.
struct ThreadsGuard {
    generation: u64,
    shared: Arc<Shared>,
}

/// The priority of a queued job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Heartbeats and registrations.
    Heartbeat,
    /// Everything else.
    Poll,
}

/// A queue with a limit of running jobs; usually one per registry.
#[derive(Debug)]
pub struct TaskQueue {
    id: u64,
    limit: usize,
}

impl TaskQueue {
    /// A queue that runs at most `limit` jobs at the same time.
    pub fn new(limit: usize) -> Arc<TaskQueue> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Arc::new(TaskQueue { id: NEXT.fetch_add(1, Ordering::Relaxed), limit })
    }
}

/// Why a parked socket's job runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The socket can be read or written, or has failed.
    Ready,
    /// The deadline has passed.
    Late,
    /// [`Runtime::unpark`] was called.
    Recalled,
}

/// What a parked socket waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Something to read.
    Read,
    /// Room to write.
    Write,
}

/// The id of a parked socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ParkingId(u64);

/// The id of an object that the runtime keeps alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive(u64);

impl Runtime {
    /// A share in the runtime of this process. Starts no thread.
    pub fn get() -> Runtime {
        loop {
            let current = CURRENT.load();
            let usable = current.as_ref().filter(|slot| slot.generation == generation());
            if let Some(lease) = usable.and_then(|slot| slot.lease.upgrade()) {
                return Runtime::of(lease);
            }
            let lease = Arc::new(ThreadsGuard { generation: generation(), shared: Arc::default() });
            let slot =
                Arc::new(CurrentRuntime { generation: lease.generation, lease: Arc::downgrade(&lease) });
            let before = CURRENT.compare_and_swap(&current, Some(slot));
            if before.as_ref().map(Arc::as_ptr) == current.as_ref().map(Arc::as_ptr) {
                return Runtime::of(lease);
            }
        }
    }

    /// A runtime of its own, for tests.
    #[cfg(test)]
    fn alone() -> Runtime {
        Runtime::of(Arc::new(ThreadsGuard { generation: generation(), shared: Arc::default() }))
    }

    fn of(lease: Arc<ThreadsGuard>) -> Runtime {
        let (generation, shared) = (lease.generation, lease.shared.clone());
        Runtime {
            share: Arc::new(RuntimeShare { generation, shared, lease: ArcSwapOption::new(Some(lease)) }),
        }
    }

    /// Runs a job soon.
    pub fn post(&self, queue: &Arc<TaskQueue>, priority: Priority, work: impl FnOnce() + Send + 'static) {
        let job = Job { queue: queue.clone(), priority, work: Box::new(work) };
        self.hand_over(job, |shared, queues, job| {
            queues.ready[priority as usize].push_back(job);
            shared.see_to(queues);
        });
    }

    /// Runs a job at this time or soon after.
    pub fn at(
        &self,
        at: Tick,
        queue: &Arc<TaskQueue>,
        priority: Priority,
        work: impl FnOnce() + Send + 'static,
    ) {
        let job = Job { queue: queue.clone(), priority, work: Box::new(work) };
        self.hand_over(job, |shared, queues, job| {
            let order = queues.next();
            let earliest = queues.timers.peek().is_none_or(|Reverse(first)| at < first.at);
            queues.timers.push(Reverse(Timed { at, order, job }));
            if queues.workers == 0 {
                shared.start_worker(queues);
            } else if earliest {
                // The worker that waits for timers checks them again.
                shared.work.notify_all();
            }
        });
    }

    /// Runs a job after a while.
    pub fn after(
        &self,
        wait: Duration,
        queue: &Arc<TaskQueue>,
        priority: Priority,
        work: impl FnOnce() + Send + 'static,
    ) {
        self.at(clock::now().after(wait), queue, priority, work);
    }

    /// Waits, without a thread of its own, until the socket is ready or the deadline has passed, then runs the job.
    pub fn park(
        &self,
        socket: Arc<TcpStream>,
        interest: Interest,
        deadline: Tick,
        queue: &Arc<TaskQueue>,
        work: impl FnOnce(Woken) + Send + 'static,
    ) -> ParkingId {
        let parked = Parked { socket, interest, deadline, queue: queue.clone(), work: Box::new(work) };
        let parking = self.hand_over(parked, |shared, queues, parked| {
            let id = queues.next();
            queues.parked.insert(id, parked);
            shared.wake_poller(queues);
            id
        });
        ParkingId(parking.unwrap_or_default())
    }

    /// Runs the job of a parked socket now, as [`Woken::Recalled`]; nothing if it has run already.
    pub fn unpark(&self, parking: ParkingId) {
        self.hand_over((), |shared, queues, ()| {
            if let Some(parked) = queues.parked.remove(&parking.0) {
                queues.wake(parked, Woken::Recalled);
                shared.see_to(queues);
            }
        });
    }

    /// Keeps something alive, and this runtime with it, until [`Runtime::release`] or the end of the process.
    pub fn hold(&self, held: Arc<dyn Any + Send + Sync>) -> KeepAlive {
        let hold = self.hand_over(held, |_, queues, held| {
            let id = queues.next();
            queues.holds.insert(id, held);
            id
        });
        KeepAlive(hold.unwrap_or_default())
    }

    /// No longer keeps it alive.
    pub fn release(&self, hold: KeepAlive) {
        let held = self.hand_over((), |_, queues, ()| queues.holds.remove(&hold.0));
        drop(held); // after the lock: what is held may hold us
    }

    /// Closes this share. If it was the last, waits until the threads have ended or the deadline has passed. Later jobs
    /// are dropped, unless other clients keep the threads.
    pub fn close(&self, deadline: Deadline) {
        if self.is_inherited() {
            return;
        }
        drop(self.share.lease.swap(None));
        let mut queues = self.share.shared.queues.lock();
        while queues.stopped && queues.threads() > 0 {
            let left = deadline.left(clock::now());
            if left.is_zero() {
                return;
            }
            self.share.shared.ended.wait_for(&mut queues, left);
        }
    }

    /// The number of running threads.
    pub fn threads(&self) -> usize {
        self.hand_over((), |_, queues, ()| queues.threads()).unwrap_or_default()
    }

    /// Whether it was inherited by a fork, and is disabled.
    pub fn is_inherited(&self) -> bool {
        self.share.generation != generation()
    }

    /// Runs `work` under the lock. The value is dropped instead once the threads have ended, and leaked in a forked child,
    /// where dropping it could wait for a lock that is never released.
    fn hand_over<T, R>(&self, what: T, then: impl FnOnce(&Arc<Shared>, &mut Queues, T) -> R) -> Option<R> {
        if self.is_inherited() {
            std::mem::forget(what);
            return None;
        }
        let mut queues = self.share.shared.queues.lock();
        if queues.stopped {
            drop(queues);
            drop(what);
            return None;
        }
        Some(then(&self.share.shared, &mut queues, what))
    }
}

impl Drop for RuntimeShare {
    fn drop(&mut self) {
        if self.generation != generation() {
            // Leaked on purpose: its locks may be held by threads that do not exist here.
            std::mem::forget((self.shared.clone(), self.lease.load_full()));
        }
    }
}

impl ThreadsGuard {
    fn is_inherited(&self) -> bool {
        self.generation != generation()
    }
}

impl Drop for ThreadsGuard {
    fn drop(&mut self) {
        if self.is_inherited() {
            // Leaked on purpose: its locks may be held by threads that do not exist here.
            std::mem::forget(self.shared.clone());
            return;
        }
        drop(self.shared.stop());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::queues::MOST_WORKERS;
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    /// A job that reports its start and waits until it is released.
    fn blocker(begun: Sender<()>) -> (Sender<()>, impl FnOnce() + Send + 'static) {
        let (go, gate) = channel::<()>();
        let job = move || {
            let _ = begun.send(());
            let _ = gate.recv();
        };
        (go, job)
    }

    fn heard<T>(receiver: &Receiver<T>) -> T {
        receiver.recv_timeout(SOON).expect("a job ran")
    }

    #[test]
    fn threads_start_on_demand_and_end_with_the_last_share() {
        let runtime = Runtime::alone();
        assert_eq!(runtime.threads(), 0);
        let (told, hears) = channel();
        runtime.post(&TaskQueue::new(1), Priority::Poll, move || told.send(()).unwrap());
        heard(&hears);
        assert_eq!(runtime.threads(), 1);
        let other = Runtime::of(runtime.share.lease.load_full().unwrap());
        runtime.close(Deadline::new(clock::now(), SOON));
        assert_eq!(other.threads(), 1, "another client needs them");
        other.close(Deadline::new(clock::now(), SOON));
        assert_eq!(other.share.shared.queues.lock().workers, 0);
        other.post(&TaskQueue::new(1), Priority::Poll, || unreachable!("it was closed"));
    }

    #[test]
    fn stuck_queue_leaves_workers_for_others() {
        let runtime = Runtime::alone();
        let (stuck, free) = (TaskQueue::new(2), TaskQueue::new(2));
        let (begun, begins) = channel();
        let gates: Vec<_> = (0..8)
            .map(|_| {
                let (go, job) = blocker(begun.clone());
                runtime.post(&stuck, Priority::Heartbeat, job);
                go
            })
            .collect();
        heard(&begins);
        heard(&begins);
        let (told, hears) = channel();
        for index in 0..100 {
            let told = told.clone();
            runtime.post(&free, Priority::Poll, move || told.send(index).unwrap());
        }
        assert_eq!((0..100).map(|_| heard(&hears)).sum::<i32>(), 4950);
        assert!(begins.try_recv().is_err(), "no third job of the stuck lane has begun");
        assert!(runtime.threads() <= MOST_WORKERS);
        drop(gates);
    }

    #[test]
    fn heartbeats_run_before_polls() {
        let runtime = Runtime::alone();
        let queue = TaskQueue::new(1);
        let (begun, begins) = channel();
        let (go, job) = blocker(begun);
        runtime.post(&queue, Priority::Poll, job);
        heard(&begins);
        let (told, hears) = channel();
        for (priority, name) in [(Priority::Poll, "poll"), (Priority::Heartbeat, "heartbeat")] {
            let told = told.clone();
            runtime.post(&queue, priority, move || told.send(name).unwrap());
        }
        go.send(()).unwrap();
        assert_eq!((heard(&hears), heard(&hears)), ("heartbeat", "poll"));
    }

    #[test]
    fn timers_fire_in_order() {
        let runtime = Runtime::alone();
        let queue = TaskQueue::new(1);
        let (told, hears) = channel();
        // Late enough that all timers are set before the first fires.
        let base = clock::now().after(Duration::from_millis(300));
        for millis in [60, 20, 40] {
            let told = told.clone();
            runtime.at(base.after(Duration::from_millis(millis)), &queue, Priority::Poll, move || {
                told.send(millis).unwrap();
            });
        }
        assert_eq!([heard(&hears), heard(&hears), heard(&hears)], [20, 40, 60]);
        assert!(runtime.threads() <= 2);
    }

    #[test]
    fn timer_fires_while_another_job_is_stuck() {
        let runtime = Runtime::alone();
        let (begun, begins) = channel();
        let (go, job) = blocker(begun);
        let (told, hears) = channel();
        runtime.after(Duration::from_millis(10), &TaskQueue::new(1), Priority::Poll, job);
        runtime.after(Duration::from_millis(50), &TaskQueue::new(1), Priority::Poll, move || {
            told.send(()).unwrap();
        });
        heard(&begins);
        heard(&hears);
        drop(go);
    }

    #[test]
    fn panicking_job_keeps_its_worker() {
        let runtime = Runtime::alone();
        let queue = TaskQueue::new(1);
        let (told, hears) = channel();
        runtime.post(&queue, Priority::Poll, || panic!("on purpose"));
        runtime.post(&queue, Priority::Poll, move || told.send(()).unwrap());
        heard(&hears);
    }

    #[test]
    fn parked_socket_wakes_when_ready_late_or_recalled() {
        let runtime = Runtime::alone();
        let queue = TaskQueue::new(2);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let pair = || {
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            (Arc::new(client), listener.accept().unwrap().0)
        };
        let (told, hears) = channel();
        let park = |socket: &Arc<TcpStream>, deadline: Tick| {
            let told = told.clone();
            runtime.park(socket.clone(), Interest::Read, deadline, &queue, move |woken| {
                told.send(woken).unwrap();
            })
        };
        let (client, mut server) = pair();
        park(&client, Tick::NEVER);
        server.write_all(b"x").unwrap();
        assert_eq!(heard(&hears), Woken::Ready);
        let (quiet, _server) = pair();
        park(&quiet, clock::now().after(Duration::from_millis(20)));
        assert_eq!(heard(&hears), Woken::Late);
        let parking = park(&quiet, Tick::NEVER);
        runtime.unpark(parking);
        runtime.unpark(parking);
        assert_eq!(heard(&hears), Woken::Recalled);
        assert!(hears.try_recv().is_err());
    }

    #[test]
    fn held_object_keeps_the_runtime_until_released() {
        let runtime = Runtime::alone();
        let shared = runtime.share.shared.clone();
        let hold = runtime.hold(Arc::new(runtime.clone()));
        let second = runtime.clone();
        drop(runtime);
        assert!(!shared.queues.lock().stopped);
        second.release(hold);
        drop(second);
        assert!(shared.queues.lock().stopped);
    }
}
