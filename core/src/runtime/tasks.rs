//! The one tokio thread: what registries push arrives here, whichever they are and however many.
//!
//! It is started by the first task and ends with the last share of the runtime, which drops every task that is
//! still there. After a `fork` the child has no such thread; [`ForkLocal`] keeps it from waking one.

use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::queues::Shared;
use super::{Runtime, generation};

/// The thread, as the queues know it.
pub(super) struct Tasks {
    handle: Handle,
    /// Dropped to end it.
    _running: oneshot::Sender<()>,
}

impl Tasks {
    /// Starts the thread; none if the system will not have it.
    fn start(shared: &Arc<Shared>) -> std::io::Result<Tasks> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (running, ended) = oneshot::channel::<()>();
        let shared = shared.clone();
        std::thread::Builder::new().name("plumline-tasks".into()).spawn(move || {
            // It never gets a message: what ends the wait is that the other end is gone.
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
    /// Lets it go on until it ends by itself, or the thread does.
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
    /// Runs a future on the tokio thread, started if need be; none once this runtime was closed or inherited, or
    /// where the system has no thread to give.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> Option<Task> {
        let handle = self.hand_over((), |shared, queues, ()| {
            if queues.tasks.is_none() {
                match Tasks::start(shared) {
                    Ok(tasks) => {
                        queues.tokio_threads = 1;
                        queues.tasks = Some(tasks);
                    }
                    Err(error) => tracing::error!(%error, "the thread of connections could not be started"),
                }
            }
            queues.tasks.as_ref().map(|tasks| tasks.handle.clone())
        });
        let task = handle.flatten()?.spawn(future);
        Some(Task { handle: ForkLocal::new(task.abort_handle()), is_left: false })
    }
}

/// Something that wakes the tokio thread when it is used or dropped: a forked child leaves it alone.
pub struct ForkLocal<T> {
    generation: u64,
    value: Option<T>,
}

impl<T> ForkLocal<T> {
    /// Belongs to this process.
    pub fn new(value: T) -> ForkLocal<T> {
        ForkLocal { generation: generation(), value: Some(value) }
    }

    /// Whether this process made it.
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

    /// Says when it is dropped.
    struct NotifyOnDrop(std::sync::mpsc::Sender<()>);

    impl Drop for NotifyOnDrop {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }

    #[test]
    fn tasks_share_one_thread_that_ends_with_the_last_share() {
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
    fn a_dropped_task_ends_and_so_do_all_when_the_runtime_does() {
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
