//! The background of the process: a few threads that serve every client, started when first needed.
//!
//! ```text
//!  clients ──► Runtime (counted) ──► Shared ── lanes: beats before polls, at most so many at once
//!                                       │  ▲       └──► at most 4 workers
//!                                       │  └─ timers (heap)
//!                                       └── parked sockets ──► 1 poller: readable, or late ──► a job
//! ```
//!
//! * A **lane** is a queue that never has more than its limit of jobs running, so that one registry that has
//!   stalled leaves workers for the others. Within it [`Priority::Beat`] goes first.
//! * A **parked** socket costs no thread: one poller waits for all of them and then posts a job.
//! * Threads hold nothing but the queues. When the last [`Runtime`] is dropped they finish what they are
//!   doing and end; nobody waits for them but [`Runtime::close`].
//! * After a `fork` the child has none of these threads, and any lock may have been held. [`forked`] makes
//!   every older runtime inert there: it is neither locked nor dropped, and a new one is made on demand.

use std::any::Any;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::{Condvar, Mutex, MutexGuard};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};

use crate::clock::{self, Deadline, Tick};

const MOST_WORKERS: usize = 4;

static GENERATION: AtomicU64 = AtomicU64::new(0);
static CURRENT: ArcSwapOption<Slot> = ArcSwapOption::const_empty();

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
struct Slot {
    generation: u64,
    lease: Weak<Lease>,
}

/// A share in the background threads: one per client, cloned into each of its parts. When the last share is
/// closed or dropped, the threads end by themselves.
#[derive(Clone)]
pub struct Runtime {
    share: Arc<Share>,
}

/// What the clones of one share have in common, so that closing one closes all.
struct Share {
    lease: ArcSwapOption<Lease>,
    generation: u64,
    shared: Arc<Shared>,
}

/// Ends the threads when the last share is gone.
struct Lease {
    generation: u64,
    shared: Arc<Shared>,
}

/// Which of two waiting jobs of a lane goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Staying registered.
    Beat,
    /// Everything else.
    Poll,
}

/// A queue with a limit of its own; as a rule one per registry.
#[derive(Debug)]
pub struct Lane {
    id: u64,
    limit: usize,
}

impl Lane {
    /// A lane with at most `limit` of its jobs running at once.
    pub fn new(limit: usize) -> Arc<Lane> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Arc::new(Lane { id: NEXT.fetch_add(1, Ordering::Relaxed), limit })
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
pub struct Parking(u64);

/// Names something that the runtime keeps alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold(u64);

type Work = Box<dyn FnOnce() + Send>;

struct Job {
    lane: Arc<Lane>,
    priority: Priority,
    work: Work,
}

struct Timed {
    at: Tick,
    order: u64,
    job: Job,
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

struct Parked {
    socket: Arc<TcpStream>,
    interest: Interest,
    deadline: Tick,
    lane: Arc<Lane>,
    work: Box<dyn FnOnce(Woken) + Send>,
}

#[derive(Default)]
struct Queues {
    ready: [VecDeque<Job>; 2],
    timers: BinaryHeap<Reverse<Timed>>,
    running: HashMap<u64, usize>,
    parked: BTreeMap<u64, Parked>,
    /// Wakes the poller; there once it has been started.
    bell: Option<Arc<OwnedFd>>,
    holds: HashMap<u64, Arc<dyn Any + Send + Sync>>,
    counter: u64,
    workers: usize,
    idle: usize,
    /// Whether an idle worker sleeps no longer than until the next timer.
    watched: bool,
    polling: bool,
    stopped: bool,
}

#[derive(Default)]
struct Shared {
    queues: Mutex<Queues>,
    work: Condvar,
    ended: Condvar,
}

impl Runtime {
    /// The runtime of this process. Starts no thread.
    pub fn get() -> Runtime {
        loop {
            let current = CURRENT.load();
            let usable = current.as_ref().filter(|slot| slot.generation == generation());
            if let Some(lease) = usable.and_then(|slot| slot.lease.upgrade()) {
                return Runtime::new(lease);
            }
            let lease = Arc::new(Lease { generation: generation(), shared: Arc::default() });
            let slot = Arc::new(Slot { generation: lease.generation, lease: Arc::downgrade(&lease) });
            let before = CURRENT.compare_and_swap(&current, Some(slot));
            if before.as_ref().map(Arc::as_ptr) == current.as_ref().map(Arc::as_ptr) {
                return Runtime::new(lease);
            }
        }
    }

