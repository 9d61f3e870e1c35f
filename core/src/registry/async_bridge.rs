//! Connects the callers' threads with the tokio thread, where the connections of etcd, Nacos and ZooKeeper run.
//!
//! ```text
//!  caller's thread ── run(future) ──► tokio thread: the future, until it is ready or the caller's deadline has passed
//!  catalog ── subscribe, … ──► WatchCommands ──► tokio thread: the watch of the registry ──► UpdateSink
//! ```

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::task::Poll;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::error::{Error, Kind, Result};
use crate::interrupt::SLICE;
use crate::registry::types::{RegistryEntry, UpdateSink, WaitLimit, WatchHandle, fail_all};
use crate::runtime::{ForkLocal, Runtime, Task};

/// Runs a future on the tokio thread and waits for its result. If the caller gives up, the future is dropped.
pub(super) fn run<T: Send + 'static>(
    runtime: &Runtime,
    wait: &WaitLimit<'_>,
    future: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    wait.remaining()?;
    let (sender, receiver) = sync_channel(1);
    let task = runtime.spawn(async move {
        // The caller may have given up.
        let _ = sender.send(future.await);
    });
    let closed = || Error::new(Kind::Closed, "the client was closed");
    let _task = task.ok_or_else(closed)?;
    loop {
        let remaining = wait.remaining()?;
        match receiver.recv_timeout(remaining.min(SLICE)) {
            Ok(outcome) => return outcome,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(closed()),
        }
    }
}

/// Like [`run`], for a future with one result per entry. If the future fails, every entry gets its error.
pub(super) fn run_for_each<T: Send + 'static>(
    runtime: &Runtime,
    wait: &WaitLimit<'_>,
    entries: &[RegistryEntry],
    future: impl Future<Output = Result<Vec<Result<T>>>> + Send + 'static,
) -> Vec<Result<T>> {
    run(runtime, wait, future).unwrap_or_else(|error| fail_all(entries, &error))
}

/// A command to a running watch. A refresh reads a service again, whether it is watched or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WatchCommand {
    Subscribe(String),
    Unsubscribe(String),
    SubscribeAll,
    Refresh(String),
}

/// The commands to one watch. The channel closes once the handle of the watch is dropped.
pub(super) type WatchCommands = UnboundedReceiver<WatchCommand>;

/// The handle of a watch that runs on the tokio thread.
struct AsyncWatchHandle {
    commands: ForkLocal<UnboundedSender<WatchCommand>>,
    _task: Option<Task>,
}

/// Starts a watch: `follow` receives commands until its future is dropped together with the handle.
pub(super) fn start_watch<F: Future<Output = ()> + Send + 'static>(
    runtime: &Runtime,
    sink: &Arc<dyn UpdateSink>,
    follow: impl FnOnce(WatchCommands) -> F,
) -> Box<dyn WatchHandle> {
    let (commands, received) = unbounded_channel();
    let (watch, sink) = (follow(received), sink.clone());
    let task = runtime.spawn(async move {
        if catch_panic(watch).await.is_none() {
            // This is a bug. The last lists stay in use.
            sink.on_failure(Error::new(Kind::Internal, "a watch panicked; please report it"));
        }
    });
    Box::new(AsyncWatchHandle { commands: ForkLocal::new(commands), _task: task })
}

/// The output of a future; `None` if it panicked.
pub(super) async fn catch_panic<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        polled.map_or(Poll::Ready(None), |polled| polled.map(Some))
    })
    .await
}

impl AsyncWatchHandle {
    fn send(&self, command: WatchCommand) {
        if self.commands.is_current() {
            // The receiver is gone if the client was closed in the meantime.
            let _ = self.commands.send(command);
        }
    }
}

impl WatchHandle for AsyncWatchHandle {
    fn subscribe(&self, service: &str) {
        self.send(WatchCommand::Subscribe(service.to_owned()));
    }

    fn unsubscribe(&self, service: &str) {
        self.send(WatchCommand::Unsubscribe(service.to_owned()));
    }

    fn subscribe_all(&self) {
        self.send(WatchCommand::SubscribeAll);
    }

    fn refresh(&self, service: &str) {
        self.send(WatchCommand::Refresh(service.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::interrupt::{Closing, Never};

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn run_ends_with_the_result_or_at_the_deadline() {
        let runtime = Runtime::get();
        assert_eq!(run(&runtime, &WaitLimit::new(SOON, &Never), async { Ok(7) }).unwrap(), 7);
        let wait = WaitLimit::new(Duration::from_millis(30), &Never);
        let error = run::<()>(&runtime, &wait, std::future::pending()).unwrap_err();
        assert_eq!(error.kind(), Kind::Timeout);
        let closed = Closing::default();
        closed.close();
        let error = run::<()>(&runtime, &WaitLimit::new(SOON, &closed), std::future::pending()).unwrap_err();
        assert_eq!(error.kind(), Kind::Closed);
    }

    #[test]
    fn panic_in_one_future_does_not_affect_others() {
        let runtime = Runtime::get();
        let panics = async { panic!("on purpose") };
        assert!(run::<()>(&runtime, &WaitLimit::new(SOON, &Never), panics).is_err());
        assert_eq!(run(&runtime, &WaitLimit::new(SOON, &Never), async { Ok(7) }).unwrap(), 7);
    }

    struct FailureSink(std::sync::mpsc::Sender<Error>);

    impl UpdateSink for FailureSink {
        fn on_update(&self, _update: crate::registry::types::RegistryUpdate) {}
        fn on_failure(&self, error: Error) {
            self.0.send(error).unwrap();
        }
        fn is_in_use(&self, _service: &str) -> bool {
            true
        }
    }

    #[test]
    fn watch_gets_commands_until_dropped_and_reports_a_panic() {
        let runtime = Runtime::get();
        let (failure, failures) = std::sync::mpsc::channel();
        let sink: Arc<dyn UpdateSink> = Arc::new(FailureSink(failure));
        let (received, commands) = std::sync::mpsc::channel();
        let watch = start_watch(&runtime, &sink, |mut channel| async move {
            while let Some(command) = channel.recv().await {
                received.send(command).unwrap();
            }
        });
        watch.subscribe("orders");
        assert_eq!(commands.recv_timeout(SOON).unwrap(), WatchCommand::Subscribe("orders".into()));
        drop(watch);
        assert!(commands.recv_timeout(SOON).is_err(), "the watch has ended");
        let _watch = start_watch(&runtime, &sink, |_| async { panic!("on purpose") });
        assert_eq!(failures.recv_timeout(SOON).unwrap().kind(), Kind::Internal);
    }
}
