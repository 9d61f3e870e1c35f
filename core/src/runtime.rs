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

/// A client's share in the background threads; its clones are the same share. When every share has been given
/// back ([`Runtime::close`]) or dropped, the threads end by themselves.
#[derive(Clone)]
pub struct Runtime {
    share: Arc<Share>,
}

/// One client's share.
struct Share {
    generation: u64,
    shared: Arc<Shared>,
    /// Gone once it was given back.
    lease: ArcSwapOption<Lease>,
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
    /// A share in the runtime of this process. Starts no thread.
    pub fn get() -> Runtime {
        loop {
            let current = CURRENT.load();
            let usable = current.as_ref().filter(|slot| slot.generation == generation());
            if let Some(lease) = usable.and_then(|slot| slot.lease.upgrade()) {
                return Runtime::of(lease);
            }
            let lease = Arc::new(Lease { generation: generation(), shared: Arc::default() });
            let slot = Arc::new(Slot { generation: lease.generation, lease: Arc::downgrade(&lease) });
            let before = CURRENT.compare_and_swap(&current, Some(slot));
            if before.as_ref().map(Arc::as_ptr) == current.as_ref().map(Arc::as_ptr) {
                return Runtime::of(lease);
            }
        }
    }

    fn of(lease: Arc<Lease>) -> Runtime {
        let (generation, shared) = (lease.generation, lease.shared.clone());
        Runtime { share: Arc::new(Share { generation, shared, lease: ArcSwapOption::new(Some(lease)) }) }
    }

    /// Runs a job soon.
    pub fn post(&self, lane: &Arc<Lane>, priority: Priority, work: impl FnOnce() + Send + 'static) {
        let job = Job { lane: lane.clone(), priority, work: Box::new(work) };
        self.hand_over(job, |shared, queues, job| {
            queues.ready[priority as usize].push_back(job);
            shared.see_to(queues);
        });
    }

    /// Runs a job at a moment, or soon after.
    pub fn at(&self, at: Tick, lane: &Arc<Lane>, priority: Priority, work: impl FnOnce() + Send + 'static) {
        let job = Job { lane: lane.clone(), priority, work: Box::new(work) };
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
        let parking = self.hand_over(parked, |shared, queues, parked| {
            let id = queues.next();
            queues.parked.insert(id, parked);
            shared.wake_poller(queues);
            id
        });
        Parking(parking.unwrap_or_default())
    }

    /// Runs the job of a parked socket now, as [`Woken::Recalled`]; nothing if it has run already.
    pub fn unpark(&self, parking: Parking) {
        self.hand_over((), |shared, queues, ()| {
            if let Some(parked) = queues.parked.remove(&parking.0) {
                queues.wake(parked, Woken::Recalled);
                shared.see_to(queues);
            }
        });
    }

    /// Keeps something alive, and this runtime with it, until [`Runtime::release`] or the end of the process.
    pub fn hold(&self, held: Arc<dyn Any + Send + Sync>) -> Hold {
        let hold = self.hand_over(held, |_, queues, held| {
            let id = queues.next();
            queues.holds.insert(id, held);
            id
        });
        Hold(hold.unwrap_or_default())
    }

    /// No longer keeps it alive.
    pub fn release(&self, hold: Hold) {
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
        while queues.stopped && queues.workers + usize::from(queues.polling) > 0 {
            let left = deadline.left(clock::now());
            if left.is_zero() {
                return;
            }
            self.share.shared.ended.wait_for(&mut queues, left);
        }
    }