    fn new(lease: Arc<Lease>) -> Runtime {
        let (generation, shared) = (lease.generation, lease.shared.clone());
        Runtime { share: Arc::new(Share { lease: ArcSwapOption::new(Some(lease)), generation, shared }) }
    }

    /// Runs a job soon.
    pub fn post(&self, lane: &Arc<Lane>, priority: Priority, work: impl FnOnce() + Send + 'static) {
        let job = Job { lane: lane.clone(), priority, work: Box::new(work) };
        if let Some(mut queues) = self.working() {
            queues.ready[priority as usize].push_back(job);
            self.shared().see_to(&mut queues);
        } else {
            self.abandon(job);
        }
    }

    /// Runs a job at a moment, or soon after.
    pub fn at(&self, at: Tick, lane: &Arc<Lane>, priority: Priority, work: impl FnOnce() + Send + 'static) {
        let job = Job { lane: lane.clone(), priority, work: Box::new(work) };
        if let Some(mut queues) = self.working() {
            let order = queues.next();
            let earliest = queues.timers.peek().is_none_or(|Reverse(first)| at < first.at);
            queues.timers.push(Reverse(Timed { at, order, job }));
            if earliest {
                // Whoever watches the timers looks again; if nobody does, somebody begins to.
                self.shared().work.notify_all();
            }
            self.shared().see_to(&mut queues);
        } else {
            self.abandon(job);
        }
    }

    /// Runs a job after a while.
    pub fn after(
        &self,
        wait: Duration,
        lane: &Arc<Lane>,
        priority: Priority,
        work: impl FnOnce() + Send + 'static,
    ) {
        self.at(clock::now().after(wait), lane, priority, work);
    }

    /// Waits, without a thread of its own, until the socket is ready or the deadline has passed, then runs the job.
    pub fn park(
        &self,
        socket: Arc<TcpStream>,
        interest: Interest,
        deadline: Tick,
        lane: &Arc<Lane>,
        work: impl FnOnce(Woken) + Send + 'static,
    ) -> Parking {
        let parked = Parked { socket, interest, deadline, lane: lane.clone(), work: Box::new(work) };
        let Some(mut queues) = self.working() else {
            self.abandon(parked);
            return Parking(0);
        };
        let id = queues.next();
        queues.parked.insert(id, parked);
        self.shared().wake_poller(&mut queues);
        Parking(id)
    }

    /// Runs the job of a parked socket now, as [`Woken::Recalled`]; nothing if it has run already.
    pub fn unpark(&self, parking: Parking) {
        let Some(mut queues) = self.queues() else { return };
        if let Some(parked) = queues.parked.remove(&parking.0) {
            queues.wake(parked, Woken::Recalled);
            self.shared().see_to(&mut queues);
        }
    }

    /// Keeps something alive, and this runtime with it, until [`Runtime::release`] or the end of the process.
    pub fn hold(&self, held: Arc<dyn Any + Send + Sync>) -> Hold {
        let Some(mut queues) = self.working() else {
            self.abandon(held);
            return Hold(0);
        };
        let id = queues.next();
        queues.holds.insert(id, held);
        Hold(id)
    }

    /// No longer keeps it alive.
    pub fn release(&self, hold: Hold) {
        let held = self.queues().and_then(|mut queues| queues.holds.remove(&hold.0));
        drop(held); // after the lock: what is held may hold us
    }

    /// Gives this share back; if it was the last, waits until the threads have ended or the deadline has passed.
    pub fn close(self, deadline: Deadline) {
        if self.is_inherited() {
            return;
        }
        let shared = self.shared().clone();
        drop(self.share.lease.swap(None));
        let mut queues = shared.queues.lock();
        while queues.stopped && queues.workers + usize::from(queues.polling) > 0 {
            let left = deadline.left(clock::now());
            if left.is_zero() {
                return;
            }
            shared.ended.wait_for(&mut queues, left);
        }
    }

    /// How many threads it has now.
    pub fn threads(&self) -> usize {
        self.queues().map_or(0, |queues| queues.workers + usize::from(queues.polling))
    }

