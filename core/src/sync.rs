//! Locks that a forked child need not fear.
//!
//! `parking_lot` keeps the threads that wait in one table of the process. After a fork that table still lists the
//! parent's threads, by addresses on stacks that the child uses for other things: whoever waits there next may
//! walk into them. The locks of `std` wait in the kernel instead, and what a thread left behind in an old lock
//! concerns that lock alone. These are those, without the ceremony of poisoning: what they guard is never left
//! half done by a panic.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{PoisonError, TryLockError};
use std::time::Duration;

/// Guards a value.
#[derive(Default)]
pub struct Mutex<T>(std::sync::Mutex<T>);

/// The value, while it is locked.
pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    /// Gone only while somebody waits with it.
    held: Option<std::sync::MutexGuard<'a, T>>,
}

impl<T> Mutex<T> {
    /// A lock around this value.
    pub const fn new(value: T) -> Mutex<T> {
        Mutex(std::sync::Mutex::new(value))
    }

    /// Waits until nobody else holds it.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard { mutex: self, held: Some(self.hold()) }
    }

    /// The value if nobody else holds it now.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let held = match self.0.try_lock() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(MutexGuard { mutex: self, held: Some(held) })
    }

    /// The value of a lock that nobody else can hold.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn hold(&self) -> std::sync::MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T> MutexGuard<'_, T> {
    /// Does something without the lock, and takes it again.
    pub fn unlocked<R>(guard: &mut Self, work: impl FnOnce() -> R) -> R {
        drop(guard.held.take());
        let _again = Relock(guard);
        work()
    }
}

/// Takes a lock again, whatever happens in between.
struct Relock<'g, 'a, T>(&'g mut MutexGuard<'a, T>);

impl<T> Drop for Relock<'_, '_, T> {
    fn drop(&mut self) {
        self.0.held = Some(self.0.mutex.hold());
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        let Some(held) = &self.held else { unreachable!("the guard is lent out while its owner waits") };
        held
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        let Some(held) = &mut self.held else { unreachable!("the guard is lent out while its owner waits") };
        held
    }
}

/// Where threads wait for a change of what a [`Mutex`] guards.
#[derive(Debug, Default)]
pub struct Condvar(std::sync::Condvar);

impl Condvar {
    /// One that nobody waits for yet.
    pub const fn new() -> Condvar {
        Condvar(std::sync::Condvar::new())
    }

    /// Waits until it is woken.
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        if let Some(held) = guard.held.take() {
            guard.held = Some(self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Waits until it is woken, at most so long.
    pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, most: Duration) {
        if let Some(held) = guard.held.take() {
            guard.held = Some(self.0.wait_timeout(held, most).unwrap_or_else(PoisonError::into_inner).0);
        }
    }

    /// Wakes one of those who wait.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all of them.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_taken_again_whatever_happens_without_it() {
        let mutex = Mutex::new(1);
        let mut guard = mutex.lock();
        MutexGuard::unlocked(&mut guard, || *mutex.lock() += 1);
        assert_eq!(*guard, 2);
        let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            MutexGuard::unlocked(&mut guard, || panic!("on purpose"));
        }));
        assert!(broken.is_err() && mutex.try_lock().is_none());
        drop(guard);
        assert_eq!(mutex.try_lock().map(|value| *value), Some(2));
    }

    #[test]
    fn who_waits_is_woken_or_waits_no_longer_than_was_said() {
        let (mutex, woken) = (Mutex::new(false), Condvar::new());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                *mutex.lock() = true;
                woken.notify_all();
            });
            let mut is_done = mutex.lock();
            while !*is_done {
                woken.wait(&mut is_done);
            }
        });
        woken.wait_for(&mut mutex.lock(), Duration::from_millis(1));
    }
}
