//! What registries share that push: their connections live on the tokio thread, questions and watches do not.
//!
//! ```text
//!  caller's thread ── ask(future) ──► tokio thread: the future, to its end or to the caller's deadline
//!  catalog ── want, forget, … ──► Wishes ──► tokio thread: the registry's own watch ──► Sink
//! ```

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::task::Poll;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Entry, Sink, Wait, Watch, same_for_all};
use crate::error::{Error, Kind, Result};
use crate::interrupt::SLICE;
use crate::runtime::{ForkLocal, Runtime, Task};

/// Runs a future on the tokio thread and waits for what comes of it; given up, it is dropped there.
pub(super) fn ask<T: Send + 'static>(
    runtime: &Runtime,
    wait: &Wait<'_>,
    future: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    wait.left()?;
    let (tell, hear) = sync_channel(1);
    let task = runtime.spawn(async move {
        // Whoever asked may have given up.
        let _ = tell.send(future.await);
    });
    let gone = || Error::new(Kind::Closed, "the client was closed");
    let _task = task.ok_or_else(gone)?;
    loop {
        let left = wait.left()?;
        match hear.recv_timeout(left.min(SLICE)) {
            Ok(outcome) => return outcome,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(gone()),
        }
    }
}

/// The same about many, all of whom share its failure.
pub(super) fn ask_for_each<T: Send + 'static>(
    runtime: &Runtime,
    wait: &Wait<'_>,
    entries: &[Entry],
    question: impl Future<Output = Result<Vec<Result<T>>>> + Send + 'static,
) -> Vec<Result<T>> {
    ask(runtime, wait, question).unwrap_or_else(|error| same_for_all(entries, &error))
}

/// What a watch is told. A refresh asks about a service again, watched or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Want(String),
    Forget(String),
    All,
    Refresh(String),
}

/// Where a watch hears of them; over once the watch is dropped.
pub(super) type Wishes = UnboundedReceiver<Wish>;

/// A watch that lives on the tokio thread.
struct Pushed {
    wishes: ForkLocal<UnboundedSender<Wish>>,
    _task: Option<Task>,
}

/// Begins a watch: `drive` hears wishes until it is dropped, which is when nobody watches any more.
pub(super) fn begin<F: Future<Output = ()> + Send + 'static>(
    runtime: &Runtime,
    sink: &Arc<dyn Sink>,
    drive: impl FnOnce(Wishes) -> F,
) -> Box<dyn Watch> {
    let (wishes, heard) = unbounded_channel();
    let (driven, sink) = (drive(heard), sink.clone());
    let task = runtime.spawn(async move {
        if caught(driven).await.is_none() {
            // A defect; the lists that are there serve on.
            sink.lost(Error::new(Kind::Internal, "a watch panicked; please report it"));
        }
    });
    Box::new(Pushed { wishes: ForkLocal::new(wishes), _task: task })
}

/// The future's output, or none where it panicked.
pub(super) async fn caught<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        polled.map_or(Poll::Ready(None), |polled| polled.map(Some))
    })
    .await
}

impl Pushed {
    fn wish(&self, wish: Wish) {
        if self.wishes.is_current() {
            // Nobody hears it where the client was closed meanwhile.
            let _ = self.wishes.send(wish);
        }
    }
}

impl Watch for Pushed {
    fn want(&self, service: &str) {
        self.wish(Wish::Want(service.to_owned()));
    }

    fn forget(&self, service: &str) {
        self.wish(Wish::Forget(service.to_owned()));
    }

    fn want_all(&self) {
        self.wish(Wish::All);
    }

    fn refresh(&self, service: &str) {
        self.wish(Wish::Refresh(service.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::interrupt::{Closing, Never};

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn a_question_is_answered_or_given_up_at_the_deadline() {
        let runtime = Runtime::get();
        assert_eq!(ask(&runtime, &Wait::new(SOON, &Never), async { Ok(7) }).unwrap(), 7);
        let wait = Wait::new(Duration::from_millis(30), &Never);
        let error = ask::<()>(&runtime, &wait, std::future::pending()).unwrap_err();
        assert_eq!(error.kind(), Kind::Timeout);
        let closed = Closing::default();
        closed.close();
        let error = ask::<()>(&runtime, &Wait::new(SOON, &closed), std::future::pending()).unwrap_err();
        assert_eq!(error.kind(), Kind::Closed);
    }

    #[test]
    fn a_question_that_panics_takes_nobody_along() {
        let runtime = Runtime::get();
        let panics = async { panic!("on purpose") };
        assert!(ask::<()>(&runtime, &Wait::new(SOON, &Never), panics).is_err());
        assert_eq!(ask(&runtime, &Wait::new(SOON, &Never), async { Ok(7) }).unwrap(), 7);
    }

    struct Told(std::sync::mpsc::Sender<Error>);

    impl Sink for Told {
        fn heard(&self, _heard: super::super::RegistryUpdate) {}
        fn lost(&self, error: Error) {
            self.0.send(error).unwrap();
        }
        fn is_used(&self, _service: &str) -> bool {
            true
        }
    }

    #[test]
    fn a_watch_hears_wishes_until_it_is_dropped_and_a_panic_is_told() {
        let runtime = Runtime::get();
        let (told, hears) = std::sync::mpsc::channel();
        let sink: Arc<dyn Sink> = Arc::new(Told(told));
        let (said, listens) = std::sync::mpsc::channel();
        let watch = begin(&runtime, &sink, |mut wishes| async move {
            while let Some(wish) = wishes.recv().await {
                said.send(wish).unwrap();
            }
        });
        watch.want("orders");
        assert_eq!(listens.recv_timeout(SOON).unwrap(), Wish::Want("orders".into()));
        drop(watch);
        assert!(listens.recv_timeout(SOON).is_err(), "the watch has ended");
        let _watch = begin(&runtime, &sink, |_| async { panic!("on purpose") });
        assert_eq!(hears.recv_timeout(SOON).unwrap().kind(), Kind::Internal);
    }
}
