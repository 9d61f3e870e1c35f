//! The tokio thread, which serves the connections of all registries that push updates.
//!
//! The first task starts it. It ends with the last share of the runtime, which drops the remaining tasks. A forked child
//! has no such thread; [`ForkLocal`] keeps the child from waking it.

use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::queues::Shared;
use super::{Runtime, generation};

/// The handle of the thread.
pub(super) struct Tasks {
    handle: Handle,
    /// Dropped to end it.
    _running: oneshot::Sender<()>,
}

impl Tasks {
    /// Starts the thread.
    fn start(shared: &Arc<Shared>) -> std::io::Result<Tasks> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (running, ended) = oneshot::channel::<()>();
        let shared = shared.clone();
        std::thread::Builder::new().name("plumline-tasks".into()).spawn(move || {
            // Waits until the sender is dropped; nothing is sent.
            let _ = runtime.block_on(ended);
            runtime.shutdown_background();
            shared.queues.lock().tokio_threads = 0;
            shared.ended.notify_all();
        })?;
        Ok(Tasks { handle, _running: running })
    }
}

/// A task on the tokio thread; dropping it ends the task.
pub struct Task {
    handle: ForkLocal<AbortHandle>,
    is_left: bool,
}

impl Task {
    /// Detaches it: it runs until it ends or the thread ends.
    pub fn leave(mut self) {
        self.is_left = true;
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if self.handle.is_current() && !self.is_left {
            self.handle.abort();
        }
    }
}

impl Runtime {
    /// Runs a future on the tokio thread, started on demand. `None` if this runtime was closed or inherited by a fork, or if
    /// the thread cannot be started.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> Option<Task> {
        let handle = self.hand_over((), |shared, queues, ()| {
            if queues.tasks.is_none() {
                match Tasks::start(shared) {
                    Ok(tasks) => {
                        queues.tokio_threads = 1;
                        queues.tasks = Some(tasks);
                    }
                    Err(error) => tracing::error!(%error, "cannot start the tokio thread"),
                }
            }
            queues.tasks.as_ref().map(|tasks| tasks.handle.clone())
        });
        let task = handle.flatten()?.spawn(future);
        Some(Task { handle: ForkLocal::new(task.abort_handle()), is_left: false })
    }
}

/// A value that a forked child must not use or drop, such as one that wakes the tokio thread. The child leaks it.
pub struct ForkLocal<T> {
    generation: u64,
    value: Option<T>,
}

impl<T> ForkLocal<T> {
    /// A value of this process.
    pub fn new(value: T) -> ForkLocal<T> {
        ForkLocal { generation: generation(), value: Some(value) }
    }

    /// Whether this process created it.
    pub fn is_current(&self) -> bool {
        self.generation == generation()
    }
}

impl<T> Deref for ForkLocal<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("there until it is dropped")
    }
}

impl<T> Drop for ForkLocal<T> {
    fn drop(&mut self) {
        if !self.is_current() {
            std::mem::forget(self.value.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;
    use crate::clock::{self, Deadline};

    const SOON: Duration = Duration::from_secs(10);

    /// Reports its drop.
    struct NotifyOnDrop(std::sync::mpsc::Sender<()>);

    impl Drop for NotifyOnDrop {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }

    #[test]
    fn tasks_share_a_thread_that_ends_with_the_last_share() {
        let runtime = Runtime::alone();
        assert_eq!(runtime.threads(), 0);
        let (told, hears) = channel();
        let tasks: Vec<Task> = (0..3)
            .map(|_| {
                let told = told.clone();
                let told = async move { told.send(std::thread::current().id()).unwrap() };
                runtime.spawn(told).unwrap()
            })
            .collect();
        let ids: Vec<_> = (0..3).map(|_| hears.recv_timeout(SOON).unwrap()).collect();
        assert!(ids.iter().all(|id| *id == ids[0]));
        assert_eq!(runtime.threads(), 1);
        runtime.close(Deadline::new(clock::now(), SOON));
        assert!(runtime.spawn(async {}).is_none(), "it was closed");
        drop(tasks);
    }

    #[test]
    fn tasks_end_when_dropped_and_with_the_runtime() {
        let runtime = Runtime::alone();
        let (told, hears) = channel();
        let forever = || {
            let farewell = NotifyOnDrop(told.clone());
            async move {
                let _farewell = farewell;
                std::future::pending::<()>().await;
            }
        };
        let (one, other) = (runtime.spawn(forever()).unwrap(), runtime.spawn(forever()).unwrap());
        drop(one);
        hears.recv_timeout(SOON).expect("the first has ended");
        runtime.close(Deadline::new(clock::now(), SOON));
        hears.recv_timeout(SOON).expect("the second has ended");
        drop(other);
    }
}