    /// Whether it stems from before a fork, and does nothing any more.
    pub fn is_inherited(&self) -> bool {
        self.share.generation != generation()
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.share.shared
    }

    fn queues(&self) -> Option<MutexGuard<'_, Queues>> {
        (!self.is_inherited()).then(|| self.shared().queues.lock())
    }

    /// The queues, while there is somebody to see to them.
    fn working(&self) -> Option<MutexGuard<'_, Queues>> {
        self.queues().filter(|queues| !queues.stopped)
    }

    /// What nobody will see to any more. What stems from before a fork is not even dropped.
    fn abandon<T>(&self, what: T) {
        if self.is_inherited() {
            std::mem::forget(what);
        }
    }
}

impl Lease {
    fn is_inherited(&self) -> bool {
        self.generation != generation()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.is_inherited() {
            // One count too many: never freed, for its locks may be held by threads that do not exist here.
            std::mem::forget(self.shared.clone());
            return;
        }
        drop(self.shared.stop());
    }
}

impl Shared {
    /// Tells the threads to end, and takes what they will no longer do.
    fn stop(&self) -> (Vec<Job>, BTreeMap<u64, Parked>) {
        let mut queues = self.queues.lock();
        queues.stopped = true;
        self.work.notify_all();
        queues.ring();
        let mut undone: Vec<Job> = std::mem::take(&mut queues.ready).into_iter().flatten().collect();
        undone.extend(std::mem::take(&mut queues.timers).into_iter().map(|Reverse(timed)| timed.job));
        (undone, std::mem::take(&mut queues.parked))
    }

    /// Wakes a worker for what has just been queued, or starts one.
    fn see_to(self: &Arc<Self>, queues: &mut Queues) {
        if queues.idle > 0 {
            self.work.notify_one();
        } else if queues.workers < MOST_WORKERS && !queues.stopped {
            queues.workers += 1;
            let shared = self.clone();
            start("plumline-worker", move || shared.serve());
        }
    }

    /// A worker's life.
    fn serve(&self) {
        let mut queues = self.queues.lock();
        while !queues.stopped {
            queues.ring_timers(clock::now());
            if let Some(job) = queues.take() {
                let lane = job.lane.id;
                MutexGuard::unlocked(&mut queues, || run(job.work));
                queues.finished(lane);
                continue;
            }
            self.idle(&mut queues);
        }
        queues.workers -= 1;
        self.ended.notify_all();
    }

    /// Sleeps until there is work; one of the idle workers no longer than until the next timer.
    fn idle(&self, queues: &mut MutexGuard<'_, Queues>) {
        let next = queues.timers.peek().map(|Reverse(timed)| timed.at);
        queues.idle += 1;
        match next.filter(|_| !queues.watched) {
            Some(at) => {
                queues.watched = true;
                self.work.wait_for(queues, at.remaining(clock::now()));
                queues.watched = false;
                if queues.idle > 1 {
                    // This one may be busy from now on: another watches the timers.
                    self.work.notify_one();
                }
            }
            None => self.work.wait(queues),
        }
        queues.idle -= 1;
    }

    fn wake_poller(self: &Arc<Self>, queues: &mut Queues) {
        if queues.polling {
            queues.ring();
            return;
        }
        match rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK) {
            Ok(bell) => queues.bell = Some(Arc::new(bell)),
            Err(error) => {
                tracing::error!(%error, "no descriptor for the poller: parked sockets are only looked at when late");
            }
        }
        queues.polling = true;
        let shared = self.clone();
        start("plumline-poller", move || shared.poll());
    }

    /// The poller's life.
    fn poll(self: &Arc<Self>) {
        let mut queues = self.queues.lock();
        while !queues.stopped {
            let waiting: Vec<(u64, Arc<TcpStream>, Interest)> = queues
                .parked
                .iter()
                .map(|(id, parked)| (*id, parked.socket.clone(), parked.interest))
                .collect();
            let until = queues.parked.values().map(|parked| parked.deadline).min();
            let bell = queues.bell.clone();
            let ready = MutexGuard::unlocked(&mut queues, || wait_for_any(bell.as_deref(), &waiting, until));
            let now = clock::now();
            let late = queues.parked.iter().filter(|(_, parked)| parked.deadline <= now).map(|(id, _)| *id);
            let late: Vec<u64> = late.collect();
            for (id, woken) in ready
                .into_iter()
                .map(|id| (id, Woken::Ready))
                .chain(late.into_iter().map(|id| (id, Woken::Late)))
            {
                if let Some(parked) = queues.parked.remove(&id) {
                    queues.wake(parked, woken);
                    self.see_to(&mut queues);
                }
            }
        }
        queues.polling = false;
        self.ended.notify_all();
    }
}