    /// How many threads it has now.
    pub fn threads(&self) -> usize {
        let count = |_: &Arc<Shared>, queues: &mut Queues, ()| queues.workers + usize::from(queues.polling);
        self.hand_over((), count).unwrap_or_default()
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

impl Drop for Share {
    fn drop(&mut self) {
        if self.generation != generation() {
            // One count too many: never freed, for its locks may be held by threads that do not exist here.
            std::mem::forget((self.shared.clone(), self.lease.load_full()));
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
        } else {
            self.start_worker(queues);
        }
    }

    fn start_worker(self: &Arc<Self>, queues: &mut Queues) {
        if queues.workers < MOST_WORKERS && !queues.stopped {
            queues.workers += 1;
            let shared = self.clone();
            start("plumline-worker", move || shared.serve());
        }
    }

    /// A worker's life.
    fn serve(self: &Arc<Self>) {
        let mut queues = self.queues.lock();
        while !queues.stopped {
            queues.ring_timers(clock::now());
            if let Some(job) = queues.take() {
                let lane = job.lane.id;
                if queues.idle == 0 && queues.has_more() {
                    // Nobody else would notice what comes while this one is busy.
                    self.start_worker(&mut queues);
                }
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

    fn has_more(&self) -> bool {
        !self.timers.is_empty() || self.ready.iter().any(|jobs| !jobs.is_empty())
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    /// A runtime that no other test shares.
    fn own() -> Runtime {
        Runtime::of(Arc::new(Lease { generation: generation(), shared: Arc::default() }))
    }

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
        let runtime = own();
        assert_eq!(runtime.threads(), 0);
        let (told, hears) = channel();
        runtime.post(&Lane::new(1), Priority::Poll, move || told.send(()).unwrap());
        heard(&hears);
        assert_eq!(runtime.threads(), 1);
        let other = Runtime::of(runtime.share.lease.load_full().unwrap());
        runtime.close(Deadline::new(clock::now(), SOON));
        assert_eq!(other.threads(), 1, "another client needs them");
        other.close(Deadline::new(clock::now(), SOON));
        assert_eq!(other.share.shared.queues.lock().workers, 0);
        other.post(&Lane::new(1), Priority::Poll, || unreachable!("it was closed"));
    }

    #[test]
    fn a_lane_that_is_stuck_leaves_workers_for_the_others() {
        let runtime = own();
        let (stuck, free) = (Lane::new(2), Lane::new(2));
        let (begun, begins) = channel();
        let gates: Vec<_> = (0..8)
            .map(|_| {
                let (go, job) = blocker(begun.clone());
                runtime.post(&stuck, Priority::Beat, job);
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
        let runtime = own();
        let lane = Lane::new(1);
        let (begun, begins) = channel();
        let (go, job) = blocker(begun);
        runtime.post(&lane, Priority::Poll, job);
        heard(&begins);
        let (told, hears) = channel();
        for (priority, name) in [(Priority::Poll, "poll"), (Priority::Beat, "beat")] {
            let told = told.clone();
            runtime.post(&lane, priority, move || told.send(name).unwrap());
        }
        go.send(()).unwrap();
        assert_eq!((heard(&hears), heard(&hears)), ("beat", "poll"));
    }

    #[test]
    fn timers_go_off_in_their_order() {
        let runtime = own();
        let lane = Lane::new(1);
        let (told, hears) = channel();
        for millis in [60, 20, 40] {
            let told = told.clone();
            runtime.after(Duration::from_millis(millis), &lane, Priority::Poll, move || {
                told.send(millis).unwrap();
            });
        }
        assert_eq!([heard(&hears), heard(&hears), heard(&hears)], [20, 40, 60]);
        assert!(runtime.threads() <= 2);
    }

    #[test]
    fn a_timer_goes_off_while_another_ones_job_is_stuck() {
        let runtime = own();
        let (begun, begins) = channel();
        let (go, job) = blocker(begun);
        let (told, hears) = channel();
        runtime.after(Duration::from_millis(10), &Lane::new(1), Priority::Poll, job);
        runtime
            .after(Duration::from_millis(50), &Lane::new(1), Priority::Poll, move || told.send(()).unwrap());
        heard(&begins);
        heard(&hears);
        drop(go);
    }

    #[test]
    fn a_job_that_panics_takes_no_worker_along() {
        let runtime = own();
        let lane = Lane::new(1);
        let (told, hears) = channel();
        runtime.post(&lane, Priority::Poll, || panic!("on purpose"));
        runtime.post(&lane, Priority::Poll, move || told.send(()).unwrap());
        heard(&hears);
    }

    #[test]
    fn a_parked_socket_wakes_when_it_is_ready_late_or_recalled() {
        let runtime = own();
        let lane = Lane::new(2);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let pair = || {
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            (Arc::new(client), listener.accept().unwrap().0)
        };
        let (told, hears) = channel();
        let park = |socket: &Arc<TcpStream>, deadline: Tick| {
            let told = told.clone();
            runtime
                .park(socket.clone(), Interest::Read, deadline, &lane, move |woken| told.send(woken).unwrap())
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
        let runtime = own();
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
