//! Objects that clients share, such as the one connection to a registry.

use std::any::Any;
use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;

use super::{Runtime, RuntimeShare};

/// A weak reference to a shared object.
pub(super) type Common = Weak<dyn Any + Send + Sync>;

impl Runtime {
    /// The object in use under this key, or a new one of `make`. Concurrent callers get the same object.
    pub fn common<T, E>(&self, key: &str, make: impl FnOnce() -> Result<Arc<T>, E>) -> Result<Arc<T>, E>
    where
        T: Any + Send + Sync,
    {
        if let Some(known) = self.known(key) {
            return Ok(known);
        }
        // Not under the lock: `make` may use this runtime.
        let made = make()?;
        let kept = self.hand_over(made.clone(), |_, queues, made| {
            queues.common.retain(|_, known| known.strong_count() > 0);
            if let Some(earlier) = queues.common.get(key).and_then(upgrade) {
                return earlier;
            }
            let weak: Common = Arc::downgrade(&(made.clone() as Arc<dyn Any + Send + Sync>));
            queues.common.insert(key.to_owned(), weak);
            made
        });
        Ok(kept.unwrap_or(made))
    }

    fn known<T: Any + Send + Sync>(&self, key: &str) -> Option<Arc<T>> {
        self.hand_over((), |_, queues, ()| queues.common.get(key).and_then(upgrade)).flatten()
    }

    /// A handle that does not keep the threads running, for objects that clients share: each client keeps them.
    #[must_use]
    pub fn unkept(&self) -> Runtime {
        let RuntimeShare { generation, ref shared, .. } = *self.share;
        let share = RuntimeShare { generation, shared: shared.clone(), lease: ArcSwapOption::empty() };
        Runtime { share: Arc::new(share) }
    }
}

fn upgrade<T: Any + Send + Sync>(known: &Common) -> Option<Arc<T>> {
    known.upgrade()?.downcast().ok()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use super::*;
    use crate::clock::{self, Deadline};

    fn make<E>(text: &str) -> impl FnOnce() -> Result<Arc<String>, E> {
        let text = text.to_owned();
        move || Ok(Arc::new(text))
    }

    fn common(runtime: &Runtime, key: &str, text: &str) -> Arc<String> {
        runtime.common::<String, Infallible>(key, make(text)).unwrap()
    }

    #[test]
    fn object_in_use_is_shared() {
        let runtime = Runtime::alone();
        let first = common(&runtime, "a", "first");
        assert!(Arc::ptr_eq(&first, &common(&runtime, "a", "second")));
        assert_eq!(*common(&runtime, "b", "other"), "other");
        drop(first);
        assert_eq!(*common(&runtime, "a", "third"), "third", "nobody used the first any more");
        assert_eq!(runtime.common("a", || Err::<Arc<String>, _>("refused")), Err("refused"));
    }

    #[test]
    fn concurrent_callers_get_the_same_object() {
        let runtime = Runtime::alone();
        let start = std::sync::Barrier::new(8);
        let made: Vec<Arc<String>> = std::thread::scope(|scope| {
            let ask = || {
                start.wait();
                // Slow, so that several are made at the same time.
                runtime
                    .common::<String, Infallible>("a", || {
                        std::thread::yield_now();
                        Ok(Arc::default())
                    })
                    .unwrap()
            };
            let asking: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
            asking.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(made.iter().all(|one| Arc::ptr_eq(one, &made[0])));
    }

    #[test]
    fn unkept_handle_works_while_others_keep_the_threads() {
        let runtime = Runtime::alone();
        let unkept = runtime.unkept();
        let (told, hears) = std::sync::mpsc::channel();
        let queue = crate::runtime::TaskQueue::new(1);
        unkept.post(&queue, crate::runtime::Priority::Poll, move || told.send(()).unwrap());
        hears.recv_timeout(Duration::from_secs(10)).unwrap();
        runtime.close(Deadline::new(clock::now(), Duration::from_secs(10)));
        let (told, hears) = std::sync::mpsc::channel();
        unkept.post(&queue, crate::runtime::Priority::Poll, move || told.send(()).unwrap());
        assert!(
            hears.recv_timeout(Duration::from_secs(10)).is_err(),
            "it was dropped, for nobody keeps them"
        );
        let first = common(&unkept, "a", "first");
        assert!(!Arc::ptr_eq(&first, &common(&unkept, "a", "first")), "what has ended is in common no more");
    }
}