impl Queues {
    fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// The first job whose lane has room, beats before the others.
    fn take(&mut self) -> Option<Job> {
        let running = &self.running;
        let has_room = |job: &Job| running.get(&job.lane.id).is_none_or(|busy| *busy < job.lane.limit);
        let (queue, place) = self
            .ready
            .iter()
            .enumerate()
            .find_map(|(queue, jobs)| Some((queue, jobs.iter().position(has_room)?)))?;
        let job = self.ready[queue].remove(place)?;
        *self.running.entry(job.lane.id).or_default() += 1;
        Some(job)
    }

    fn finished(&mut self, lane: u64) {
        if let Some(busy) = self.running.get_mut(&lane) {
            *busy -= 1;
            if *busy == 0 {
                self.running.remove(&lane);
            }
        }
    }

    /// Queues the timers that have come.
    fn ring_timers(&mut self, now: Tick) {
        while self.timers.peek().is_some_and(|Reverse(first)| first.at <= now) {
            if let Some(Reverse(timed)) = self.timers.pop() {
                self.ready[timed.job.priority as usize].push_back(timed.job);
            }
        }
    }

    fn wake(&mut self, parked: Parked, woken: Woken) {
        let Parked { lane, work, .. } = parked;
        let work: Work = Box::new(move || work(woken));
        self.ready[Priority::Poll as usize].push_back(Job { lane, priority: Priority::Poll, work });
    }

    fn ring(&self) {
        if let Some(bell) = &self.bell {
            // Full means it rings already.
            let _ = rustix::io::write(bell, &1u64.to_ne_bytes());
        }
    }
}

/// Waits for the sockets, the bell or the moment; the sockets that are ready.
fn wait_for_any(
    bell: Option<&OwnedFd>,
    waiting: &[(u64, Arc<TcpStream>, Interest)],
    until: Option<Tick>,
) -> Vec<u64> {
    // Without a bell nobody can call us: look ten times a second.
    let longest = bell.is_none().then(|| Duration::from_millis(100));
    let wait = until.map(|until| until.remaining(clock::now())).into_iter().chain(longest).min();
    let wait = wait.and_then(|wait| Timespec::try_from(wait).ok());
    let flags = |interest: &Interest| match interest {
        Interest::Read => PollFlags::IN,
        Interest::Write => PollFlags::OUT,
    };
    let sockets =
        waiting.iter().map(|(_, socket, interest)| PollFd::from_borrowed_fd(socket.as_fd(), flags(interest)));
    let bells = bell.iter().map(|bell| PollFd::from_borrowed_fd(bell.as_fd(), PollFlags::IN));
    let mut fds: Vec<PollFd<'_>> = sockets.chain(bells).collect();
    if let Err(error) = rustix::event::poll(&mut fds, wait.as_ref()) {
        if error != rustix::io::Errno::INTR {
            tracing::error!(%error, "polling failed");
            std::thread::sleep(Duration::from_millis(100)); // never spin on an error that stays
        }
        return Vec::new();
    }
    if let Some(bell) = bell {
        let _ = rustix::io::read(bell, &mut [0u8; 8]);
    }
    waiting.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty()).map(|((id, ..), _)| *id).collect()
}

fn start(name: &str, life: impl FnOnce() + Send + 'static) {
    if let Err(error) = std::thread::Builder::new().name(name.into()).stack_size(512 << 10).spawn(life) {
        tracing::error!(%error, name, "a background thread could not be started");
    }
}

/// A job that panics is a defect, but takes nobody else's thread with it.
fn run(work: Work) {
    if std::panic::catch_unwind(AssertUnwindSafe(work)).is_err() {
        tracing::error!("a background job panicked; please report it");
    }
}
