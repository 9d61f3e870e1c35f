//! The background of the process: a few threads that serve every client, started when first needed.
//!
//! ```text
//!  clients ──► Runtime (counted) ──► Shared ── lanes: beats before polls, at most so many at once
//!                                       │  ▲       └──► at most 4 workers
//!                                       │  └─ timers (heap)
//!                                       ├── parked sockets ──► 1 poller: readable, or late ──► a job
//!                                       └── tasks ──► 1 tokio thread, where registries need one
//! ```
//!
//! * A **lane** is a queue that never has more than its limit of jobs running, so that one registry that has
//!   stalled leaves workers for the others. Within it [`Priority::Heartbeat`] goes first.
//! * A **parked** socket costs no thread: one poller waits for all of them and then posts a job.
//! * Threads hold nothing but the queues. When the last [`Runtime`] is dropped they finish what they are
//!   doing and end; nobody waits for them but [`Runtime::close`].
//! * After a `fork` the child has none of these threads, and any lock may have been held. [`forked`] makes
//!   every older runtime inert there: it is neither locked nor dropped, and a new one is made on demand.

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

/// How many forks lie between this process and the first one that used Plumline.
#[inline]
pub fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// To be called in the child after a `fork`, before anything else of this crate: all that was inherited is
/// inert from then on.
pub fn forked() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// The runtime that clients share at present, as long as one of them lives.
struct CurrentRuntime {
    generation: u64,
    lease: Weak<ThreadsGuard>,
}

/// A client's share in the background threads; its clones are the same share. When every share has been given
/// back ([`Runtime::close`]) or dropped, the threads end by themselves.
#[derive(Clone)]
pub struct Runtime {
    share: Arc<RuntimeShare>,
}

/// One client's share.
struct RuntimeShare {
    generation: u64,
    shared: Arc<Shared>,
    /// Gone once it was given back.
    lease: ArcSwapOption<ThreadsGuard>,
}

/// Ends the threads when the last share is gone.
struct ThreadsGuard {
    generation: u64,
    shared: Arc<Shared>,
}

/// Which of two waiting jobs of a lane goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Staying registered.
    Heartbeat,
    /// Everything else.
    Poll,
}

/// A queue with a limit of its own; as a rule one per registry.
#[derive(Debug)]
pub struct TaskQueue {
    id: u64,
    limit: usize,
}

impl TaskQueue {
    /// A lane with at most `limit` of its jobs running at once.
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
    /// The time that was given for it is over.
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

/// Names a parked socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ParkingId(u64);

/// Names something that the runtime keeps alive.
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

    /// One that no other test shares.
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

    /// Runs a job at a moment, or soon after.
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
                // Whoever watches the timers looks again.
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

    /// Gives this share back; if it was the last, waits until the threads have ended or the deadline has passed.
    /// What is handed over afterwards is dropped, unless other clients keep the threads.
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

    /// How many threads it has now.
    pub fn threads(&self) -> usize {
        self.hand_over((), |_, queues, ()| queues.threads()).unwrap_or_default()
    }

    /// Whether it stems from before a fork, and does nothing any more.
    pub fn is_inherited(&self) -> bool {
        self.share.generation != generation()
    }

    /// Does something under the lock. What is handed over is dropped once the threads have ended, and leaked
    /// where it stems from before a fork: dropping it could lock what will never be unlocked.
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
            // One count too many: never freed, for its locks may be held by threads that do not exist here.
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
            // One count too many: never freed, for its locks may be held by threads that do not exist here.
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

    /// A job that waits until it is let go, and says when it has begun.
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
    fn nothing_is_started_before_it_is_needed_and_all_ends_with_the_last_share() {
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
    fn a_lane_that_is_stuck_leaves_workers_for_the_others() {
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
    fn beats_go_before_polls() {
        let runtime = Runtime::alone();
        let queue = TaskQueue::new(1);
        let (begun, begins) = channel();
        let (go, job) = blocker(begun);
        runtime.post(&queue, Priority::Poll, job);
        heard(&begins);
        let (told, hears) = channel();
        for (priority, name) in [(Priority::Poll, "poll"), (Priority::Heartbeat, "beat")] {
            let told = told.clone();
            runtime.post(&queue, priority, move || told.send(name).unwrap());
        }
        go.send(()).unwrap();
        assert_eq!((heard(&hears), heard(&hears)), ("beat", "poll"));
    }

    #[test]
    fn timers_go_off_in_their_order() {
        let runtime = Runtime::alone();
        let queue = TaskQueue::new(1);
        let (told, hears) = channel();
        // Late enough that all of them are set before the first goes off.
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
    fn a_timer_goes_off_while_another_ones_job_is_stuck() {
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
    fn a_job_that_panics_takes_no_worker_along() {
        let runtime = Runtime::alone();
        let queue = TaskQueue::new(1);
        let (told, hears) = channel();
        runtime.post(&queue, Priority::Poll, || panic!("on purpose"));
        runtime.post(&queue, Priority::Poll, move || told.send(()).unwrap());
        heard(&hears);
    }

    #[test]
    fn a_parked_socket_wakes_when_it_is_ready_late_or_recalled() {
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
                told.send(woken).unwrap()
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
    fn what_is_held_keeps_the_runtime_until_it_is_released() {
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
