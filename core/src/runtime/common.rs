//! What clients have in common beside threads, such as the one connection to a registry.

use std::any::Any;
use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;

use super::{Runtime, RuntimeShare};

/// Something under its key, as long as somebody uses it.
pub(super) type Common = Weak<dyn Any + Send + Sync>;

impl Runtime {
    /// What is in use under this key, or what `make` makes of it. Two that ask at the same time get the same.
    pub fn common<T, E>(&self, key: &str, make: impl FnOnce() -> Result<Arc<T>, E>) -> Result<Arc<T>, E>
    where
        T: Any + Send + Sync,
    {
        if let Some(known) = self.known(key) {
            return Ok(known);
        }
        // Not under the lock: what is made may need this runtime.
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

    /// The same threads without keeping them, for what several clients use: each of those keeps them.
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
    fn what_is_in_use_is_not_made_again() {
        let runtime = Runtime::alone();
        let first = common(&runtime, "a", "first");
        assert!(Arc::ptr_eq(&first, &common(&runtime, "a", "second")));
        assert_eq!(*common(&runtime, "b", "other"), "other");
        drop(first);
        assert_eq!(*common(&runtime, "a", "third"), "third", "nobody used the first any more");
        assert_eq!(runtime.common("a", || Err::<Arc<String>, _>("refused")), Err("refused"));
    }

    #[test]
    fn whoever_asks_at_the_same_time_gets_the_same() {
        let runtime = Runtime::alone();
        let start = std::sync::Barrier::new(8);
        let made: Vec<Arc<String>> = std::thread::scope(|scope| {
            let ask = || {
                start.wait();
                // Slow to make, so that several are made at once.
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
    fn whoever_does_not_keep_the_threads_uses_them_as_long_as_others_do() {
        let runtime = Runtime::alone();
        let unkept = runtime.unkept();
        let (told, hears) = std::sync::mpsc::channel();
        let queue = super::super::TaskQueue::new(1);
        unkept.post(&queue, super::super::Priority::Poll, move || told.send(()).unwrap());
        hears.recv_timeout(Duration::from_secs(10)).unwrap();
        runtime.close(Deadline::new(clock::now(), Duration::from_secs(10)));
        let (told, hears) = std::sync::mpsc::channel();
        unkept.post(&queue, super::super::Priority::Poll, move || told.send(()).unwrap());
        assert!(
            hears.recv_timeout(Duration::from_secs(10)).is_err(),
            "it was dropped, for nobody keeps them"
        );
        let first = common(&unkept, "a", "first");
        assert!(!Arc::ptr_eq(&first, &common(&unkept, "a", "first")), "what has ended is in common no more");
    }
}
